from collections.abc import Callable
from typing import Any

import pytest

from serving.errors import TierUnavailable
from serving.hosted.emulator.answer import Answer, Job
from serving.hosted.emulator.prompt_cache import CachePlan
from serving.hosted.emulator.render import sse, whole
from serving.hosted.emulator.thinking import Thinking
from serving.hosted.emulator.wire import MessagesRequest
from serving.hosted.emulator.writer import Event
from serving.hosted.models import catalog
from tests.serving.hosted.fakes import OPUS, Scripted, answer, call, tool_answer

THOUGHT = Thinking(60, "Weighing.", omitted=False)


def job(
    backend: Scripted,
    *,
    thinking: Thinking | None = None,
    total: int = 10,
    begin: Callable[[], None] = lambda: None,
    **fields: Any,
) -> Job:
    base = {"model": OPUS, "max_tokens": 500, "messages": [{"role": "user", "content": "Hi"}]}
    request = MessagesRequest.model_validate(base | fields)
    plan = CachePlan(total, 0, 0, 0, (), 0.0)
    ability = catalog().ability(OPUS)
    return Job(request, ability, backend, call(), plan, thinking, "sig", begin)


async def made(found: Job) -> tuple[list[Event], dict[str, Any]]:
    listed = [event async for part in Answer(found).parts() for event in part]

    async def again() -> Any:
        for event in listed:
            yield [event]

    return listed, await whole(again())


async def test_the_exact_order_of_events() -> None:
    listed, message = await made(job(Scripted(answer("Hello there")), thinking=THOUGHT))
    kinds = [
        e["type"] + (f" {e['delta']['type']}" if e["type"] == "content_block_delta" else "")
        for e in listed
    ]
    assert kinds == [
        "message_start",
        "content_block_start",
        "ping",
        "content_block_delta thinking_delta",
        "content_block_delta signature_delta",
        "content_block_stop",
        "content_block_start",
        *["content_block_delta text_delta"] * 4,
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert message["content"] == [
        {"type": "thinking", "thinking": "Weighing.", "signature": "sig"},
        {"type": "text", "text": "Hello there"},
    ]
    assert message["stop_reason"] == "end_turn"
    assert message["usage"]["output_tokens"] == 63
    assert message["usage"]["output_tokens_details"] == {"thinking_tokens": 60}
    assert "cache_creation" in listed[0]["message"]["usage"]
    assert "cache_creation" not in listed[-2]["usage"]


async def test_thinking_counts_toward_max_tokens() -> None:
    backend = Scripted()
    _, message = await made(job(backend, thinking=THOUGHT, max_tokens=100))
    assert backend.asked[0].output_limit == 40
    _, message = await made(job(backend, thinking=THOUGHT, max_tokens=60))
    assert len(backend.asked) == 1
    assert [b["type"] for b in message["content"]] == ["thinking"]
    assert message["stop_reason"] == "max_tokens"
    assert message["usage"]["output_tokens"] == 60


async def test_warming_answers_nothing_but_begins() -> None:
    begun: list[int] = []
    backend = Scripted()
    found = job(backend, max_tokens=0, thinking=THOUGHT, begin=lambda: begun.append(1))
    _, message = await made(found)
    assert (message["content"], message["usage"]["output_tokens"]) == ([], 0)
    assert begun == [1]
    assert not backend.asked


async def test_what_is_left_of_the_context_bounds_the_answer() -> None:
    backend = Scripted(answer("x", finish_reason="length"))
    _, message = await made(job(backend, total=999_900))
    assert backend.asked[0].output_limit == 100
    assert message["stop_reason"] == "model_context_window_exceeded"
    _, message = await made(job(backend))
    assert message["stop_reason"] == "max_tokens"


async def test_a_stop_sequence_ends_the_answer_and_the_backend() -> None:
    backend = Scripted(answer("one two END three", tokens=99))
    _, message = await made(job(backend, stop_sequences=["END"]))
    assert message["content"] == [{"type": "text", "text": "one two "}]
    assert (message["stop_reason"], message["stop_sequence"]) == ("stop_sequence", "END")
    assert message["usage"]["output_tokens"] == 3
    assert backend.closed.is_set()


async def test_tool_calls() -> None:
    reply = tool_answer(("c1", "f", '{"a":1}'), ("c2", "g", ""))
    _, message = await made(job(Scripted(reply)))
    first, second = message["content"]
    assert (first["name"], first["input"]) == ("f", {"a": 1})
    assert (second["name"], second["input"]) == ("g", {})
    assert first["id"].startswith("toolu_")
    assert message["stop_reason"] == "tool_use"


async def test_parallel_tool_use_can_be_disabled() -> None:
    reply = tool_answer(("c1", "f", "{}"), ("c2", "g", '{"b":2}'))
    choice = {"type": "auto", "disable_parallel_tool_use": True}
    _, message = await made(job(Scripted(reply), tool_choice=choice))
    assert [b["name"] for b in message["content"]] == ["f"]
    assert message["content"][0]["input"] == {}


async def test_a_refusal_is_a_stop_reason_with_details() -> None:
    reply = answer(None, refusal="Not that.", finish_reason="content_filter")
    _, message = await made(job(Scripted(reply)))
    assert message["stop_reason"] == "refusal"
    assert message["stop_details"]["explanation"] == "Not that."


async def test_a_failing_backend_fails_before_anything_begins() -> None:
    begun: list[int] = []
    backend = Scripted(TierUnavailable("down"))
    with pytest.raises(TierUnavailable):
        await made(job(backend, begin=lambda: begun.append(1)))
    assert begun == []


def test_an_event_on_the_wire() -> None:
    assert sse({"type": "ping"}) == b'event: ping\ndata: {"type":"ping"}\n\n'
    assert "é".encode() in sse({"type": "x", "text": "é"})
    assert sse({"type": "x", "text": "\ud800"}).endswith(b"\n\n")
