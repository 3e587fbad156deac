"""The tables of work that can wait: files, batches, their lines, and who answers them."""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    false,
)

from serving.storage.schema import metadata
from serving.storage.types import Moment, Money

__all__ = [
    "batch_lines",
    "batch_workers",
    "batches",
    "files",
    "hosted_batches",
    "hosted_lines",
    "metadata",
    "parked_lines",
]

files = Table(
    "files",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("tenant", String(128), nullable=False),
    Column("key_id", String(128)),
    Column("filename", String(256), nullable=False),  # for people; never a path
    Column("purpose", String(32), nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("expires_at", Moment, index=True),
    Index("ix_files_tenant_created_at", "tenant", "created_at", "id"),
)

batches = Table(
    "batches",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("tenant", String(128), nullable=False),
    Column("key_id", String(128)),
    Column("endpoint", String(64), nullable=False),
    Column("input_file_id", String(64), nullable=False, index=True),
    Column("completion_window", String(16), nullable=False),
    Column("labels", JSON(none_as_null=True)),  # OpenAI's `metadata`
    Column("status", String(16), nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("expires_at", Moment, nullable=False),
    Column("in_progress_at", Moment),
    Column("finalizing_at", Moment),
    Column("completed_at", Moment),
    Column("failed_at", Moment),
    Column("expired_at", Moment),
    Column("cancelling_at", Moment),
    Column("cancelled_at", Moment),
    Column("errors", JSON(none_as_null=True)),
    Column("output_file_id", String(64)),
    Column("error_file_id", String(64)),
    Column("output_ttl_s", Integer),
    Column("total", Integer, nullable=False),
    Column("figures", JSON(none_as_null=True)),  # of its lines, once it has ended
    Column("owner", String(64)),  # the worker that checks or finalizes it
    Column("hidden", Boolean, nullable=False, server_default=false()),  # answers one response
    Index("ix_batches_tenant_created_at", "tenant", "created_at", "id"),
    Index("ix_batches_status_created_at", "status", "created_at"),
)

batch_lines = Table(
    "batch_lines",
    metadata,
    Column("batch_id", String(64), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),  # in the file, from 1
    Column("custom_id", String(512), nullable=False),
    Column("offset", BigInteger, nullable=False),  # in the file, as `length` in bytes
    Column("length", Integer, nullable=False),
    Column("state", String(16), nullable=False),  # waiting, leased, parked, done or failed
    Column("owner", String(64), index=True),  # the worker that answers it
    Column("not_before", Moment),
    Column("claims", Integer, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("result", LargeBinary),  # its line of the output or the error file
    Column("tier", String(128)),
    Column("prompt_tokens", BigInteger, nullable=False),
    Column("cached_tokens", BigInteger, nullable=False),
    Column("completion_tokens", BigInteger, nullable=False),
    Column("reasoning_tokens", BigInteger, nullable=False),
    Column("cost", Money),  # null: the price is unknown
    Column("baseline_cost", Money),
    Index("ix_batch_lines_batch_id_state", "batch_id", "state", "number"),
)

batch_workers = Table(
    "batch_workers",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("until", Moment, nullable=False),  # its lease; what it holds is free afterwards
)

# What a line that is parked, or goes on with what came of that, has beside its row: large, and of
# few lines at a time.
parked_lines = Table(
    "parked_lines",
    metadata,
    Column("batch_id", String(64), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("tenant", String(128), nullable=False),
    Column("tier", String(128), nullable=False),
    Column("state", String(16), nullable=False),  # waiting, sent or back
    Column("hosted_id", String(64), index=True),  # the hosted batch that it is sent with
    Column("after", String(64), index=True),  # one that writes its prefix, to be waited for
    Column("warm", Boolean, nullable=False),  # its prefix has been written
    Column("marked", Boolean, nullable=False),  # it is sent with its breakpoint
    Column("prefix", String(64), nullable=False),
    Column("prefix_tokens", Integer, nullable=False),  # an estimate; 0: it has no breakpoint
    Column("rest_tokens", Integer, nullable=False),  # of the prompt behind it, an estimate
    Column("output_tokens", Integer),  # of an answer that it has had; null: it has had none
    Column("custom_id", String(64), nullable=False),  # the provider's, in `data` too
    Column("size", Integer, nullable=False),  # of `data`
    Column("mark_at", Integer, nullable=False),  # where in `data` the breakpoint stands
    Column("mark_size", Integer, nullable=False),
    Column("tries", Integer, nullable=False),  # hosted batches that gave no answer
    Column("parked_at", Moment, nullable=False),
    Column("expires_at", Moment, nullable=False),  # its batch's
    Column("request_id", String(128), nullable=False),
    Column("turn", Integer, nullable=False),  # the how many-th time that it is parked
    Column("dropped", JSON, nullable=False),  # parameters that `data` is without
    Column("journal", LargeBinary, nullable=False),
    Column("result", LargeBinary),  # null: none came
    Column("data", LargeBinary, nullable=False),  # the request as it is sent
    Index("ix_parked_lines_state", "state", "tenant", "tier", "prefix"),
)

hosted_batches = Table(
    "hosted_batches",
    metadata,
    Column("id", String(64), primary_key=True),  # also its tag, where the provider keeps tags
    Column("tenant", String(128), nullable=False),
    Column("tier", String(128), nullable=False),
    Column("state", String(16), nullable=False),
    Column("purpose", String(16), nullable=False),  # lines, or prefix: it writes prefixes first
    Column("provider_id", String(256), index=True),
    Column("adopted", Boolean, nullable=False),  # found in the provider's list, not proven yet
    Column("rejected", JSON, nullable=False),  # batches of the provider that are not this one
    Column("lines", Integer, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("tries", Integer, nullable=False),  # in its present state, for the back-off
    Column("created_at", Moment, nullable=False),
    Column("sent_at", Moment),
    Column("ambiguous_at", Moment),
    Column("submitted_at", Moment),
    Column("polled_at", Moment),
    Column("cancel_at", Moment),
    Column("ended_at", Moment),
    Column("next_at", Moment, nullable=False),  # when there is something to do for it
    Column("owner", String(64)),  # the worker that does it
    Column("reason", String(500)),
    Index("ix_hosted_batches_state_next_at", "state", "next_at"),
)

hosted_lines = Table(
    "hosted_lines",
    metadata,
    Column("hosted_id", String(64), primary_key=True),
    Column("custom_id", String(64), primary_key=True),
    Column("batch_id", String(64), nullable=False),
    Column("number", Integer, nullable=False),
    Column("key_id", String(128)),
    Column("request_id", String(128), nullable=False),
    Column("turn", Integer, nullable=False),
    Column("state", String(16), nullable=False),  # sent, done, failed or late
    Index("ix_hosted_lines_hosted_id_state", "hosted_id", "state"),
)
