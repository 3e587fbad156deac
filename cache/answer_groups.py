"""Which stored answers say the same, as far as they were compared."""

from collections import defaultdict
from collections.abc import Iterable


class AnswerGroups:
    """By entry. Whoever compares a fresh answer with stored ones tells; entries that agree with one
    answer agree with each other. In memory only: what is not known is known again after some
    misses. Holds no more than the entries that were told of and not forgotten.
    """

    def __init__(self) -> None:
        self._group: dict[int, int] = {}
        self._members: defaultdict[int, set[int]] = defaultdict(set)
        self._next = 0

    def of(self, entry: int) -> int | None:
        """None where its answer was never compared."""
        return self._group.get(entry)

    def compared(self, entry: int, agrees: Iterable[int], differs: Iterable[int]) -> None:
        """The answer of `entry` says what those of `agrees` say, and those of `differs` don't."""
        mine = self._known(entry)
        for other in agrees:
            mine = self._merge(mine, self._known(other))
        for other in differs:
            self._known(other)

    def forget(self, entry: int) -> None:
        group = self._group.pop(entry, None)
        if group is None:
            return
        self._members[group].discard(entry)
        if not self._members[group]:
            del self._members[group]

    def __len__(self) -> int:
        return len(self._group)

    def _known(self, entry: int) -> int:
        if entry not in self._group:
            self._next += 1
            self._group[entry] = self._next
            self._members[self._next].add(entry)
        return self._group[entry]

    def _merge(self, one: int, other: int) -> int:
        """The smaller goes into the larger, so that all merges together stay cheap."""
        if one == other:
            return one
        small, large = sorted((one, other), key=lambda group: len(self._members[group]))
        for entry in self._members.pop(small):
            self._group[entry] = large
            self._members[large].add(entry)
        return large
