"""How the tables of `service.jobs.tables` came to be what they are, step by step (Alembic)."""
