"""How many replicas a handle can reach at this moment."""

from typing import Any


def running_replicas(handle: Any) -> int | None:
    """None where the handle can't tell. Ray tells nobody, so its router is looked into: a wrong
    guess costs a wait, not an answer.
    """
    router = getattr(getattr(handle, "_router", None), "_asyncio_router", None)
    if router is None:
        return None
    if not router.running_replicas_populated():
        return 0
    chosen = getattr(router, "request_router", None)
    return None if chosen is None else len(chosen.curr_replicas)
