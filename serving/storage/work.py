"""The tables of work that can wait: files, batches, their lines, and who answers them."""

from sqlalchemy import JSON, BigInteger, Column, Index, Integer, LargeBinary, String, Table

from serving.storage.schema import metadata
from serving.storage.types import Moment, Money

__all__ = ["batch_lines", "batch_workers", "batches", "files", "metadata"]

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
    Column("state", String(16), nullable=False),  # waiting, leased, done or failed
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
