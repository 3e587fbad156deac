"""The exact cache as a Backend."""

import time
from collections.abc import Callable
from contextlib import aclosing
from decimal import Decimal
from typing import Any

import pytest

from cache.exact import ExactCached
from serving.backend import Call
from serving.settings.root import CacheSettings
from serving.settings.tasks import TaskCache, TaskSettings
from serving.wire.chat import ChatRequest
from serving.wire.completion import (
    Assembler,
    Choice,
    Chunk,
    TokenLogprob,
    ToolCallPart,
    Usage,
)
from tests.cache.fakes import Cascade, RecordingLedger, text_of, unmade
from tests.cache.test_entries import Clock

TASKS = {
    "faq": TaskSettings(name="faq", cache=TaskCache(enabled=True, ttl_s=60)),
    "news": TaskSettings(name="news", cache=TaskCache(enabled=True, ttl_s=5)),
    "chat": TaskSettings(name="chat"),
    "legal": TaskSettings(name="legal", critical=True),
}


class House:
    """A cache over a scripted cascade, and the clock that it lives by."""

    def __init__(self, settings: CacheSettings | None = None, **cascade: Any) -> None:
        self.ledger = RecordingLedger()
        self.inner = Cascade(self.ledger, **cascade)
        self.clock = Clock()
        self.cached = ExactCached(
            self.inner,
            tasks=lambda name: TASKS[name or "chat"],
            ledger=self.ledger,
            settings=settings or CacheSettings(),
            clock=self.clock,
        )
        self._requests = 0

    def call(self, task: str = "faq", **fields: Any) -> Call:
        self._requests += 1
        given = {"request_id": f"r{self._requests}", "tenant": "acme", **fields}
        return Call(deadline=time.monotonic() + 60, task=task, **given)

    async def ask(self, request: ChatRequest | None = None, **call: Any) -> Call:
        made = self.call(**call)
        await self.cached.complete(request or ask(), made)
        return made

    async def stream(
        self, request: ChatRequest | None = None, **call: Any
    ) -> tuple[list[Chunk], Call]:
        made = self.call(**call)
        chunks = [c async for c in self.cached.stream(request or ask(stream=True), made)]
        return chunks, made


def ask(text: str = "Why is the sky blue?", **fields: Any) -> ChatRequest:
    messages = [{"role": "user", "content": text}]
    return ChatRequest.model_validate({"model": "auto", "messages": messages, **fields})


async def test_the_same_request_gets_the_same_answer_at_no_cost() -> None:
    house = House()
    first = await house.cached.complete(ask(), house.call())
    call = house.call()
    second = await house.cached.complete(ask(), call)
    assert house.inner.asked == 1
    assert unmade(second) == unmade(first)
    assert (call.trace.cache, call.trace.tier, call.trace.cost_usd) == ("exact", "big", Decimal(0))
    assert call.trace.escalations == 0


async def test_a_hit_is_a_response_of_its_own() -> None:
    house = House()
    await house.ask()
    before = int(time.time())
    one, two = [await house.cached.complete(ask(), house.call()) for _ in range(2)]
    assert len({one.id, two.id, "own-1"}) == 3
    assert one.id.startswith("chatcmpl-")
    assert before <= one.created <= time.time()


async def test_a_hit_has_its_row_in_the_ledger() -> None:
    house = House()
    await house.ask()
    call = await house.ask()
    row = house.ledger.rows[-1]
    assert call.trace.attempts == [row]
    assert (row.kind, row.tier, row.model, row.simulated) == ("cache_hit", "big", "m-big", True)
    assert (row.outcome, row.reason) == ("accepted", "exact_cache_hit")
    assert (row.usage, row.cost_usd) == (Usage(9, 5), Decimal(0))
    assert row.latency_ms is not None
    assert 0 <= row.latency_ms < 1_000
    assert house.ledger.admitted == 1


async def test_the_trace_says_what_the_cache_did() -> None:
    house = House()
    missed = await house.ask()
    house.clock.now += 7
    hit = await house.ask()
    assert missed.trace.cache == "miss"
    note = hit.trace.decisions[-1]
    assert (note.stage, note.decision, note.reason) == (
        "cache",
        "hit",
        "answer of att_1_r1, 7 s old",
    )


async def test_parameters_that_the_tier_dropped_are_named_on_a_hit_too() -> None:
    house = House(mark=lambda call: call.trace.drop(("top_k",)))
    await house.ask()
    assert (await house.ask()).trace.dropped == ["top_k"]


@pytest.mark.parametrize(
    ("task", "fields", "reason"),
    [
        ("chat", {}, "task 'chat' is not cached"),
        ("chat", {"stepwell": {"cache": True}}, "task 'chat' is not cached"),
        ("legal", {}, "task 'legal' is not cached"),
        ("faq", {"stepwell": {"cache": False}}, "off for this request"),
        ("faq", {"unheard_of": 2**70}, "the request has no exact form"),
    ],
)
async def test_off_is_off_and_says_why(task: str, fields: dict[str, Any], reason: str) -> None:
    house = House()
    for _ in range(2):
        call = await house.ask(ask(**fields), task=task)
        assert call.trace.cache == "off"
        assert call.trace.decisions[-1].reason == reason
        _, call = await house.stream(ask(stream=True, **fields), task=task)
        assert call.trace.cache == "off"
    assert house.inner.asked == 4


async def test_off_for_one_request_leaves_the_entry_to_others() -> None:
    house = House()
    await house.ask()
    await house.ask(ask(stepwell={"cache": False}))
    assert (await house.ask()).trace.cache == "exact"


async def test_a_spot_check_asks_anew() -> None:
    house = House()
    await house.ask()
    assert (await house.ask(kind="spot_check")).trace.cache == "off"
    assert house.inner.asked == 2


async def test_without_room_there_is_no_cache() -> None:
    house = House(CacheSettings(max_bytes=0))
    assert (await house.ask()).trace.decisions[-1].reason == "the cache is off"


async def test_tenants_never_share() -> None:
    house = House()
    await house.ask(tenant="acme")
    assert (await house.ask(tenant="rival")).trace.cache == "miss"
    house.inner.choices = (Choice(content="for acme only"),)
    assert (await house.ask(tenant="acme")).trace.cache == "exact"
    assert house.inner.asked == 2


@pytest.mark.parametrize("other", [{"task": "news"}, {"max_tier": "small"}])
async def test_scopes_within_a_tenant_do_not_mix(other: dict[str, Any]) -> None:
    house = House()
    await house.ask()
    assert (await house.ask(**other)).trace.cache == "miss"


async def test_a_stricter_request_is_not_served_by_a_laxer_one() -> None:
    house = House()
    await house.ask()
    strict = ask(stepwell={"validators": [{"kind": "length", "max_words": 3}]})
    assert (await house.ask(strict)).trace.cache == "miss"


async def test_each_task_has_its_time_to_live() -> None:
    house = House()
    await house.ask(task="faq")
    await house.ask(task="news")
    house.clock.now += 6
    assert (await house.ask(task="faq")).trace.cache == "exact"
    assert (await house.ask(task="news")).trace.cache == "miss"
    house.clock.now += 60
    assert (await house.ask(task="faq")).trace.cache == "miss"


def _best_effort(call: Call) -> None:
    call.trace.best_effort = "nothing passed"


def _degraded(call: Call) -> None:
    call.trace.degraded = "a tier was down"


@pytest.mark.parametrize(
    "cascade",
    [
        {"outcome": "best_effort", "mark": _best_effort},
        {"outcome": "best_effort"},
        {"outcome": "failed"},
        {"mark": _best_effort},
        {"mark": _degraded},
        {"choices": (Choice(content="cut o", finish_reason="length"),)},
        {"choices": (Choice(content="", finish_reason="content_filter"),)},
        {"choices": (Choice(content="", refusal="No."),)},
        {"choices": (Choice(content="a"), Choice(1, content="b", finish_reason="length"))},
        {"choices": ()},
    ],
)
async def test_only_what_was_accepted_without_reserve_is_kept(cascade: dict[str, Any]) -> None:
    house = House(**cascade)
    await house.ask()
    assert (await house.ask()).trace.cache == "miss"
    await house.stream()
    assert (await house.ask()).trace.cache == "miss"


async def test_a_tool_call_is_an_answer() -> None:
    call = ToolCallPart(0, "call_1", "f", "{}")
    house = House(choices=(Choice(tool_calls=(call,), finish_reason="tool_calls"),))
    await house.ask()
    found = await house.cached.complete(ask(), house.call())
    assert found.first.tool_calls == (call,)
    assert house.inner.asked == 1


async def test_logprobs_are_kept_for_who_asks_for_them() -> None:
    token = TokenLogprob("Rayleigh", -0.1)
    house = House(choices=(Choice(content="Rayleigh", logprobs=(token,)),))
    cases: list[tuple[dict[str, Any], object]] = [({}, None), ({"logprobs": True}, (token,))]
    for fields, kept in cases:
        await house.ask(ask(**fields))
        found = await house.cached.complete(ask(**fields), house.call())
        assert found.first.logprobs == kept


async def test_a_stream_is_kept_at_its_end_and_serves_both_ways() -> None:
    house = House()
    chunks, call = await house.stream()
    assert call.trace.cache == "miss"
    assert text_of(chunks) == "Rayleigh scattering."
    whole = await house.cached.complete(ask(), house.call())
    assert whole.first.content == "Rayleigh scattering."
    assert whole.usage == Usage(9, 5)
    assert house.inner.asked == 1


async def test_a_hit_is_replayed_as_a_stream() -> None:
    house = House()
    first = await house.cached.complete(ask(), house.call())
    chunks, call = await house.stream()
    assert call.trace.cache == "exact"
    assembled = Assembler()
    for chunk in chunks:
        assembled.add(chunk)
    assert assembled.finished
    assert assembled.completion().choices == first.choices
    assert chunks[-1].usage == first.usage
    assert len({(c.id, c.created) for c in chunks}) == 1
    assert chunks[0].id != first.id


async def test_a_stream_that_breaks_off_is_not_kept() -> None:
    house = House(fail_after=3)
    with pytest.raises(ConnectionError):
        await house.stream()
    house.inner.fail_after = None
    assert (await house.ask()).trace.cache == "miss"


async def test_a_stream_that_nobody_reads_to_the_end_is_closed_and_not_kept() -> None:
    house = House()
    async with aclosing(house.cached.stream(ask(stream=True), house.call())) as chunks:
        await anext(chunks)
    assert house.inner.closed
    assert (await house.ask()).trace.cache == "miss"


@pytest.mark.parametrize("how", ["complete", "stream"])
async def test_an_answer_too_large_for_one_entry_is_not_kept(how: str) -> None:
    house = House(CacheSettings(max_entry_bytes=4_000), choices=(Choice(content="x" * 5_000),))
    if how == "complete":
        await house.ask()
    else:
        chunks, _ = await house.stream()
        assert len(text_of(chunks)) == 5_000
    assert (await house.ask()).trace.cache == "miss"


async def test_the_cache_stays_within_its_bytes() -> None:
    house = House(CacheSettings(max_bytes=20_000), choices=(Choice(content="x" * 3_000),))
    for i in range(20):
        await house.ask(ask(f"question {i}"))
    hits = [(await house.ask(ask(f"question {i}"))).trace.cache for i in (0, 19)]
    assert hits == ["miss", "exact"]


async def test_an_answer_found_wrong_is_forgotten() -> None:
    house = House()
    made = await house.ask()
    assert (await house.ask()).trace.cache == "exact"
    assert house.cached.evict(made.request_id)
    assert (await house.ask()).trace.cache == "miss"
    assert not house.cached.evict(made.request_id)


async def test_an_answer_found_wrong_while_it_streams_is_not_kept() -> None:
    """The spot check of a streamed answer may be done before the client has read it all."""
    house = House()
    call = house.call()
    async with aclosing(house.cached.stream(ask(stream=True), call)) as chunks:
        async for chunk in chunks:
            if chunk.usage is not None:
                house.cached.evict(call.request_id)
    assert (await house.ask()).trace.cache == "miss"


async def test_the_answer_passes_unchanged_on_a_miss() -> None:
    house = House()
    made: Callable[[], Call] = house.call
    completion = await house.cached.complete(ask(), made())
    assert (completion.id, completion.created) == ("own-1", 1_000)
    assert house.inner.requests == [ask()]


async def test_all_can_be_forgotten_at_once() -> None:
    house = House()
    await house.ask()
    await house.ask(ask("Why is grass green?"))
    house.cached.forget()
    assert (await house.ask()).trace.cache == "miss"
    assert (await house.ask()).trace.cache == "exact"
    assert not house.cached.evict("r1")
