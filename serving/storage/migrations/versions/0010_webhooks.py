"""Notices that ended work owes its clients."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision: str | None = "0009"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    op.create_table(
        "webhooks",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("tenant", sa.String(128), nullable=False),
        sa.Column("event", sa.String(32), nullable=False),
        sa.Column("subject", sa.String(64), nullable=False),
        sa.Column("url", sa.String(512), nullable=False),
        sa.Column("host", sa.String(262), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("due_at", sa.BigInteger, nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("outcome", sa.String(64)),
        sa.Column("ended_at", sa.BigInteger),
    )
    op.create_index("ix_webhooks_state_due_at", "webhooks", ["state", "due_at"])
    op.create_index("ix_webhooks_subject", "webhooks", ["subject"])


def downgrade() -> None:
    op.drop_table("webhooks")
