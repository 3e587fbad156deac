"""What is known of how often the semantic cache is wrong, and what it was told to forget."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision: str | None = "0004"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    op.create_table(
        "cache_thresholds",
        sa.Column("task", sa.String(128), primary_key=True),
        sa.Column("state", sa.JSON, nullable=False),
    )
    op.create_table(
        "cache_checks",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("tenant", sa.String(128), nullable=False),
        sa.Column("task", sa.String(128), nullable=False),
        sa.Column("request_id", sa.String(128), nullable=False),
        sa.Column("score", sa.Float, nullable=False),
        sa.Column("right", sa.Boolean),
    )
    op.create_index("ix_cache_checks_created_at", "cache_checks", ["created_at"])
    op.create_table(
        "cache_purges",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("what", sa.JSON, nullable=False),
    )


def downgrade() -> None:
    for table in ("cache_purges", "cache_checks", "cache_thresholds"):
        op.drop_table(table)
