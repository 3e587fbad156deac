"""From OpenAI's form to Anthropic's and back: what others have lost or moved on the way. Numbers
are those of LiteLLM's threads about it.
"""

import base64
from decimal import Decimal
from typing import Any

import pytest

from serving.costs.rate_card import RateCard
from serving.errors import InvalidRequest
from serving.hosted.models import catalog
from serving.wire.completion import Completion, Usage
from tests.serving.hosted.emulator.running import OLD_SONNET, Running, running
from tests.serving.hosted.fakes import (
    HAIKU,
    OPUS,
    SONNET_5,
    Scripted,
    adapter,
    answer,
    asked,
    call,
    chat,
    tool_answer,
    weather_tool,
)
from tests.serving.hosted.faulty import Faulty
from tests.serving.hosted.scripted_api import Reply, message, scripted, streamed
from tests.serving.hosted.traps.raw import raw

both = pytest.mark.parametrize("stream", [False, True])
MTOK = Decimal(1_000_000)
MARK: dict[str, Any] = {"cache_control": {"type": "ephemeral"}}
HOUR: dict[str, Any] = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
RULES = "word " * 5_000


def cost(model: str, usage: Usage) -> Decimal:
    price = RateCard.load().price(model)
    assert price is not None
    return price.cost(usage)


@pytest.mark.parametrize("model", [OPUS, OLD_SONNET])
async def test_trap_36559_a_later_system_message_moved_to_the_front_kills_the_cache(
    model: str,
) -> None:
    """On models that have a place for it and on those that have none."""
    assert catalog().ability(model).mid_system is (model == OPUS)
    talk: list[dict[str, Any]] = [
        {"role": "system", "content": RULES},
        {"role": "user", "content": "word " * 900, **MARK},
        {"role": "assistant", "content": "Done."},
    ]
    rule = {"role": "system", "content": "From now on in French."}
    async with running() as api, adapter(api.url, model) as backend:
        first = (await backend.complete(chat(*talk[:2]), call())).usage
        grown = (await backend.complete(chat(*talk, rule, "And now?"), call())).usage
    assert grown.cached_tokens == first.cache_write_tokens > 5_900


async def test_trap_14317_more_than_four_breakpoints_are_a_400() -> None:
    parts = [{"type": "text", "text": f"part {i}", **MARK} for i in range(6)]
    async with running() as api, raw(api.url) as bare, adapter(api.url) as backend:
        refusal = await bare.refusal(messages=[{"role": "user", "content": parts}])
        assert "maximum of 4 blocks" in refusal
        to = call()
        assert await backend.complete(chat({"role": "user", "content": parts}), to)
    assert to.trace.dropped == ["cache_control"]


async def bill(api: Running, *requests: Any, model: str, stream: bool) -> list[Usage]:
    """What the tier said of each request, once our bill was seen to be the provider's."""
    found: list[Usage] = []
    async with adapter(api.url, model) as backend:
        for request in requests:
            before = api.emulator.account.total().usd
            found.append((await asked(backend, request, call(), stream=stream)).usage)
            billed = api.emulator.account.total().usd - before
            assert cost(model, found[-1]) == billed > 0
    return found


@both
async def test_trap_9812_cache_writes_are_billed_once(stream: bool) -> None:
    async with running() as api:
        (usage,) = await bill(
            api, chat({"role": "system", "content": RULES, **MARK}), model=HAIKU, stream=stream
        )
    fresh = usage.prompt_tokens - usage.cache_write_tokens
    assert (usage.cache_write_tokens > 6_000, fresh < 10) == (True, True)
    by_hand = fresh * Decimal("0.10") + usage.cache_write_tokens * Decimal("0.125")
    assert cost(HAIKU, usage) == (by_hand + usage.completion_tokens * Decimal("0.50")) / MTOK


@both
async def test_trap_11364_cache_reads_have_their_own_price(stream: bool) -> None:
    request = chat({"role": "system", "content": RULES, **MARK})
    async with running() as api:
        _, usage = await bill(api, request, request, model=OPUS, stream=stream)
    assert usage.cache_write_tokens == 0
    fresh = usage.prompt_tokens - usage.cached_tokens
    by_hand = fresh * 4 + usage.cached_tokens * Decimal("0.20") + usage.completion_tokens * 20
    assert cost(OPUS, usage) == by_hand / MTOK


@both
async def test_trap_29432_writes_for_an_hour_are_not_billed_as_five_minutes(stream: bool) -> None:
    """In a stream the last word on usage lacks the split."""
    system = {"role": "system", "content": RULES, **HOUR}
    both_kinds = chat(system, {"role": "user", "content": "word " * 900, **MARK})
    async with running() as api:
        (usage,) = await bill(api, both_kinds, model=OPUS, stream=stream)
    short = usage.cache_write_tokens - usage.cache_write_1h_tokens
    assert min(short, usage.cache_write_1h_tokens) > 900
    fresh = usage.prompt_tokens - usage.cache_write_tokens
    by_hand = fresh * 4 + short * 5 + usage.cache_write_1h_tokens * 8
    assert cost(OPUS, usage) == (by_hand + usage.completion_tokens * 20) / MTOK


@both
async def test_trap_16377_a_long_prompt_has_its_own_price(stream: bool) -> None:
    async with running() as api:
        (usage,) = await bill(api, chat("word " * 80_000), model=HAIKU, stream=stream)
    assert usage.prompt_tokens > 100_000
    by_hand = usage.prompt_tokens * Decimal("0.50") + usage.completion_tokens * Decimal("2.50")
    assert cost(HAIKU, usage) == by_hand / MTOK


async def test_trap_5364_a_stream_says_its_usage_as_an_answer_does() -> None:
    request = chat({"role": "system", "content": RULES, **HOUR}, "Hi")
    found: list[Completion] = []
    for stream in (False, True):
        async with running() as api, adapter(api.url) as backend:
            found.append(await asked(backend, request, call(), stream=stream))
    whole, streamed_one = (c.usage for c in found)
    assert streamed_one == whole
    assert not whole.estimated
    assert whole.cache_write_1h_tokens > 0
    assert whole.reasoning_tokens > 0


async def test_trap_12463_a_stream_with_a_schema_and_tools_is_all_three() -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
    options = {"response_format": wanted, "tools": [weather_tool()], "stream": True}
    script = Scripted(tool_answer(("c1", "weather", '{"city":"Rome"}')))
    async with running(script) as api, adapter(api.url) as backend:
        called = (await asked(backend, chat("Hi", **options), call(), stream=True)).first
        script.reply = answer('{"n": 7}')
        said = (await asked(backend, chat("Hi", **options), call(), stream=True)).first
    assert (called.finish_reason, called.content) == ("tool_calls", "")
    assert [(c.name, c.arguments) for c in called.tool_calls] == [("weather", '{"city":"Rome"}')]
    assert (said.finish_reason, said.content, said.tool_calls) == ("stop", '{"n": 7}', ())
    assert [r.response_format is not None for r in script.asked] == [True, True]


@both
async def test_trap_23899_a_refusal_is_a_content_filter_and_no_stop(stream: bool) -> None:
    reply = answer("So far", refusal="Not that.", finish_reason="content_filter")
    async with running(Scripted(reply)) as api, adapter(api.url) as backend:
        found = (await asked(backend, chat("Hi"), call(), stream=stream)).first
    assert (found.finish_reason, found.refusal, found.content) == (
        "content_filter",
        "Not that.",
        "So far",
    )


PDF = base64.b64encode(b"%PDF-1.7 " + b"x" * 300).decode()
PLAIN = base64.b64encode(b"word " * 2_000).decode()
FILES = [
    {"file_data": f"data:application/pdf;base64,{PDF}", "filename": "a.pdf"},
    {"file_data": PDF, "filename": "a.pdf"},
    {"file_data": f"data:text/plain;base64,{PLAIN}"},
]


@pytest.mark.parametrize("file", FILES)
async def test_trap_23883_a_file_keeps_its_breakpoint(file: dict[str, str]) -> None:
    document = {"type": "file", "file": file, **MARK}
    requests = [
        chat({"role": "user", "content": [document, {"type": "text", "text": f"Question {i}"}]})
        for i in range(2)
    ]
    async with running() as api, adapter(api.url) as backend:
        first, second = [(await backend.complete(r, call())).usage for r in requests]
    assert first.cache_write_tokens == second.cached_tokens > 1_900


async def test_trap_16525_a_tool_call_without_its_result_is_named_and_not_sent() -> None:
    function = {"name": "weather", "arguments": "{}"}
    turn = {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": i, "type": "function", "function": function} for i in ("a", "b")],
    }
    result = {"role": "tool", "tool_call_id": "a", "content": "sunny"}
    uses = [{"type": "tool_use", "id": "a", "name": "weather", "input": {}}]
    bare = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": uses}]
    async with running() as api, raw(api.url) as sdk:
        refusal = await sdk.refusal(
            messages=[*bare, {"role": "user", "content": "Well?"}],
            tools=[{"name": "weather", "input_schema": {"type": "object"}}],
        )
        assert "without `tool_result` blocks" in refusal
        async with Faulty.around(api.emulator) as seen, adapter(seen.url) as backend:
            with pytest.raises(InvalidRequest, match="missing: b"):
                await backend.complete(chat("Hi", turn, result, "Well?"), call())
            assert seen.asked == []


async def test_trap_tool_choice_has_other_words_and_parallel_calls_are_inverted() -> None:
    tools = {"tools": [weather_tool()]}
    named = {"type": "function", "function": {"name": "weather"}}
    cases: list[tuple[dict[str, Any], Any]] = [
        ({"tool_choice": "required"}, {"type": "any"}),
        ({"tool_choice": named}, {"type": "tool", "name": "weather"}),
        ({"tool_choice": "none"}, {"type": "none"}),
        ({"tool_choice": "auto"}, None),
        ({"parallel_tool_calls": False}, {"type": "auto", "disable_parallel_tool_use": True}),
        ({"parallel_tool_calls": True}, {"type": "auto", "disable_parallel_tool_use": False}),
    ]
    two = tool_answer(("a", "weather", "{}"), ("b", "weather", "{}"))
    async with scripted(Reply(message())) as api, adapter(api.url, HAIKU) as backend:
        for fields, _ in cases:
            await backend.complete(chat("Hi", **tools, **fields), call())
    assert [body.get("tool_choice") for body in api.bodies] == [sent for _, sent in cases]
    async with running(Scripted(two)) as real, adapter(real.url, HAIKU) as backend:
        one = chat("Hi", **tools, parallel_tool_calls=False)
        assert len((await backend.complete(one, call())).first.tool_calls) == 1
        more = chat("Hi", **tools, parallel_tool_calls=True)
        assert len((await backend.complete(more, call())).first.tool_calls) == 2


@both
async def test_trap_stop_and_user_have_other_names(stream: bool) -> None:
    async with (
        running(Scripted(answer("one END two"))) as api,
        Faulty.around(api.emulator) as seen,
        adapter(seen.url) as backend,
    ):
        request = chat("Hi", stop="END", user="u-1")
        found = await asked(backend, request, call(), stream=stream)
    assert (found.first.content, found.first.finish_reason) == ("one ", "stop")
    assert b'"stop_sequences":["END"]' in seen.bodies[0]
    assert b'"metadata":{"user_id":"u-1"}' in seen.bodies[0]


@pytest.mark.parametrize("model", [OPUS, SONNET_5])
async def test_trap_images_and_files_of_either_form_arrive(model: str) -> None:
    pixel = base64.b64encode(b"\x89PNG....").decode()
    parts = [
        {"type": "image_url", "image_url": {"url": "https://x.test/a.png", "detail": "high"}},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{pixel}"}},
        *({"type": "file", "file": file} for file in FILES),
        {"type": "text", "text": "What is it?"},
    ]
    async with running() as api, adapter(api.url, model) as backend:
        to = call()
        found = await backend.complete(chat({"role": "user", "content": parts}), to)
    assert found.usage.prompt_tokens > 2 * 1_500 + 2 * 2_000
    assert to.trace.dropped == ["messages.image_url.detail"]


@both
async def test_trap_an_unknown_stop_reason_or_block_breaks_nothing(stream: bool) -> None:
    block = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}
    reply = message(block, {"type": "text", "text": "Yes."}, stop="something_new")
    async with (
        scripted(Reply(streamed(reply) if stream else reply)) as api,
        adapter(api.url) as backend,
    ):
        found = (await asked(backend, chat("Hi"), call(), stream=stream)).first
    assert (found.content, found.finish_reason) == ("Yes.", "stop")
    assert found.provider_content is not None
