"""The semantic cache's entries."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision: str | None = "0003"
branch_labels: str | None = None
depends_on: str | None = None

TABLE = "semantic_entries"
INDEXES = {
    "ix_semantic_entries_scope_question": ["embedder", "scope", "question"],
    "ix_semantic_entries_request_id": ["request_id"],
    "ix_semantic_entries_expires_at": ["expires_at"],
    "ix_semantic_entries_tenant": ["tenant"],
}


def upgrade() -> None:
    op.create_table(
        TABLE,
        sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("embedder", sa.String(256), nullable=False),
        sa.Column("scope", sa.String(64), nullable=False),
        sa.Column("question", sa.String(32), nullable=False),
        sa.Column("tenant", sa.String(128), nullable=False),
        sa.Column("task", sa.String(128), nullable=False),
        sa.Column("tags", sa.JSON, nullable=False),
        sa.Column("document", sa.String(256)),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("vector", sa.LargeBinary, nullable=False),
        sa.Column("answer", sa.LargeBinary, nullable=False),
        sa.Column("tier", sa.String(128), nullable=False),
        sa.Column("model", sa.String(256), nullable=False),
        sa.Column("simulated", sa.Boolean, nullable=False),
        sa.Column("cost", sa.BigInteger),
        sa.Column("request_id", sa.String(128), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("hits", sa.BigInteger, nullable=False),
        sa.Column("last_hit_at", sa.BigInteger),
        sa.Column("right", sa.BigInteger, nullable=False),
        sa.Column("wrong", sa.BigInteger, nullable=False),
    )
    for name, columns in INDEXES.items():
        op.create_index(name, TABLE, columns, unique=name.endswith("_question"))


def downgrade() -> None:
    op.drop_table(TABLE)
