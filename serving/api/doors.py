"""Open or closed: how the API drains."""

import asyncio


class Doors:
    """A context that counts requests inside. Once closed, new ones are refused and `empty` tells
    when the last of the others has left. For use in one event loop.
    """

    def __init__(self) -> None:
        self.open = True
        self.inside = 0
        self._last_left = asyncio.Event()

    def close(self) -> None:
        self.open = False
        if not self.inside:
            self._last_left.set()

    def __enter__(self) -> None:
        self.inside += 1

    def __exit__(self, *_: object) -> None:
        self.inside -= 1
        if not self.open and not self.inside:
            self._last_left.set()

    async def empty(self, timeout_s: float) -> bool:
        """True once closed and empty, False after `timeout_s`."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._last_left.wait()
        except TimeoutError:
            return False
        return True
