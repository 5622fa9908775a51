"""Everything that can go wrong as a problem (RFC 9457): the table of types, and how exceptions become one."""
