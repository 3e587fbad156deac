"""How an attempt was served: live, in a provider's batch, or when there was room."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision: str | None = "0006"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    service = sa.Column("service", sa.String(8), nullable=False, server_default="live")
    op.add_column("attempts", service)


def downgrade() -> None:
    op.drop_column("attempts", "service")
