"""The tables of jobs, beside those of DBOS in the same database (SQLite or PostgreSQL).

Times are milliseconds since 1970 by the clock of the database.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

METADATA: Final = sa.MetaData()

# SQLite numbers rows by itself only where the key is INTEGER.
_KEY = sa.BigInteger().with_variant(sa.Integer, "sqlite")

JOBS: Final = sa.Table(
    "ganserve_jobs",
    METADATA,
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
    sa.Column("cancelling", sa.Boolean, nullable=False, default=False),
    sa.Column("listed", sa.Boolean, nullable=False, default=False),
    sa.Column("cursor", sa.Text, nullable=False, default=""),
    sa.Column("total", sa.BigInteger, nullable=False, default=0),
    sa.Column("succeeded", sa.BigInteger, nullable=False, default=0),
    sa.Column("failed", sa.BigInteger, nullable=False, default=0),
    sa.Column("cancelled", sa.BigInteger, nullable=False, default=0),
    sa.Column("input_bytes", sa.BigInteger, nullable=False, default=0),
    sa.Column("revision", sa.BigInteger, nullable=False, default=1),
    sa.Column("round", sa.Integer, nullable=False, default=0),
    sa.Column("chunk_size", sa.Integer, nullable=False, default=0),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("started_at", sa.BigInteger),
    sa.Column("ended_at", sa.BigInteger),
    sa.Column("expires_at", sa.BigInteger),
    sa.Column("problem", sa.Text),
    sa.Column("traceparent", sa.Text),
    sa.Index("ganserve_jobs_idempotency", "owner", "idempotency_key", unique=True),
    sa.Index("ganserve_jobs_by_owner", "owner", "key"),
    sa.Index("ganserve_jobs_by_state", "state", "key"),
    sa.Index("ganserve_jobs_by_expiry", "expires_at"),
)

ITEMS: Final = sa.Table(
    "ganserve_items",
    METADATA,
    sa.Column("job", sa.BigInteger, sa.ForeignKey(JOBS.c.key), primary_key=True, autoincrement=False),
    sa.Column("n", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False, default=0),
    sa.Column("suspect", sa.Boolean, nullable=False, default=False),
    sa.Column("worker", sa.Text),
    sa.Column("output_name", sa.Text, nullable=False),
    sa.Column("output", sa.Text),
    sa.Column("problem", sa.Text),
    sa.Column("timings", sa.Text),
    sa.Column("started_at", sa.BigInteger),
    sa.Column("ended_at", sa.BigInteger),
    sa.Column("revision", sa.BigInteger, nullable=False),
    sa.Index("ganserve_items_by_output", "job", "output_name", unique=True),
    sa.Index("ganserve_items_by_state", "job", "state", "n"),
    sa.Index("ganserve_items_by_revision", "job", "revision"),
)

WORKERS: Final = sa.Table(
    "ganserve_workers",
    METADATA,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("host", sa.Text, nullable=False),
    sa.Column("pid", sa.BigInteger, nullable=False),
    sa.Column("concurrency", sa.Integer, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("started_at", sa.BigInteger, nullable=False),
    sa.Column("seen_at", sa.BigInteger, nullable=False),
)

UPLOADS: Final = sa.Table(
    "ganserve_uploads",
    METADATA,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("touched_at", sa.BigInteger, nullable=False),
    sa.Column("abandoned", sa.Boolean, nullable=False),
)
