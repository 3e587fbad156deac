"""Keeps a request's cache breakpoints within what the API accepts."""

from collections.abc import Iterator
from typing import Any

from serving.hosted.translate.blocks import UNMARKED, Block

MAX_BREAKPOINTS = 4


def limit_breakpoints(kwargs: dict[str, Any]) -> tuple[str, ...]:
    """Removes breakpoints beyond the fourth and lowers an hour that stands behind five minutes;
    both are a 400, and so is automatic caching of a last block that has a lifetime of its own: the
    block's counts. The first breakpoint (tools or system) and the last ones stay: they are the
    prefix that most requests share and the longest one. Modifies `kwargs`; returns what it did.
    """
    notes: list[str] = []
    own = (_last(kwargs) or {}).get("cache_control")
    if own is not None and kwargs.pop("cache_control", own) != own:
        notes.append("cache_control: the last block's own counts")
    carriers = [b for b in _blocks(kwargs) if "cache_control" in b]
    budget = MAX_BREAKPOINTS - ("cache_control" in kwargs)
    if len(carriers) > budget:
        keep = [carriers[0], *carriers[len(carriers) - budget + 1 :]]
        for block in carriers[1 : len(carriers) - budget + 1]:
            del block["cache_control"]
        notes.append(f"cache_control: {len(carriers) - budget} of {len(carriers)} left out")
        carriers = keep
    short = False
    for block in [*carriers, *([kwargs] if "cache_control" in kwargs else [])]:
        control = block["cache_control"]
        if control.get("ttl", "5m") == "5m":
            short = True
        elif short:
            block["cache_control"] = {**control, "ttl": "5m"}
            notes.append("cache_control: 1h behind 5m lowered to 5m")
    return tuple(dict.fromkeys(notes))


def _last(kwargs: dict[str, Any]) -> Block | None:
    """The block that automatic caching marks."""
    blocks = [b for m in kwargs["messages"] for b in m["content"]]
    return next((b for b in reversed(blocks) if b["type"] not in UNMARKED), None)


def _blocks(kwargs: dict[str, Any]) -> Iterator[Block]:
    """Everything that can carry a breakpoint, in the order of the prefix."""
    yield from kwargs.get("tools", ())
    yield from kwargs.get("system", ())
    for message in kwargs["messages"]:
        yield from message["content"]
