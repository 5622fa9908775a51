"""The failures a user can mend; the command line shows their message alone."""


class GantrainError(Exception):
    """Something outside the code is wrong: an argument, a file, a package; the message says what to do."""


class ConfigError(GantrainError):
    """A configuration cannot be used; the message names the key and what would be accepted."""
