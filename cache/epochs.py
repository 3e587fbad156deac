"""Which of the answers that one process keeps have been overtaken by an eviction somewhere."""

from collections import OrderedDict
from collections.abc import Collection

REMEMBERED = 10_000


class Epochs:
    """What a process knows of evictions, by the number of its own looks at them.

    An answer holds the number of the look before which it was asked for. It is overtaken once a
    later look finds its scope evicted. This errs on the safe side: an answer that was made between
    an eviction and the look that finds it goes too, at the price of one miss.
    """

    def __init__(self) -> None:
        self.looks = 0
        self._evicted: OrderedDict[str, int] = OrderedDict()
        self._forgotten = 0

    def learn(self, scopes: Collection[str], *, complete: bool) -> None:
        """The findings of one look; where they are not complete, every earlier answer goes."""
        self.looks += 1
        for scope in scopes:
            self._evicted[scope] = self.looks
            self._evicted.move_to_end(scope)
        while len(self._evicted) > REMEMBERED:
            _, self._forgotten = self._evicted.popitem(last=False)
        if not complete:
            self._forgotten = self.looks
            self._evicted.clear()

    def overtaken(self, scope: str, look: int) -> bool:
        """Whether an answer asked for after `look` must not be used any more."""
        return look < max(self._forgotten, self._evicted.get(scope, 0))
