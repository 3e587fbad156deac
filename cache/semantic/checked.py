"""What comes in, checked: an entry that cannot be kept as it is, is refused with the reason."""

import re
import time
from decimal import Decimal
from secrets import randbits

from sqlalchemy import String

from cache.semantic.entry import Entry, NewEntry, UnfitEntry, Vector
from cache.semantic.packed import pack
from serving.storage.schema import semantic_entries
from serving.storage.types import storable

_SCOPE = re.compile(r"[0-9a-f]{64}")
UNIT = 0.01
"""How far a vector's squared length may be from 1."""

LATEST = 253_000_000_000
"""In the year 9987."""

DEAREST = 1_000_000
MAX_TAGS = 32
MAX_TAG = 128


def check_vector(vector: Vector, dimensions: int) -> None:
    """`UnfitEntry` unless it is a float32 row of `dimensions` numbers and of length 1."""
    shape = getattr(vector, "shape", None)
    if shape != (dimensions,) or vector.dtype != "float32":
        got = "no array" if shape is None else f"{vector.dtype} of shape {shape}"
        raise UnfitEntry(f"a vector must be float32 with {dimensions} numbers, not {got}")
    square = float(vector @ vector)
    if not abs(square - 1.0) <= UNIT:  # also where it is not a number
        raise UnfitEntry(f"a vector must have length 1, and be finite; its square is {square:.6g}")


def check(new: NewEntry, dimensions: int, max_bytes: int) -> None:
    """`UnfitEntry` where the entry cannot be kept as it is."""
    check_vector(new.vector, dimensions)
    question = new.question
    if not _SCOPE.fullmatch(question.scope):
        raise UnfitEntry("a scope is 64 hexadecimal digits")
    size = len(question.text.encode("utf-8", "replace")) + len(new.answer)
    if size > max_bytes:
        raise UnfitEntry(f"an entry of {size} bytes is too large: at most {max_bytes} are kept")
    if not new.answer:
        raise UnfitEntry("an entry needs an answer")
    if len(question.tags) > MAX_TAGS or any(not 0 < len(t) <= MAX_TAG for t in question.tags):
        raise UnfitEntry(f"an entry has at most {MAX_TAGS} tags, of 1 to {MAX_TAG} characters")
    for name, value in _names(new).items():
        kind = semantic_entries.c[name].type
        limit = kind.length if isinstance(kind, String) else None
        if value is not None and storable(value, limit) != value:
            raise UnfitEntry(f"'{name}' is longer than {limit} characters or not storable text")
    if not 0 <= new.expires_at < LATEST:
        raise UnfitEntry(f"{new.expires_at} is no Unix time at which an entry may expire")
    cost = Decimal(0) if new.cost_usd is None else new.cost_usd
    if not (cost.is_finite() and 0 <= cost < DEAREST):
        raise UnfitEntry(f"a cost of {cost} USD makes no sense")


def _names(new: NewEntry) -> dict[str, str | None]:
    """What must be stored as it is, by its column."""
    return {
        "tenant": new.question.tenant,
        "task": new.question.task,
        "document": new.question.document,
        "tier": new.tier,
        "model": new.model,
        "request_id": new.request_id,
    }


def made(new: NewEntry, key: int, now: float) -> Entry:
    """The entry, ready to be kept; takes longer the longer its answer is."""
    question = new.question
    return Entry(
        id=key,
        scope=question.scope,
        tenant=question.tenant,
        task=question.task,
        tags=tuple(storable(tag) or "" for tag in question.tags),
        document=question.document,
        text=storable(question.text) or "",
        packed=pack(new.answer),
        tier=new.tier,
        model=new.model,
        simulated=new.simulated,
        cost_usd=new.cost_usd,
        request_id=new.request_id,
        expires_at=new.expires_at,
        created_at=now,
    )


class Ids:
    """Numbers of 63 bits that rise with time, unlike those of any other process."""

    _since = 1_700_000_000

    def __init__(self) -> None:
        self._last = 0

    def next(self) -> int:
        millis = int((time.time() - self._since) * 1_000)
        self._last = max(self._last + 1, (millis << 21) | randbits(21))
        return self._last
