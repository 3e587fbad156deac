"""Message batches: what the API knows of them, and what may be done to them when."""

import random
from collections import Counter, OrderedDict, deque
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from serving.hosted.emulator.batches.shape import Item
from serving.hosted.emulator.clock import Clock
from serving.hosted.emulator.errors import ApiError, invalid
from serving.hosted.emulator.ids import new_id
from serving.hosted.emulator.render import dumped

EXPIRES_S = 24 * 3_600.0
KEPT_S = 29 * 86_400.0
MAX_BATCHES = 10_000
MAX_HELD_BYTES = 1_000_000_000
RESULTS = ("succeeded", "errored", "canceled", "expired")

Result = Literal["succeeded", "errored", "canceled", "expired"]


@dataclass(slots=True, eq=False)
class Batch:
    """`waiting` are the requests that have no result yet, `lines` the results as JSON, `held` the
    bytes of both. Moments are those of the emulator's clock. `version` is the API version that it
    was created under, `stop` a stop reason for all its answers, `errored` and `expired` shares of
    its requests.
    """

    workspace: str
    version: str
    created: float
    waiting: deque[Item]
    stop: str | None = None
    errored: float = 0.0
    expired: float = 0.0
    id: str = field(default_factory=lambda: new_id("msgbatch"))
    total: int = 0
    held: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    lines: list[bytes] = field(default_factory=list)
    cancelled: float | None = None
    ended: float | None = None
    archived: float | None = None

    def __post_init__(self) -> None:
        self.total = len(self.waiting)
        self.held = sum(len(item.params) for item in self.waiting)

    @property
    def expires(self) -> float:
        return self.created + EXPIRES_S

    @property
    def status(self) -> str:
        if self.ended is not None:
            return "ended"
        return "in_progress" if self.cancelled is None else "canceling"

    def book(self, item: Item, kind: Result, **found: Any) -> None:
        """The result of a request that was taken from `waiting`."""
        line = {"custom_id": item.custom_id, "result": {"type": kind, **found}}
        made = dumped(line)
        self.lines.append(made)
        self.counts[kind] += 1
        self.held += len(made) - len(item.params)

    def forget(self) -> None:
        """Its results are gone."""
        self.lines, self.held = [], 0


class Batches:
    """The batches of all workspaces. At most `MAX_BATCHES` are remembered, the oldest that have
    ended going first, and at most `MAX_HELD_BYTES` of requests and results wait in all.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: OrderedDict[str, Batch] = OrderedDict()

    def add(self, batch: Batch) -> None:
        """The 429 where there is no room for it."""
        held = sum(b.held for b in self._known.values())
        if held + batch.held > MAX_HELD_BYTES or not self._make_room():
            raise ApiError(429, "Too many batch requests are waiting to be processed.")
        self._known[batch.id] = batch

    def get(self, workspace: str, batch_id: str) -> Batch:
        """404 for another workspace's too."""
        batch = self._known.get(batch_id)
        if batch is None or batch.workspace != workspace:
            raise ApiError(404, f"Could not find message batch: {batch_id}")
        if batch.archived is None and self._clock() >= batch.created + KEPT_S:
            batch.archived = batch.created + KEPT_S
            batch.forget()
        return batch

    def ids(self, workspace: str) -> list[str]:
        """The newest first."""
        return [b.id for b in reversed(self._known.values()) if b.workspace == workspace]

    def cancel(self, batch: Batch) -> bool:
        """False where it is being cancelled already; 400 once it has ended."""
        if batch.ended is not None:
            raise invalid(f"Batch {batch.id} has ended and cannot be canceled.")
        if batch.cancelled is not None:
            return False
        batch.cancelled = self._clock()
        return True

    def delete(self, batch: Batch) -> None:
        if batch.ended is None:
            raise invalid(f"Batch {batch.id} is being processed. Cancel it before deleting it.")
        del self._known[batch.id]
        batch.forget()

    def end(self, batch: Batch, rest: Result) -> None:
        """The batch is over; what still waits ends as `rest`."""
        while batch.waiting:
            batch.book(batch.waiting.popleft(), rest)
        random.Random(batch.id).shuffle(batch.lines)  # noqa: S311 - no order is promised
        batch.ended = self._clock()

    def as_json(self, batch: Batch, base_url: str) -> dict[str, Any]:
        """As the API shows it: counts by result only once all is over."""
        over = batch.ended is not None
        counts = {r: batch.counts[r] if over else 0 for r in RESULTS}
        there = over and batch.archived is None
        return {
            "id": batch.id,
            "type": "message_batch",
            "processing_status": batch.status,
            "request_counts": {"processing": 0 if over else batch.total, **counts},
            "created_at": self._date(batch.created),
            "expires_at": self._date(batch.expires),
            "ended_at": self._date(batch.ended),
            "cancel_initiated_at": self._date(batch.cancelled),
            "archived_at": self._date(batch.archived),
            "results_url": f"{base_url}/v1/messages/batches/{batch.id}/results" if there else None,
        }

    def _date(self, moment: float | None) -> str | None:
        return None if moment is None else _rfc3339(self._clock.date(moment))

    def _make_room(self) -> bool:
        if len(self._known) < MAX_BATCHES:
            return True
        oldest = next((b for b in self._known.values() if b.ended is not None), None)
        if oldest is not None:
            self.delete(oldest)
        return oldest is not None


def _rfc3339(date: datetime) -> str:
    return date.isoformat(timespec="microseconds").replace("+00:00", "Z")
