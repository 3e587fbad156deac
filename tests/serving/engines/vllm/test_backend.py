"""The engine as a Backend: what it is asked, and when it is stopped."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from types import SimpleNamespace
from typing import Any

import pytest

from serving.backend import Call
from serving.engines.vllm.backend import VllmBackend
from serving.engines.vllm.warm_up import warm_up
from serving.errors import TierRejected, TierTimeout, TierUnavailable
from serving.settings.tiers import TierSettings
from serving.wire.chat import ChatRequest

TIER = TierSettings.model_validate(
    {"name": "local", "model": "m", "deadline_s": 5, "backend": {"engine": "vllm"}}
)
REQUEST = ChatRequest.model_validate(
    {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
)


class Asked:
    """Stands for vLLM's request type: keeps the body."""

    def __init__(self, body: dict[str, Any]) -> None:
        self.n = 1
        self.tools = self.tool_choice = self.top_logprobs = self.parallel_tool_calls = None
        self.logprobs = False
        self.include_reasoning = True
        self.body = body

    @classmethod
    def model_validate(cls, body: dict[str, Any]) -> "Asked":
        return cls(body)


class Chat:
    """Stands for `OpenAIServingChat`: answers in two steps, or as scripted."""

    parser_cls = None
    model_config = None
    chat_completion_stream_generator: Any

    def __init__(self, fault: Exception | None = None, *, hangs: bool = False) -> None:
        self.fault = fault
        self.hangs = hangs
        self.asked: list[Asked] = []
        self.begun = asyncio.Event()
        self.stopped = 0

    async def create_chat_completion(self, request: Asked) -> Any:
        self.asked.append(request)
        if request.body["stream"]:
            return self.chat_completion_stream_generator(
                request, self._results(), "id", "m", [], None, None, chat_template_kwargs=None
            )
        try:
            self.begun.set()
            if self.hangs:
                await asyncio.Event().wait()
        finally:
            self.stopped += 1
        if self.fault is not None:
            raise self.fault
        return response()

    async def _results(self) -> AsyncIterator[Any]:
        try:
            yield step("Hel", None)
            if self.hangs:
                await asyncio.Event().wait()
            if self.fault is not None:
                raise self.fault
            yield step("lo", "stop")
        finally:
            self.stopped += 1


def step(text: str, finish: str | None) -> SimpleNamespace:
    output = SimpleNamespace(text=text, token_ids=[1], index=0, finish_reason=finish, logprobs=None)
    return SimpleNamespace(prompt_token_ids=[1, 2], num_cached_tokens=0, outputs=[output])


def response() -> SimpleNamespace:
    message = SimpleNamespace(content="Hello", tool_calls=[], refusal=None, reasoning=None)
    choice = SimpleNamespace(index=0, message=message, logprobs=None, finish_reason="stop")
    usage = SimpleNamespace(
        prompt_tokens=2,
        completion_tokens=2,
        prompt_tokens_details=SimpleNamespace(cached_tokens=1),
        completion_tokens_details=None,
    )
    return SimpleNamespace(
        id="id", created=1, model="m", choices=[choice], usage=usage, system_fingerprint=None
    )


def call(seconds: float = 5.0) -> Call:
    return Call("r", "acme", time.monotonic() + seconds)


async def test_a_whole_answer() -> None:
    backend = VllmBackend(TIER, chat := Chat(), Asked)
    found = await backend.complete(REQUEST, call())
    assert found.first.content == "Hello"
    assert (found.usage.prompt_tokens, found.usage.cached_tokens) == (2, 1)
    assert chat.asked[0].body["cache_salt"] == "acme"


async def test_a_stream() -> None:
    backend = VllmBackend(TIER, Chat(), Asked)
    found = [chunk async for chunk in backend.stream(REQUEST, call())]
    assert "".join(c.content or "" for c in found) == "Hello"
    assert found[-1].usage is not None


async def test_who_leaves_stops_the_engine() -> None:
    backend = VllmBackend(TIER, chat := Chat(hangs=True), Asked)
    async with aclosing(backend.stream(REQUEST, call())) as chunks:
        await anext(chunks)
    assert chat.stopped == 1
    task = asyncio.create_task(backend.complete(REQUEST, call()))
    await chat.begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert chat.stopped == 2


async def test_the_deadline_stops_the_engine() -> None:
    backend = VllmBackend(TIER, chat := Chat(hangs=True), Asked)
    with pytest.raises(TierTimeout):
        await backend.complete(REQUEST, call(0.05))
    with pytest.raises(TierTimeout):
        [chunk async for chunk in backend.stream(REQUEST, call(0.05))]
    with pytest.raises(TierTimeout):
        await backend.complete(REQUEST, call(-1))
    assert chat.stopped == 2


async def test_faults() -> None:
    with pytest.raises(TierRejected):
        await VllmBackend(TIER, Chat(ValueError("no")), Asked).complete(REQUEST, call())
    dead = VllmBackend(TIER, Chat(RuntimeError("dead")), Asked)
    with pytest.raises(TierUnavailable):
        [chunk async for chunk in dead.stream(REQUEST, call())]


async def test_warming_up_asks_for_what_compiles() -> None:
    chat = Chat()
    await warm_up(VllmBackend(TIER, chat, Asked), TIER)
    bodies = [asked.body for asked in chat.asked]
    assert any(b.get("logprobs") for b in bodies)
    assert any(b.get("response_format", {}).get("type") == "json_schema" for b in bodies)
    with pytest.raises(TierUnavailable):
        await warm_up(VllmBackend(TIER, Chat(RuntimeError("dead")), Asked), TIER)
