"""Places that many prompts share, known from the structure of a request: the end of its tools, of
its system prompt, and of what its first turn opens with.

Tokens are billed as written up to the last breakpoint, so one more before it costs nothing. Marked
there at the first call, a prefix can be read by the second, before it was seen what both share.
"""

from collections.abc import Sequence
from dataclasses import replace

from cache.prompt.blocks import PromptChain
from cache.prompt.chain import MAX_BREAKPOINTS, Breakpoint, Plan


def seams(chain: PromptChain, moved: bool) -> list[int]:
    """The blocks at which shared parts end, the most shared one first. `moved`: the last text of
    the system prompt is one that changes.
    """
    can = [i for i, block in enumerate(chain.blocks) if block.may_break]
    system = [i for i in can if i < chain.shared - moved]
    tools = [i for i in can if chain.pieces[i].layer == "tools"]
    opening = _opening(chain)
    found = [*system[-1:], *(i for i in opening[-1:] if i in can), *tools[-1:]]
    return list(dict.fromkeys(found))


def with_seams(
    plan: Plan, chain: PromptChain, places: Sequence[int], *, live: int, least: int
) -> Plan:
    """`plan` with breakpoints at seams within what it writes, as far as there are any left. `live`:
    the block up to which is read, -1 for none; `least`: tokens of the shortest prefix that is
    stored.
    """
    points = list(plan.breakpoints)
    for index in places:
        if len(points) >= MAX_BREAKPOINTS:
            break
        behind = [p for p in points if p.index >= index]
        stored = index > live and chain.ends[index] >= least
        if stored and behind and behind[0].index != index:
            points.append(Breakpoint(index, behind[0].ttl))
            points.sort(key=lambda point: point.index)
    if len(points) == len(plan.breakpoints):
        return plan
    return replace(plan, breakpoints=tuple(points))


def _opening(chain: PromptChain) -> list[int]:
    """The blocks of the first turn, its last one excepted: that is the question."""
    found: list[int] = []
    for i in range(chain.shared, len(chain.pieces)):
        if chain.pieces[i].tag != "user":
            break
        found.append(i)
    return found[:-1]
