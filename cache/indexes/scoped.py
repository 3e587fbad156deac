"""One index per scope: exact while it is small, promoted when it has grown."""

import sys
from collections import Counter
from collections.abc import Collection, Mapping

from cache.index import Match, Vector
from cache.indexes import flat
from cache.indexes.builder import Builder
from cache.indexes.flat import Flat, Held, empty, size_in_bytes
from cache.indexes.graph import Maker
from cache.indexes.promoted import Promoted


class ScopedIndex:
    """See `cache.index.Index`. Without a `maker` every scope stays exact."""

    def __init__(self, dimensions: int, maker: Maker | None, *, promote_at: int) -> None:
        self._dimensions = dimensions
        self._maker = maker
        self._promote_at = promote_at
        self._scopes: dict[str, Held | Promoted] = {}
        self._promoted: set[str] = set()
        self._bytes = 0
        self._builder = Builder()

    def add(self, scope: str, key: int, vector: Vector) -> None:
        held = self._scopes.get(scope)
        if isinstance(held, Promoted):
            held.add(key, vector)
            if held.due:
                self._builder.advance(held)
            return
        small = Flat(empty(self._dimensions) if held is None else held)
        before = 0 if held is None else small.bytes
        small.add(key, vector)
        self._bytes += small.bytes - before
        self._scopes[sys.intern(scope)] = small.held
        if self._maker is not None and len(small) >= self._promote_at:
            self._promote(scope, small, self._maker)

    def remove(self, scope: str, keys: Collection[int]) -> None:
        held = self._scopes.get(scope)
        if held is None or not keys:
            return
        if isinstance(held, Promoted):
            held.remove(keys)
            if not len(held):
                del self._scopes[scope]
                self._promoted.discard(scope)
                held.close()
            elif held.due:
                self._builder.advance(held)
            return
        small = Flat(held)
        small.remove(keys)
        self._bytes -= size_in_bytes(held)
        if len(small):
            self._bytes += small.bytes
            self._scopes[scope] = small.held
        else:
            del self._scopes[scope]

    def search(self, scope: str, vector: Vector, most: int) -> list[Match]:
        held = self._scopes.get(scope)
        if held is None or most <= 0:
            return []
        if isinstance(held, Promoted):
            return held.search(vector, most)
        return flat.search(held, vector, most)

    def size(self, scope: str) -> int:
        held = self._scopes.get(scope)
        if held is None:
            return 0
        return len(held if isinstance(held, Promoted) else Flat(held))

    @property
    def bytes(self) -> int:
        return self._bytes + sum(p.bytes for p in self._large())

    def kinds(self) -> Mapping[str, int]:
        kinds = Counter(large.kind for large in self._large())
        small = len(self._scopes) - len(self._promoted)
        return {**kinds, **({"flat": small} if small else {})}

    def settle(self) -> None:
        self._builder.settle()

    def close(self) -> None:
        self._builder.close()

    def _promote(self, scope: str, small: Flat, maker: Maker) -> None:
        self._bytes -= small.bytes
        large = Promoted(maker, small)
        self._scopes[scope] = large
        self._promoted.add(scope)
        self._builder.advance(large)

    def _large(self) -> list[Promoted]:
        found = (self._scopes.get(scope) for scope in tuple(self._promoted))
        return [held for held in found if isinstance(held, Promoted)]
