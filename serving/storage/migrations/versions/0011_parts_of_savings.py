"""What an attempt's tokens would have cost live, without and with the provider's cache, and at the
tier above.

Where no cache of a provider took part, and so for most rows, they cost as much live as they did
cost. The others keep null: their prices are not known any more.
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision: str | None = "0010"
branch_labels: str | None = None
depends_on: str | None = None

COLUMNS = ("list_cost", "live_cost", "above_cost")


def upgrade() -> None:
    for name in COLUMNS:
        op.add_column("attempts", sa.Column(name, sa.BigInteger))
    op.execute(
        "UPDATE attempts SET list_cost = cost, live_cost = cost"
        " WHERE kind = 'cache_hit' OR (cached_tokens = 0 AND cache_write_tokens = 0)"
    )


def downgrade() -> None:
    for name in reversed(COLUMNS):
        op.drop_column("attempts", name)
