"""Lines that wait for a provider's batch, and those batches."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision: str | None = "0007"
branch_labels: str | None = None
depends_on: str | None = None

INDEXES = {
    "ix_parked_lines_hosted_id": ("parked_lines", ["hosted_id"]),
    "ix_parked_lines_after": ("parked_lines", ["after"]),
    "ix_parked_lines_state": ("parked_lines", ["state", "tenant", "tier", "prefix"]),
    "ix_hosted_batches_provider_id": ("hosted_batches", ["provider_id"]),
    "ix_hosted_batches_state_next_at": ("hosted_batches", ["state", "next_at"]),
    "ix_hosted_lines_hosted_id_state": ("hosted_lines", ["hosted_id", "state"]),
}


def upgrade() -> None:
    _parked()
    _batches()
    op.create_table(
        "hosted_lines",
        sa.Column("hosted_id", sa.String(64), primary_key=True),
        sa.Column("custom_id", sa.String(64), primary_key=True),
        sa.Column("batch_id", sa.String(64), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("key_id", sa.String(128)),
        sa.Column("request_id", sa.String(128), nullable=False),
        sa.Column("turn", sa.Integer, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
    )
    for name, (table, columns) in INDEXES.items():
        op.create_index(name, table, columns)


def _parked() -> None:
    op.create_table(
        "parked_lines",
        sa.Column("batch_id", sa.String(64), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("tenant", sa.String(128), nullable=False),
        sa.Column("tier", sa.String(128), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("hosted_id", sa.String(64)),
        sa.Column("after", sa.String(64)),
        sa.Column("warm", sa.Boolean, nullable=False),
        sa.Column("marked", sa.Boolean, nullable=False),
        sa.Column("prefix", sa.String(64), nullable=False),
        sa.Column("prefix_tokens", sa.Integer, nullable=False),
        sa.Column("rest_tokens", sa.Integer, nullable=False),
        sa.Column("output_tokens", sa.Integer),
        sa.Column("custom_id", sa.String(64), nullable=False),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("mark_at", sa.Integer, nullable=False),
        sa.Column("mark_size", sa.Integer, nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("parked_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("request_id", sa.String(128), nullable=False),
        sa.Column("turn", sa.Integer, nullable=False),
        sa.Column("dropped", sa.JSON, nullable=False),
        sa.Column("journal", sa.LargeBinary, nullable=False),
        sa.Column("result", sa.LargeBinary),
        sa.Column("data", sa.LargeBinary, nullable=False),
    )


def _batches() -> None:
    op.create_table(
        "hosted_batches",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("tenant", sa.String(128), nullable=False),
        sa.Column("tier", sa.String(128), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("purpose", sa.String(16), nullable=False),
        sa.Column("provider_id", sa.String(256)),
        sa.Column("adopted", sa.Boolean, nullable=False),
        sa.Column("rejected", sa.JSON, nullable=False),
        sa.Column("lines", sa.Integer, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("sent_at", sa.BigInteger),
        sa.Column("ambiguous_at", sa.BigInteger),
        sa.Column("submitted_at", sa.BigInteger),
        sa.Column("polled_at", sa.BigInteger),
        sa.Column("cancel_at", sa.BigInteger),
        sa.Column("ended_at", sa.BigInteger),
        sa.Column("next_at", sa.BigInteger, nullable=False),
        sa.Column("owner", sa.String(64)),
        sa.Column("reason", sa.String(500)),
    )


def downgrade() -> None:
    for table in ("hosted_lines", "hosted_batches", "parked_lines"):
        op.drop_table(table)
