"""What caches forget together: the epochs of evicted cache scopes."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision: str | None = "0001"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    op.create_table(
        "cache_epochs",
        sa.Column("scope", sa.String(64), primary_key=True),
        sa.Column("epoch", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_cache_epochs_epoch", "cache_epochs", ["epoch"])


def downgrade() -> None:
    op.drop_table("cache_epochs")
