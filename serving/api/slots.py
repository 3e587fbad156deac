"""How many requests run at once, in all and per key."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from serving.api.auth import Caller
from serving.errors import Overloaded, RateLimited

RETRY_AFTER_S = 1.0
FLEX_RETRY_S = 30.0


class Slots:
    """A slot is held from before the body is read until the answer has left, so that the memory of
    all bodies is bounded too. Nobody waits for one: a full house says so at once.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken = 0
        self._by_key: Counter[str] = Counter()

    @contextmanager
    def taken(self, caller: Caller) -> Iterator[None]:
        """Raises `Overloaded` where the house is full, `RateLimited` where the key's share is."""
        own = caller.limits.max_concurrent
        key = caller.key_id
        if key is not None and own is not None and self._by_key[key] >= own:
            raise RateLimited(
                f"This API key may have {own} requests in flight at once.",
                code="concurrency_limit_exceeded",
                retry_after=RETRY_AFTER_S,
            )
        if self._taken >= self._most:
            raise Overloaded("Too many requests are in flight.", retry_after=RETRY_AFTER_S)
        self._taken += 1
        if key is not None:
            self._by_key[key] += 1
        try:
            yield
        finally:
            self._taken -= 1
            if key is not None:
                self._by_key[key] -= 1
                if not self._by_key[key]:
                    del self._by_key[key]


class Waiting:
    """How many requests that can wait do so at once: their slots must not be all there are."""

    def __init__(self, most: int) -> None:
        self._most = max(1, most)
        self._taken = 0

    @contextmanager
    def taken(self) -> Iterator[None]:
        if self._taken >= self._most:
            message = f"{self._most} requests wait for idle capacity, as many as may."
            raise RateLimited(message, code="resource_unavailable", retry_after=FLEX_RETRY_S)
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1
