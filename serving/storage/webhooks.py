"""The table of notices that ended work owes its clients."""

from sqlalchemy import Column, Index, Integer, String, Table

from serving.storage.schema import metadata
from serving.storage.types import Moment

__all__ = ["metadata", "webhooks"]

webhooks = Table(
    "webhooks",
    metadata,
    Column("id", String(64), primary_key=True),  # the receiver's, too: the same for every try
    Column("tenant", String(128), nullable=False),
    Column("event", String(32), nullable=False),  # what happened, in OpenAI's words
    Column("subject", String(64), nullable=False),  # the batch or response that it happened to
    Column("url", String(512), nullable=False),
    Column("host", String(262), nullable=False),  # of the URL, with the port
    Column("created_at", Moment, nullable=False),
    Column("state", String(16), nullable=False),  # waiting, delivered or failed
    Column("due_at", Moment, nullable=False),  # for the next try; while one runs, its lease's end
    Column("tries", Integer, nullable=False),
    Column("outcome", String(64)),  # of the last try: an HTTP status or what went wrong
    Column("ended_at", Moment),
    Index("ix_webhooks_state_due_at", "state", "due_at"),
    Index("ix_webhooks_subject", "subject"),
)
