"""What an attempt's tokens would have cost live, without and with the provider's cache, and at the
tier above.

Where neither a provider's cache nor its batches took part, and so for most rows, they cost as much
live as they did cost. The others keep null: their prices are not known any more.
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision: str | None = "0010"
branch_labels: str | None = None
depends_on: str | None = None

COLUMNS = ("list_cost", "live_cost", "above_cost")
AT_ONCE = 5_000
"""Rows of one statement: a ledger may have many millions, and a statement's time is limited."""

END = sa.text(
    "SELECT id FROM attempts WHERE id > :after ORDER BY id LIMIT 1 OFFSET :more"
).bindparams(more=AT_ONCE - 1)
FILL = """
    UPDATE attempts SET list_cost = cost, live_cost = cost
    WHERE id > :after AND {end} AND cost IS NOT NULL AND service <> 'batch'
    AND (kind = 'cache_hit' OR (cached_tokens = 0 AND cache_write_tokens = 0))
"""


def upgrade() -> None:
    for name in COLUMNS:
        op.add_column("attempts", sa.Column(name, sa.BigInteger))
    bind, after = op.get_bind(), ""
    while (last := bind.execute(END, {"after": after}).scalar_one_or_none()) is not None:
        bind.execute(sa.text(FILL.format(end="id <= :last")), {"after": after, "last": last})
        after = last
    bind.execute(sa.text(FILL.format(end="true")), {"after": after})


def downgrade() -> None:
    for name in reversed(COLUMNS):
        op.drop_column("attempts", name)
