"""A tier without a running replica is passed over at once."""

import time
from types import SimpleNamespace
from typing import Any

import pytest

from serving.backend import Call
from serving.engines.remote.handle import HandleBackend, conversation_bucket, prefix_bucket
from serving.engines.remote.replicas import running_replicas
from serving.errors import TierUnavailable
from serving.wire.chat import ChatRequest


class Handle:
    """As much of Ray's handle as tells how many replicas it can reach."""

    def __init__(self, replicas: int | None) -> None:
        self.replicas = replicas

    def options(self, **_: Any) -> "Handle":
        return self

    def remote(self, *_: Any) -> Any:
        raise AssertionError("nobody is there to be asked")

    @property
    def _router(self) -> Any:
        if self.replicas is None:
            return None
        replicas = dict.fromkeys(range(self.replicas))
        router = SimpleNamespace(
            running_replicas_populated=lambda: bool(replicas),
            request_router=SimpleNamespace(curr_replicas=replicas),
        )
        return SimpleNamespace(_asyncio_router=router)


def request(*texts: str) -> ChatRequest:
    roles = ["system", "user", "assistant", "user"]
    messages = [{"role": r, "content": t} for r, t in zip(roles, texts, strict=False)]
    return ChatRequest.model_validate({"model": "m", "messages": messages})


def call(tenant: str = "acme") -> Call:
    return Call("r", tenant, time.monotonic() + 5)


@pytest.mark.parametrize(("replicas", "found"), [(0, 0), (2, 2), (None, None)])
def test_counting(replicas: int | None, found: int | None) -> None:
    assert running_replicas(Handle(replicas)) == found


async def test_nobody_there() -> None:
    backend = HandleBackend(Handle(0), "local")
    assert not backend.started
    with pytest.raises(TierUnavailable, match="no replica of it is running"):
        await backend.complete(request("s", "u"), call())
    with pytest.raises(TierUnavailable, match="no replica of it is running"):
        await anext(backend.stream(request("s", "u"), call()))


async def test_a_tier_that_sleeps_is_woken() -> None:
    backend = HandleBackend(Handle(0), "local", sleeps=True)
    assert backend.started
    with pytest.raises(AssertionError, match="nobody is there"):
        await backend.complete(request("s", "u"), call())


def test_once_started_always_started() -> None:
    handle = Handle(1)
    backend = HandleBackend(handle, "local")
    assert backend.started
    handle.replicas = 0
    assert backend.started


def test_turns_of_a_conversation_share_a_bucket() -> None:
    first, later = request("s", "Where is it?"), request("s", "Where is it?", "Here.", "Thanks")
    assert conversation_bucket(first, call()) == conversation_bucket(later, call())


def test_conversations_under_one_system_prompt_spread() -> None:
    asked = [request("s", f"Question {n}") for n in range(64)]
    assert len({conversation_bucket(r, call()) for r in asked}) > 32
    assert len({prefix_bucket(r, call()) for r in asked}) == 1


def test_tenants_do_not_share_buckets() -> None:
    found = {conversation_bucket(request("s", "u"), call(f"t{n}")) for n in range(64)}
    assert len(found) > 32
