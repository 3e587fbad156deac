"""Work that outlives a call: a second, small protocol beside the waist.

A batch is sent, asked after and collected at the provider's own pace, hours apart and by whichever
process happens to run then; all that must be kept between is its id. Requests and answers are those
of the waist.
"""

import re
from collections.abc import AsyncGenerator, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from hashlib import blake2b
from typing import Any, Literal, Protocol

from serving.errors import (
    InvalidRequest,
    StepwellError,
    TierError,
    TierProtocolError,
    TierTimeout,
    TierUnavailable,
)
from serving.wire.chat import ChatRequest
from serving.wire.completion import Completion

CUSTOM_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
"""What every provider accepts as the id of a line."""

RESULTS_MISSING = "batch_results_missing"
"""The code of the error of a `collect` that read all there is, and not all results are there."""

BatchState = Literal["running", "cancelling", "ended", "failed"]
"""`failed`: refused as a whole, no line of it has a result. What was cancelled or has expired is
`ended`: lines that were done before have results.
"""
LineState = Literal["succeeded", "errored", "cancelled", "expired"]


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """What one batch may hold: lines, and bytes as they are sent."""

    lines: int
    bytes: int


@dataclass(frozen=True, slots=True)
class PreparedLine:
    """A request as it will be sent, a line feed included. `dropped` names parameters that do not
    reach the model, `notes` says what was changed on the way.
    """

    custom_id: str
    data: bytes
    dropped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BatchHandle:
    """A batch at its provider. `lines` is 0 while the provider has not counted them. `tag` is the
    submitter's own mark, empty where there is none, and None where the provider keeps no marks.
    """

    id: str
    created_at: datetime
    lines: int
    tag: str | None = None


@dataclass(frozen=True, slots=True)
class BatchCounts:
    succeeded: int = 0
    errored: int = 0
    cancelled: int = 0
    expired: int = 0


@dataclass(frozen=True, slots=True)
class BatchStatus:
    """`counts` is None while the provider does not count: progress must come from elsewhere then.
    `reason` says why a batch failed. `expires_at` is when lines that are not done expire.
    """

    handle: BatchHandle
    state: BatchState
    counts: BatchCounts | None = None
    expires_at: datetime | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What became of one line: a completion, or an error. `cost_usd` is at batch rates, zero for
    what is not billed, None where the price is unknown.
    """

    custom_id: str
    state: LineState
    completion: Completion | None = None
    error: StepwellError | None = None
    cost_usd: Decimal | None = None


class BatchBackend(Protocol):
    """Batches of one tier. Methods that talk to the provider raise `TierError`."""

    @property
    def limits(self) -> BatchLimits: ...

    def prepare(self, custom_id: str, request: ChatRequest) -> PreparedLine:
        """Pure. `InvalidRequest` for a bad id or a request at fault, `TierRejected` for what the
        model cannot take: such a line would end as errored hours later.
        """
        ...

    async def submit(self, lines: Sequence[PreparedLine], *, tag: str) -> BatchHandle:
        """Sends the lines as one batch. `InvalidRequest`, and nothing is sent, where there are
        none, or more than `limits` allow (see `parts`), or an id stands twice. `tag`, up to 500
        characters, is the submitter's own mark. After an error that `may_have_arrived` the batch
        may exist, and `list` shows it.
        """
        ...

    async def poll(self, batch_id: str) -> BatchStatus: ...

    async def cancel(self, batch_id: str) -> BatchStatus:
        """Asks for an end; lines under way may still be done. A batch that has ended stays so."""
        ...

    def list(self, since: datetime) -> AsyncGenerator[BatchStatus, None]:
        """Batches created since then, by the provider's clock, latest first; all of the account's
        workspace, whoever submitted them.
        """
        ...

    def collect(self, batch_id: str) -> AsyncGenerator[BatchResult, None]:
        """The results of a batch that has ended, in no order, each as it arrives. What breaks off
        may be collected again, from the start. `TierProtocolError` with the code `RESULTS_MISSING`
        behind the last one where some are missing or could not be read; a line of a cancelled or
        expired batch may have none.
        """
        ...

    async def aclose(self) -> None: ...


class Parking(Exception):
    """No error: the request is not answered now. A provider's batch is to answer `request` at
    `tier`, and the journal of the call says how to go on then. Wrappers let it pass: nothing is
    kept, and nobody else gets it.
    """

    def __init__(self, tier: str, request: ChatRequest) -> None:
        super().__init__(tier)
        self.tier = tier
        self.request = request


@dataclass(slots=True)
class Journal:
    """What a request that may be parked takes along. Tiers among `parks` are not asked: it is
    parked for them instead, for the `turn`-th time (from 0). One that goes on has the tier that it
    was parked for and what came of it, `result`, None where nothing did. `past` is what the
    cascade keeps of what has happened, JSON values that nobody else reads.
    """

    parks: frozenset[str] = frozenset()
    turn: int = 0
    tier: str | None = None
    result: BatchResult | None = None
    past: Mapping[str, Any] | None = None

    @property
    def paid(self) -> bool:
        """The result is an answer, or cost money without being one."""
        found = self.result
        return found is not None and (found.completion is not None or found.cost_usd != 0)

    def take(self, tier: str) -> BatchResult | None:
        """The result, where it is this tier's; once."""
        found = self.result
        if found is None or tier != self.tier:
            return None
        self.result = None
        return found


def result_key(request_id: str, tier: str, turn: int) -> str:
    """Under which the ledger has what a batch of `tier` gave for the request when it was parked
    for the `turn`-th time (from 1): whoever enters it again after a crash replaces it.
    """
    which = f"{request_id} {tier} {turn}"
    return blake2b(which.encode(), digest_size=16).hexdigest()


def parts(sizes: Sequence[int], limits: BatchLimits) -> list[range]:
    """Where to cut lines of these sizes, in order, so that each part is a batch within `limits`.
    `InvalidRequest` for a line that no batch can hold.
    """
    cuts: list[range] = []
    begin = total = 0
    for i, size in enumerate(sizes):
        if size > limits.bytes:
            message = f"line {i} has {size:,} bytes; a batch holds {limits.bytes:,}"
            raise InvalidRequest(message, code="batch_line_too_large")
        if i - begin == limits.lines or total + size > limits.bytes:
            cuts.append(range(begin, i))
            begin, total = i, 0
        total += size
    return [*cuts, range(begin, len(sizes))] if len(sizes) > begin else cuts


def check_id(custom_id: str) -> None:
    """`InvalidRequest` for what is no id of a line."""
    if not CUSTOM_ID.fullmatch(custom_id):
        raise InvalidRequest(
            f"custom_id {custom_id[:80]!r}: 1 to 64 letters, digits, '_' and '-' are allowed",
            param="custom_id",
            code="invalid_custom_id",
        )


def check_lines(lines: Sequence[PreparedLine], limits: BatchLimits) -> None:
    """`InvalidRequest` where these lines are no batch."""
    if not lines:
        raise InvalidRequest("a batch needs at least one line", code="batch_empty")
    size = sum(len(line.data) for line in lines)
    if len(lines) > limits.lines or size > limits.bytes:
        raise InvalidRequest(
            f"{len(lines):,} lines of {size:,} bytes in all; a batch holds {limits.lines:,} lines"
            f" and {limits.bytes:,} bytes",
            code="batch_too_large",
        )
    seen: set[str] = set()
    for line in lines:
        if line.custom_id in seen:
            raise InvalidRequest(
                f"custom_id {line.custom_id!r} stands twice",
                param="custom_id",
                code="duplicate_custom_id",
            )
        seen.add(line.custom_id)


def may_have_arrived(error: StepwellError) -> bool:
    """Whether the batch of a failed `submit` may exist all the same. A refusal is certain; without
    a connection, an answer or a readable one nothing is.
    """
    return isinstance(error, TierTimeout | TierProtocolError | TierUnavailable)


def could_be(
    found: Iterable[BatchStatus], *, lines: int, tag: str, known: Collection[str]
) -> list[BatchHandle]:
    """Those among the batches of `list` that a lost submit of so many lines may have made: not
    `known` to belong to another, and with this tag. Where the provider keeps no tags, the number
    of lines is a hint, and their ids are the proof once the batch has ended.
    """
    fresh = [status.handle for status in found if status.handle.id not in known]
    return [h for h in fresh if (h.lines == lines if h.tag is None else h.tag == tag)]


def cancelled(tier: str) -> TierError:
    """The error of a line that was not begun before its batch was cancelled."""
    return TierError(f"tier {tier}: the batch was cancelled first", code="batch_cancelled")


def expired(tier: str) -> TierError:
    """The error of a line that was not done in its batch's time."""
    return TierTimeout(f"tier {tier}: the batch's time was over first", code="batch_expired")
