"""What stands in the database of batches at providers."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from serving.batches import BatchBackend, BatchResult

HostedState = Literal["intent", "sending", "ambiguous", "submitted", "ended", "done", "lost"]
"""`intent`: it has provably not left. `sending`: its submit may be under way; where nobody holds
it, whoever did is gone, and it is `ambiguous`: it may be at the provider or not. `ended`: its
results are being collected. `done` and `lost` are the ends.
"""
AT_WORK: tuple[HostedState, ...] = ("intent", "sending", "ambiguous", "submitted", "ended")
Purpose = Literal["lines", "prefix"]

Pays = Callable[[int, int], bool]
"""Whether so many requests with a common prefix of so many tokens cost less where it is stored."""


@dataclass(frozen=True, slots=True)
class Alike:
    """Requests with a common prefix. Tokens are estimates: of the prefix, of what else a prompt
    has, and of an answer, the latter two on average.
    """

    lines: int
    prefix_tokens: int
    rest_tokens: float
    output_tokens: float


CheaperLive = Callable[[Alike], bool]
"""Whether such requests cost less as live calls, one soon after the other."""


@dataclass(frozen=True, slots=True)
class BatchTier:
    """A tier with a batch endpoint. `pays` is None where its requests carry no breakpoints,
    `cheaper_live` where a batch is always cheaper.
    """

    name: str
    backend: BatchBackend
    pays: Pays | None = None
    cheaper_live: CheaperLive | None = None


Tiers = Mapping[str, BatchTier]


@dataclass(frozen=True, slots=True)
class HostedBatch:
    """A row of the table `hosted_batches`."""

    id: str
    tenant: str
    tier: str
    state: HostedState
    purpose: Purpose
    provider_id: str | None
    adopted: bool
    rejected: list[str]
    lines: int
    bytes: int
    tries: int
    created_at: datetime
    sent_at: datetime | None
    ambiguous_at: datetime | None
    submitted_at: datetime | None
    polled_at: datetime | None
    cancel_at: datetime | None
    ended_at: datetime | None
    next_at: datetime
    owner: str | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class LateResult:
    """A result that nobody waits for any more: its line was answered otherwise, was cancelled or
    has expired. What it cost is booked all the same.
    """

    tenant: str
    key_id: str | None
    tier: str
    request_id: str
    turn: int
    result: BatchResult


Book = Callable[[LateResult], Awaitable[None]]
"""Enters what a late result cost, under a name that is the result's own."""


@dataclass(frozen=True, slots=True)
class ParkedRow:
    """Of a parked line what deciding needs. `output_tokens` is None where nothing is known yet of
    how long an answer is.
    """

    batch_id: str
    number: int
    custom_id: str
    prefix: str
    prefix_tokens: int
    size: int
    warm: bool
    expires_at: datetime
    rest_tokens: int = 0
    output_tokens: int | None = None

    @classmethod
    def of(cls, row: Any) -> "ParkedRow":
        return cls(
            row.batch_id,
            row.number,
            row.custom_id,
            row.prefix,
            row.prefix_tokens,
            row.size,
            row.warm,
            row.expires_at,
            row.rest_tokens,
            row.output_tokens,
        )
