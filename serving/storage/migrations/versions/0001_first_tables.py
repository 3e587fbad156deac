"""The ledger's attempts, the spot checks' outcomes, the audit records of critical tasks."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision: str | None = None
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    _attempts()
    op.create_table(
        "outcomes",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("request_id", sa.String(128), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("tenant", sa.String(128), nullable=False),
        sa.Column("task", sa.String(128)),
        sa.Column("prompt", sa.Text),
        sa.Column("tiers", sa.JSON, nullable=False),
        sa.Column("agreed", sa.Boolean),
        sa.Column("compared_by", sa.String(32), nullable=False),
    )
    op.create_index("ix_outcomes_created_at_id", "outcomes", ["created_at", "id"])
    op.create_table(
        "audits",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("request_id", sa.String(128), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("tenant", sa.String(128), nullable=False),
        sa.Column("task", sa.String(128)),
        sa.Column("request", sa.JSON, nullable=False),
        sa.Column("response", sa.JSON),
        sa.Column("trace", sa.JSON, nullable=False),
    )
    op.create_index("ix_audits_request_id", "audits", ["request_id"])
    op.create_index("ix_audits_created_at", "audits", ["created_at"])


def _attempts() -> None:
    tokens = ("prompt", "completion", "cached", "cache_write", "cache_write_1h", "reasoning")
    op.create_table(
        "attempts",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("request_id", sa.String(128), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("tenant", sa.String(128), nullable=False),
        *(sa.Column(c, sa.String(128)) for c in ("key_id", "feature", "task", "session", "step")),
        sa.Column("tier", sa.String(128), nullable=False),
        sa.Column("model", sa.String(256), nullable=False),
        sa.Column("simulated", sa.Boolean, nullable=False),
        *(sa.Column(f"{t}_tokens", sa.BigInteger, nullable=False) for t in tokens),
        sa.Column("usage_estimated", sa.Boolean, nullable=False),
        sa.Column("cost", sa.BigInteger),
        sa.Column("baseline_cost", sa.BigInteger),
        sa.Column("latency_ms", sa.Float),
        sa.Column("ttft_ms", sa.Float),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("error", sa.String(128)),
    )
    op.create_index("ix_attempts_request_id", "attempts", ["request_id"])
    op.create_index("ix_attempts_created_at", "attempts", ["created_at"])
    for first in ("tenant", "session", "kind"):
        op.create_index(f"ix_attempts_{first}_created_at", "attempts", [first, "created_at"])


def downgrade() -> None:
    for table in ("audits", "outcomes", "attempts"):
        op.drop_table(table)
