"""What files and batches are, and what is asked of whoever answers a line."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Literal, Protocol

from serving.batches import BatchResult
from serving.wire.chat import ChatRequest
from serving.wire.completion import Usage

Clock = Callable[[], datetime]
NOTHING = Usage()
Status = Literal[
    "validating",
    "in_progress",
    "finalizing",
    "completed",
    "failed",
    "expired",
    "cancelling",
    "cancelled",
]
OPEN: tuple[Status, ...] = ("validating", "in_progress", "finalizing", "cancelling")
"""The states of a batch that has not ended."""

CHAT = "/v1/chat/completions"
RESPONSES = "/v1/responses"
ENDPOINTS = (CHAT, RESPONSES)


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose file or batch it is. `key_id` is None for the anonymous caller."""

    tenant: str
    key_id: str | None


@dataclass(frozen=True, slots=True)
class StoredFile:
    id: str
    tenant: str
    key_id: str | None
    filename: str
    purpose: str
    bytes: int
    created_at: datetime
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class Batch:
    """A row of the table `batches`. A `hidden` one answers a response in the background: it has no
    files, its line stands with the response, and tenants do not see it.
    """

    id: str
    tenant: str
    key_id: str | None
    endpoint: str
    input_file_id: str
    completion_window: str
    labels: Mapping[str, str] | None
    status: Status
    created_at: datetime
    expires_at: datetime
    in_progress_at: datetime | None = None
    finalizing_at: datetime | None = None
    completed_at: datetime | None = None
    failed_at: datetime | None = None
    expired_at: datetime | None = None
    cancelling_at: datetime | None = None
    cancelled_at: datetime | None = None
    errors: list[dict[str, Any]] | None = None
    output_file_id: str | None = None
    error_file_id: str | None = None
    output_ttl_s: int | None = None
    total: int = 0
    figures: Mapping[str, Any] | None = None
    owner: str | None = None
    hidden: bool = False

    @property
    def asked_by(self) -> Owner:
        return Owner(self.tenant, self.key_id)


@dataclass(frozen=True, slots=True)
class ClaimedLine:
    """A line that this worker may answer. `claims` counts the workers that took it, this one
    included; `failures` the tries that failed for no fault of the line. `resumed` is what it goes
    on with, where it was parked; for the tiers in `vain` it is not parked again.
    """

    batch: Batch
    number: int
    custom_id: str
    offset: int
    length: int
    claims: int
    failures: int
    resumed: "Resumed | None" = None
    vain: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class LineAnswer:
    """What a line came to: an HTTP status with its body (JSON). `retry`: the same line may do
    better later, not before `retry_after` seconds. `unused`: the result that it went on with is
    not in the ledger.
    """

    status: int
    request_id: str
    body: bytes
    usage: Usage = NOTHING
    tier: str | None = None
    cost_usd: Decimal | None = None
    baseline_cost_usd: Decimal | None = None
    retry: bool = False
    retry_after: float | None = None
    unused: bool = False

    @property
    def succeeded(self) -> bool:
        return self.status < 400


@dataclass(frozen=True, slots=True)
class Parked:
    """What a line came to for now: a tier is to answer `request`, which is as that tier's calls
    get it, in a provider's batch. `prefix` is a digest of the tenant, the tier's model and what
    requests may share at their beginning (tools, system messages); lines that have it in common
    are best sent together. `journal` is what has happened so far, opaque; it comes back in
    `Resumed`. `turn` counts how often the line was parked, this time included. `output_tokens`: of
    the longest answer that a tier has given it, None where it has had none. `unused`: the result
    that it went on with is not in the ledger.
    """

    tier: str
    request: ChatRequest
    prefix: str
    journal: bytes
    request_id: str
    turn: int = 1
    output_tokens: int | None = None
    unused: bool = False


@dataclass(frozen=True, slots=True)
class Resumed:
    """What a parked line goes on with. `result` is None where its tier's batch gave none and none
    is to come: the line is then answered live or parked again, as `parks` says now. `dropped`:
    parameters that did not reach the model, as `BatchBackend.prepare` said. `tier`, `request_id`
    and `turn` are as they were when it was parked; they name the result in the ledger.
    """

    journal: bytes
    result: BatchResult | None
    dropped: tuple[str, ...] = ()
    tier: str = ""
    request_id: str = ""
    turn: int = 0


class LineDesk(Protocol):
    """Reads lines as the endpoints read requests, and answers them."""

    def check(self, line: bytes, endpoint: str, owner: Owner) -> str:
        """The line's custom_id. `ClientError` where the line is at fault."""
        ...

    async def answer(
        self,
        line: bytes,
        endpoint: str,
        owner: Owner,
        *,
        deadline_s: float,
        parks: frozenset[str] = frozenset(),
        resumed: Resumed | None = None,
    ) -> LineAnswer | Parked:
        """Errors are answers, too; only a cancellation is raised. At offline urgency. A tier among
        `parks` is not asked: the line is parked for it instead. `resumed` goes on with a line that
        was, whose request id stays the same; `deadline_s` counts from now.
        """
        ...
