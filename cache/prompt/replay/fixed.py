"""What one does without a planner: store every prompt as a whole, always for the same time.

Such a habit still has to put its four breakpoints somewhere, and no place suits all traffic, so
each habit is billed at the cheaper of two placements in hindsight:

- `trailing` needs no memory: the prompt's end; the last block but one, since the last is rarely
  shared to its end; and from there 20 and 40 positions back, so that the lookback windows join
  and an earlier turn is found although the prompt grew by up to 60 positions.
- `branching` knows the past: the prompt's end and the last block but one; the longest prefix that
  is stored now; and where the prompt departs from all that were seen before, as one would mark the
  end of a system prompt or a shared document.
"""

from collections.abc import Sequence
from typing import Literal

from cache.prompt.chain import LOOKBACK, Block, Breakpoint, Plan, Ttl
from cache.prompt.rules import Shelf

Placement = Literal["trailing", "branching"]
PLACEMENTS: tuple[Placement, ...] = ("trailing", "branching")


class Always:
    """Everything is stored for `ttl`. `shelf` holds what was stored so far."""

    def __init__(self, ttl: Ttl, placement: Placement, shelf: Shelf) -> None:
        self._ttl: Ttl = ttl
        self._placement: Placement = placement
        self._shelf = shelf
        self._seen: set[bytes] = set()

    def plan(self, chain: Sequence[Block], now: float) -> Plan:
        can = [i for i, block in enumerate(chain) if block.may_break]
        wanted = self._trailing(can) if self._placement == "trailing" else self._known(chain, now)
        wanted += can[-2:]
        points = tuple(Breakpoint(i, self._ttl) for i in sorted({i for i in wanted if i in can}))
        return Plan(points, f"always {self._ttl}")

    def observe(self, chain: Sequence[Block], _plan: Plan, _now: float) -> None:
        if self._placement == "branching":
            self._seen.update(block.key for block in chain)

    def _trailing(self, can: list[int]) -> list[int]:
        """Positions of recorded blocks are their indices."""
        if len(can) < 2:
            return []
        return [can[-2] - LOOKBACK, can[-2] - 2 * LOOKBACK]

    def _known(self, chain: Sequence[Block], now: float) -> list[int]:
        departs = stored = -1
        for i, block in enumerate(chain):
            if block.key not in self._seen:
                break
            departs = i
            entry = self._shelf.find(block.key, now)
            if entry is not None and entry.begins <= now:
                stored = i
        return [departs, stored]


class Never:
    """No breakpoint anywhere."""

    def plan(self, _chain: Sequence[Block], _now: float) -> Plan:
        return Plan(reason="never")

    def observe(self, chain: Sequence[Block], plan: Plan, now: float) -> None:
        """Nothing to learn."""
