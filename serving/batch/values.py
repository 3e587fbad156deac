"""What files and batches are, and what is asked of whoever answers a line."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Literal, Protocol

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
ENDPOINTS = (CHAT,)


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
    """A row of the table `batches`."""

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

    @property
    def asked_by(self) -> Owner:
        return Owner(self.tenant, self.key_id)


@dataclass(frozen=True, slots=True)
class ClaimedLine:
    """A line that this worker may answer. `claims` counts the workers that took it, this one
    included; `failures` the tries that failed for no fault of the line.
    """

    batch: Batch
    number: int
    custom_id: str
    offset: int
    length: int
    claims: int
    failures: int


@dataclass(frozen=True, slots=True)
class LineAnswer:
    """What a line came to: an HTTP status with its body (JSON). `retry`: the same line may do
    better later, not before `retry_after` seconds.
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

    @property
    def succeeded(self) -> bool:
        return self.status < 400


class LineDesk(Protocol):
    """Reads lines as the endpoints read requests, and answers them."""

    def check(self, line: bytes, endpoint: str, owner: Owner) -> str:
        """The line's custom_id. `ClientError` where the line is at fault."""
        ...

    async def answer(
        self, line: bytes, endpoint: str, owner: Owner, *, deadline_s: float
    ) -> LineAnswer:
        """Errors are answers, too; only a cancellation is raised. At offline urgency."""
        ...
