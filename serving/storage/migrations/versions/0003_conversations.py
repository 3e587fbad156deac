"""Which turn of which conversation an attempt belongs to."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision: str | None = "0002"
branch_labels: str | None = None
depends_on: str | None = None

INDEX = "ix_attempts_conversation_created_at"


def upgrade() -> None:
    op.add_column("attempts", sa.Column("conversation", sa.String(64)))
    op.create_index(INDEX, "attempts", ["conversation", "created_at"])


def downgrade() -> None:
    op.drop_index(INDEX, "attempts")
    op.drop_column("attempts", "conversation")
