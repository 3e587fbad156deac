"""The semantic cache as a Backend."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from decimal import Decimal
from typing import Any

import pytest

pytest.importorskip("faiss", reason="these tests need the extra `cache`")

from cache.semantic.entry import CUT
from cache.semantic.memory import Found, Memory
from cache.semantic.question import Asked
from serving.backend import Call
from serving.settings.semantic import SemanticSettings
from serving.settings.tasks import TaskCache, TaskSettings
from serving.wire.completion import Choice, ToolCallPart
from tests.cache.fakes import text_of, unmade
from tests.cache.semantic.world import AGAIN, ASKED, OTHER, READS, Gated, chat, task, world

TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


async def test_a_rephrasing_gets_the_stored_answer_at_no_cost() -> None:
    async with world() as w:
        first, made = await w.ask(ASKED)
        again, call = await w.ask(AGAIN)
        assert w.inner.asked == 1
        assert unmade(again) == unmade(first)
        assert again.id not in (first.id, "")
        assert (made.trace.cache, call.trace.cache) == ("miss", "semantic")
        assert (call.trace.tier, call.trace.cost_usd) == ("big", Decimal(0))
        (note,) = (d for d in call.trace.decisions if d.stage == "semantic")
        assert note.decision == "hit"
        assert "cosine" in note.reason
        assert "0.02 USD saved" in note.reason
        assert "password" not in note.reason
        assert w.ledger.rows[-1].kind == "cache_hit"
        assert w.ledger.rows[-1].reason == "semantic_cache_hit"


async def test_the_same_text_is_an_exact_hit_without_a_vector() -> None:
    async with world() as w:
        await w.ask(ASKED)
        before = len(w.embedder.texts)
        _, call = await w.ask(ASKED)
        assert call.trace.cache == "exact"
        assert w.ledger.rows[-1].reason == "exact_cache_hit"
        assert len(w.embedder.texts) == before


async def test_another_question_is_a_miss_and_says_why() -> None:
    async with world() as w:
        await w.ask(ASKED)
        _, call = await w.ask(OTHER)
        assert w.inner.asked == 2
        (note,) = (d for d in call.trace.decisions if d.stage == "semantic")
        assert note.decision == "miss"
        assert "below the cut" in note.reason


async def test_what_the_embedder_reads_in_part_is_not_kept() -> None:
    """Its vector would be that of every text that begins like it."""
    long = "password " * READS
    async with world() as w:
        _, made = await w.ask(long + "reset")
        _, call = await w.ask(long + "delete")
        assert w.inner.asked == 2
        assert [
            d.reason for c in (made, call) for d in c.trace.decisions if d.stage == "semantic"
        ] == [
            CUT,
            CUT,
        ]
        assert w.memory.shelf.stats().entries == 0


async def test_a_hit_is_streamed_where_a_stream_is_asked_for() -> None:
    async with world() as w:
        chunks, made = await w.stream(ASKED)
        again, call = await w.stream(AGAIN)
        assert w.inner.asked == 1
        assert text_of(again) == text_of(chunks) == "Rayleigh scattering."
        assert (made.trace.cache, call.trace.cache) == ("miss", "semantic")
        assert again[-1].usage is not None


async def test_the_vector_of_a_miss_is_there_for_others() -> None:
    async with world() as w:
        _, call = await w.ask(ASKED)
        found = call.computed.embedding
        assert found is not None
        assert (found.text, found.embedder, len(found.vector)) == (ASKED, "words", 4 * 64)
        assert w.embedder.texts == [ASKED]


def _best_effort(call: Call) -> None:
    call.trace.best_effort = "passed nowhere"


def _degraded(call: Call) -> None:
    call.trace.degraded = "smaller"


NOT_KEPT: dict[str, dict[str, Any]] = {
    "best effort": {"mark": _best_effort},
    "degraded": {"mark": _degraded},
    "not accepted": {"outcome": "best_effort"},
    "cut short": {"choices": (Choice(content="x", finish_reason="length"),)},
    "filtered": {"choices": (Choice(content="x", finish_reason="content_filter"),)},
    "refused": {"choices": (Choice(content="no", refusal="no"),)},
    "tool calls": {
        "choices": (
            Choice(tool_calls=(ToolCallPart(0, "c1", "f", "{}"),), finish_reason="tool_calls"),
        )
    },
}


@pytest.mark.parametrize("why", NOT_KEPT)
async def test_what_must_not_be_kept_is_not(why: str) -> None:
    async with world(**NOT_KEPT[why]) as w:
        for ask in (w.ask, w.stream):
            await ask(ASKED)
            await ask(AGAIN)
        assert w.inner.asked == 4
        assert w.memory.shelf.stats().entries == 0


async def test_tool_calls_are_kept_where_the_task_allows_them() -> None:
    calls = (Choice(tool_calls=(ToolCallPart(0, "c1", "f", "{}"),), finish_reason="tool_calls"),)
    async with world(task(tool_calls=True), choices=calls) as w:
        await w.ask(ASKED, {"tools": [TOOL]})
        answer, _ = await w.ask(AGAIN, {"tools": [TOOL]})
        assert w.inner.asked == 1
        assert answer.first.tool_calls[0].name == "f"


async def test_a_stream_that_breaks_off_is_not_kept() -> None:
    async with world(fail_after=3) as w:
        with pytest.raises(ConnectionError):
            await w.stream(ASKED)
        await w.settled()
        assert w.memory.shelf.stats().entries == 0


async def test_a_stream_that_is_left_is_ended_and_not_kept() -> None:
    async with world(kind=Gated) as w:
        async with aclosing(w.cached.stream(chat(ASKED, stream=True), w.call())) as chunks:
            await anext(chunks)
        await w.settled()
        assert isinstance(w.inner, Gated)
        assert w.inner.cancelled == 1
        assert w.memory.shelf.stats().entries == 0


OFF: dict[str, dict[str, Any]] = {
    "opted out": {"stepwell": {"cache": False}},
    "n": {"n": 2},
    "logprobs": {"logprobs": True},
    "a tool must be called": {"tools": [TOOL], "tool_choice": "required"},
    "an image": {
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": ASKED},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}},
                ],
            }
        ]
    },
    "the last word is a tool's": {
        "messages": [
            {"role": "user", "content": ASKED},
            {
                "role": "assistant",
                "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
                ],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "42"},
        ]
    },
    "empty": {"messages": [{"role": "user", "content": "  "}]},
    "too long": {"messages": [{"role": "user", "content": "why " * 600}]},
}


@pytest.mark.parametrize("why", OFF)
async def test_what_is_not_for_it_does_not_reach_it(why: str) -> None:
    async with world() as w:
        fields = OFF[why]
        await w.ask(ASKED, fields)
        await w.ask(AGAIN, fields)
        assert w.inner.asked == 2
        assert w.memory.shelf.stats().entries == 0
        assert w.embedder.texts == []


async def test_a_critical_task_and_one_that_opts_out() -> None:
    critical = TaskSettings(name="legal", critical=True)
    exact = task("exact", enabled=False)
    off = TaskSettings(name="off", cache=TaskCache(enabled=False))
    async with world(critical, exact, off) as w:
        for name in ("legal", "exact", "off"):
            await w.ask(ASKED, task=name)
            _, call = await w.ask(AGAIN, task=name)
            assert call.trace.cache == "off"
        assert w.inner.asked == 6


class Broken:
    """A memory of which every method does what it is told."""

    def __init__(self, look_up: Callable[[Asked], Any]) -> None:
        self._look_up = look_up

    async def look_up(self, asked: Asked) -> Found:
        found: Found = await self._look_up(asked)
        return found

    def __getattr__(self, name: str) -> Any:
        async def fail(*_: object) -> None:
            raise ConnectionError(name)

        return fail


async def test_a_late_lookup_is_a_miss() -> None:
    never = asyncio.Event()
    memory: Memory = Broken(lambda _: never.wait())
    settings = SemanticSettings(enabled=True, deadline_ms=20)
    async with world(memory=memory, settings=settings) as w:
        answer, call = await w.ask(ASKED)
        assert answer.first.content == "Rayleigh scattering."
        (note,) = (d for d in call.trace.decisions if d.stage == "semantic")
        assert (note.decision, note.reason) == ("late", "no answer within 20 ms")


async def test_a_memory_that_fails_is_a_miss() -> None:
    async def fail(_: Asked) -> None:
        raise ConnectionError("gone")

    memory: Memory = Broken(fail)
    async with world(memory=memory) as w:
        answer, call = await w.ask(ASKED)
        assert answer.first.content == "Rayleigh scattering."
        chunks, _ = await w.stream(AGAIN)
        assert text_of(chunks) == "Rayleigh scattering."
        w.cached.evict("r1")
        await w.settled()
        assert [d.decision for d in call.trace.decisions] == ["failed"]


async def test_an_evicted_answer_is_not_given_again_even_if_it_comes_late() -> None:
    async with world() as w:
        await w.ask(ASKED, request_id="wrong")
        w.cached.evict("wrong")
        await w.settled()
        await w.ask(AGAIN, request_id="late")
        assert w.inner.asked == 2
        w.cached.evict("later")
        await w.settled()
        await w.ask("When does the shop open?", request_id="later")
        _, call = await w.ask("When does the shop open?")
        assert call.trace.cache == "miss"
