"""What a shelf says of itself."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ShelfStats:
    """`bytes` is what `max_bytes` bounds: entries, vectors and tables; `index_bytes` what the index
    takes of memory just now, tombstones and a rebuild included. `by_task`: entries by tenant and
    task. `evicted`: for want of room, since opening, like `expired`, `dropped` (found wrong, purged
    or replaced) and `added`. `waiting`: changes that are not written yet.
    """

    entries: int
    scopes: int
    bytes: int
    max_bytes: int
    index_bytes: int
    by_task: Mapping[tuple[str, str], int]
    index_kinds: Mapping[str, int]
    added: int
    evicted: int
    expired: int
    dropped: int
    waiting: int
