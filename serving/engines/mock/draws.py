"""Draws that depend on a key alone: the same in every process, order and thread."""

from collections.abc import Sequence
from hashlib import blake2b
from statistics import NormalDist
from struct import Struct
from typing import TypeVar

T = TypeVar("T")

_NORMAL = NormalDist()
_EIGHT = Struct("<8Q")


def derive(key: bytes, *labels: str | int) -> bytes:
    """A 16-byte key for a purpose; labels are told apart by their borders and order."""
    text = "\x1f".join(str(label) for label in labels)
    return blake2b(text.encode("utf-8", "surrogatepass"), key=key, digest_size=16).digest()


class Draws:
    """An endless sequence of numbers from a key of at most 64 bytes (BLAKE2b in counter mode)."""

    __slots__ = ("_block", "_key", "_left")

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._block = 0
        self._left: list[float] = []

    def uniform(self) -> float:
        """In the open interval (0, 1)."""
        if not self._left:
            self._left = self._next()
        return self._left.pop()

    def uniforms(self, count: int) -> list[float]:
        """`count` of them at once."""
        drawn = self._left[::-1]
        while len(drawn) < count:
            drawn += self._next()[::-1]
        self._left = drawn[count:][::-1]
        return drawn[:count]

    def _next(self) -> list[float]:
        block = blake2b(self._block.to_bytes(8, "little"), key=self._key).digest()
        self._block += 1
        return [((n >> 11) + 0.5) * 2.0**-53 for n in _EIGHT.unpack(block)]

    def normal(self) -> float:
        """Standard normal, by inversion."""
        return _NORMAL.inv_cdf(self.uniform())

    def chance(self, share: float) -> bool:
        return self.uniform() < share

    def between(self, low: int, high: int) -> int:
        """An integer in [low, high]."""
        return low + min(int(self.uniform() * (high - low + 1)), high - low)

    def pick(self, items: Sequence[T]) -> T:
        return items[self.between(0, len(items) - 1)]

    def sample(self, items: Sequence[T], count: int) -> list[T]:
        """Up to `count` of the items, each at most once, in drawn order."""
        pool = list(items)
        return [pool.pop(self.between(0, len(pool) - 1)) for _ in range(min(count, len(pool)))]
