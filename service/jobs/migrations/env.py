"""Alembic's environment: the connection is given by `Database.migrate`."""

from alembic import context

from service.jobs.tables import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    version_table="ganserve_migrations",
)
context.run_migrations()
