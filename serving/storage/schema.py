"""The tables, as the newest migration leaves them (a test compares the two)."""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

from serving.storage.types import Moment, Money

metadata = MetaData()

attempts = Table(
    "attempts",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("request_id", String(128), nullable=False, index=True),
    Column("kind", String(16), nullable=False),
    Column("created_at", Moment, nullable=False, index=True),
    Column("tenant", String(128), nullable=False),
    Column("key_id", String(128)),
    Column("feature", String(128)),
    Column("task", String(128)),
    Column("session", String(128)),
    Column("step", String(128)),
    Column("tier", String(128), nullable=False),
    Column("model", String(256), nullable=False),
    Column("simulated", Boolean, nullable=False),
    Column("service", String(8), nullable=False, server_default="live"),  # live, batch or flex
    Column("prompt_tokens", BigInteger, nullable=False),
    Column("completion_tokens", BigInteger, nullable=False),
    Column("cached_tokens", BigInteger, nullable=False),
    Column("cache_write_tokens", BigInteger, nullable=False),
    Column("cache_write_1h_tokens", BigInteger, nullable=False),
    Column("reasoning_tokens", BigInteger, nullable=False),
    Column("usage_estimated", Boolean, nullable=False),
    Column("cost", Money),  # null: the price is unknown
    Column("list_cost", Money),  # of the same tokens live, all input at the plain rate
    Column("live_cost", Money),  # of the same tokens live, cached input at its rates
    Column("above_cost", Money),  # of the same tokens at the tier above, had it not waited
    Column("baseline_cost", Money),
    Column("latency_ms", Float),
    Column("ttft_ms", Float),
    Column("outcome", String(16), nullable=False),  # `Outcome`, or 'intent': not settled yet
    Column("reason", Text, nullable=False),
    Column("error", String(128)),
    Column("conversation", String(64)),  # a digest of the prompt; see `router/identity.py`
    Index("ix_attempts_conversation_created_at", "conversation", "created_at"),
    Index("ix_attempts_tenant_created_at", "tenant", "created_at"),
    Index("ix_attempts_session_created_at", "session", "created_at"),
    Index("ix_attempts_kind_created_at", "kind", "created_at"),
)

outcomes = Table(
    "outcomes",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("request_id", String(128), nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("tenant", String(128), nullable=False),
    Column("task", String(128)),
    Column("prompt", Text),  # null unless the task stores text
    Column("tiers", JSON, nullable=False),
    Column("agreed", Boolean),  # null: the two answers could not be compared
    Column("compared_by", String(32), nullable=False),
    Index("ix_outcomes_created_at_id", "created_at", "id"),
)

audits = Table(
    "audits",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("request_id", String(128), nullable=False, index=True),
    Column("created_at", Moment, nullable=False, index=True),
    Column("tenant", String(128), nullable=False),
    Column("task", String(128)),
    Column("request", JSON, nullable=False),
    Column("response", JSON(none_as_null=True)),  # null: no answer was given
    Column("trace", JSON, nullable=False),
)

cache_epochs = Table(
    "cache_epochs",
    metadata,
    Column("scope", String(64), primary_key=True),  # '': the counter, which is the newest epoch
    Column("epoch", BigInteger, nullable=False, index=True),
)

semantic_entries = Table(
    "semantic_entries",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("embedder", String(256), nullable=False),  # vectors of two embedders do not compare
    Column("scope", String(64), nullable=False),
    Column("question", String(32), nullable=False),  # a digest of the text
    Column("tenant", String(128), nullable=False, index=True),
    Column("task", String(128), nullable=False),
    Column("tags", JSON, nullable=False),
    Column("document", String(256)),
    Column("text", Text, nullable=False),
    Column("vector", LargeBinary, nullable=False),  # float32, little-endian
    Column("answer", LargeBinary, nullable=False),  # see `cache/semantic/packed.py`
    Column("tier", String(128), nullable=False),
    Column("model", String(256), nullable=False),
    Column("simulated", Boolean, nullable=False),
    Column("cost", Money),
    Column("request_id", String(128), nullable=False, index=True),
    Column("created_at", Moment, nullable=False),
    Column("expires_at", Moment, nullable=False, index=True),
    Column("hits", BigInteger, nullable=False),
    Column("last_hit_at", Moment),
    Column("right", BigInteger, nullable=False),
    Column("wrong", BigInteger, nullable=False),
    # The same question in the same scope has one answer.
    Index("ix_semantic_entries_scope_question", "embedder", "scope", "question", unique=True),
)

cache_thresholds = Table(
    "cache_thresholds",
    metadata,
    Column("task", String(128), primary_key=True),
    Column("state", JSON, nullable=False),
)

cache_checks = Table(
    "cache_checks",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("created_at", Moment, nullable=False, index=True),
    Column("tenant", String(128), nullable=False),
    Column("task", String(128), nullable=False),
    Column("request_id", String(128), nullable=False),  # of the request that was served
    Column("score", Float, nullable=False),
    Column("right", Boolean),  # null: the two answers could not be compared
)

cache_purges = Table(
    "cache_purges",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("created_at", Moment, nullable=False),
    Column("what", JSON, nullable=False),
)
