"""Jobs, items, workers and uploads."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_KEY = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Makes the tables."""
    op.create_table(
        "ganserve_jobs",
        sa.Column("key", _KEY, primary_key=True, autoincrement=True),
        sa.Column("id", sa.Text, nullable=False, unique=True),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("operation", sa.Text, nullable=False),
        sa.Column("spec", sa.Text, nullable=False),
        sa.Column("webhook_secret", sa.Text),
        sa.Column("idempotency_key", sa.Text),
        sa.Column("fingerprint", sa.Text),
        sa.Column("priority", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("cancelling", sa.Boolean, nullable=False),
        sa.Column("listed", sa.Boolean, nullable=False),
        sa.Column("cursor", sa.Text, nullable=False),
        sa.Column("total", sa.BigInteger, nullable=False),
        sa.Column("succeeded", sa.BigInteger, nullable=False),
        sa.Column("failed", sa.BigInteger, nullable=False),
        sa.Column("cancelled", sa.BigInteger, nullable=False),
        sa.Column("input_bytes", sa.BigInteger, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("round", sa.Integer, nullable=False),
        sa.Column("chunk_size", sa.Integer, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("started_at", sa.BigInteger),
        sa.Column("ended_at", sa.BigInteger),
        sa.Column("expires_at", sa.BigInteger),
        sa.Column("problem", sa.Text),
        sa.Column("traceparent", sa.Text),
    )
    op.create_index("ganserve_jobs_idempotency", "ganserve_jobs", ["owner", "idempotency_key"], unique=True)
    op.create_index("ganserve_jobs_by_owner", "ganserve_jobs", ["owner", "key"])
    op.create_index("ganserve_jobs_by_state", "ganserve_jobs", ["state", "key"])
    op.create_index("ganserve_jobs_by_expiry", "ganserve_jobs", ["expires_at"])
    op.create_table(
        "ganserve_items",
        sa.Column("job", sa.BigInteger, sa.ForeignKey("ganserve_jobs.key"), primary_key=True),
        sa.Column("n", sa.BigInteger, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("suspect", sa.Boolean, nullable=False),
        sa.Column("worker", sa.Text),
        sa.Column("output_name", sa.Text, nullable=False),
        sa.Column("output", sa.Text),
        sa.Column("problem", sa.Text),
        sa.Column("timings", sa.Text),
        sa.Column("started_at", sa.BigInteger),
        sa.Column("ended_at", sa.BigInteger),
        sa.Column("revision", sa.BigInteger, nullable=False),
    )
    op.create_index("ganserve_items_by_output", "ganserve_items", ["job", "output_name"], unique=True)
    op.create_index("ganserve_items_by_state", "ganserve_items", ["job", "state", "n"])
    op.create_index("ganserve_items_by_revision", "ganserve_items", ["job", "revision"])
    op.create_table(
        "ganserve_workers",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("pid", sa.BigInteger, nullable=False),
        sa.Column("concurrency", sa.Integer, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("started_at", sa.BigInteger, nullable=False),
        sa.Column("seen_at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "ganserve_uploads",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("touched_at", sa.BigInteger, nullable=False),
        sa.Column("abandoned", sa.Boolean, nullable=False),
    )


def downgrade() -> None:
    """Drops them, and with them every job."""
    for table in ("ganserve_uploads", "ganserve_workers", "ganserve_items", "ganserve_jobs"):
        op.drop_table(table)
