"""The prompt cache as the real SDK sees it, on a clock that the test moves."""

import asyncio
import math
from typing import Any

import anthropic
import pytest
from anthropic.types import Message

from tests.serving.hosted.emulator.running import OLD_OPUS, OLD_SONNET, OPUS_5, block, running
from tests.serving.hosted.fakes import HAIKU, OLD_HAIKU, OPUS, SONNET, SONNET_5, Scripted

TOOL = {"name": "weather", "description": "w " * 1_500, "input_schema": {"type": "object"}}
IMAGE = {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}}


def split(message: Message) -> tuple[int, int, int, int]:
    """Tokens behind the last breakpoint, read, written for five minutes and for an hour."""
    usage = message.usage
    creation = usage.cache_creation
    assert creation is not None
    five, hour = creation.ephemeral_5m_input_tokens, creation.ephemeral_1h_input_tokens
    assert usage.cache_creation_input_tokens == five + hour
    return usage.input_tokens, usage.cache_read_input_tokens or 0, five, hour


async def test_input_tokens_are_what_follows_the_last_breakpoint() -> None:
    messages = [{"role": "user", "content": [block(50), block(300, "5m"), block(20)]}]
    async with running() as to:
        first = await to.ask(system=[block(2_000, "1h")], messages=messages)
        second = await to.ask(system=[block(2_000, "1h")], messages=messages)
    assert split(first) == (20, 0, 350, 2_000)
    assert split(second) == (20, 2_350, 0, 0)


@pytest.mark.parametrize(("ttl", "seconds"), [("5m", 300), ("1h", 3_600)])
async def test_lifetimes_count_from_the_request_and_a_hit_renews_them(
    ttl: str, seconds: int
) -> None:
    system = [block(2_000, ttl)]
    async with running() as to:
        await to.ask(system=system)
        for _ in range(3):
            await to.pass_s(seconds - 1)
            assert split(await to.ask(system=system))[1] == 2_000
        await to.pass_s(seconds)
        assert split(await to.ask(system=system))[1] == 0


async def test_reading_an_entry_does_not_turn_five_minutes_into_an_hour() -> None:
    async with running() as to:
        await to.ask(system=[block(2_000, "5m")])
        assert split(await to.ask(system=[block(2_000, "1h")])) == (3, 2_000, 0, 0)
        await to.pass_s(300)
        assert split(await to.ask(system=[block(2_000, "1h")])) == (3, 0, 0, 2_000)


async def test_a_breakpoint_within_what_is_read_writes_no_entry_for_nothing() -> None:
    row = [block(2_000), block(2_000, "5m")]
    async with running() as to:
        await to.ask(system=row)
        assert split(await to.ask(system=[block(2_000, "5m"), block(2_000, "5m")]))[1] == 4_000
        other = [block(2_000, "5m"), {**block(900), "text": "else"}]
        assert split(await to.ask(system=other))[1:3] == (0, 2_000)


MINIMA = {
    OLD_SONNET: 1_024, OLD_OPUS: 1_024, SONNET_5: 1_024,
    HAIKU: 512, SONNET: 512, OPUS_5: 512, OPUS: 512,
}  # fmt: skip


@pytest.mark.parametrize("model", MINIMA)
async def test_the_least_that_is_cached(model: str) -> None:
    """On all but Sonnet 4.6 a word is 1.3 tokens."""
    least = MINIMA[model]
    enough = least if model == OLD_SONNET else math.floor((least - 3) / 1.3) + 3
    async with running() as to:
        assert split(await to.ask(model, system=[block(enough - 1, "5m")]))[2] == 0
        assert split(await to.ask(model, system=[block(enough, "5m")]))[2] >= least


async def test_trap_haiku_4_5_caches_nothing_under_4096_tokens() -> None:
    async with running() as to:
        for _ in range(2):
            short = await to.ask(OLD_HAIKU, system=[block(4_095, "5m")])
            assert split(short) == (4_098, 0, 0, 0)
        assert split(await to.ask(OLD_HAIKU, system=[block(4_096, "5m")])) == (3, 0, 4_096, 0)


async def test_keys_share_nothing() -> None:
    system: list[Any] = [block(2_000, "1h")]
    async with running() as to, to.client("other") as other:
        await to.ask(system=system)
        theirs = await other.messages.create(
            model=OLD_SONNET, max_tokens=9, system=system,
            messages=[{"role": "user", "content": "Hi"}],
        )  # fmt: skip
    assert split(theirs)[1] == 0


async def test_models_share_nothing() -> None:
    async with running() as to:
        await to.ask(OLD_SONNET, system=[block(5_000, "1h")])
        assert split(await to.ask(OLD_HAIKU, system=[block(5_000, "1h")]))[1] == 0


async def test_an_entry_can_be_read_once_the_first_response_has_begun() -> None:
    """Calls beside the first each write; a call behind its first event reads."""
    system: list[Any] = [block(2_000, "5m")]
    fields: dict[str, Any] = {"model": OLD_SONNET, "max_tokens": 9, "system": system}
    fields["messages"] = [{"role": "user", "content": "Hi"}]
    backend = Scripted(delay=0.02)
    async with running(backend) as to:
        beside = await asyncio.gather(*(to.ask(system=system) for _ in range(4)))
        assert [split(m)[1:3] for m in beside] == [(0, 2_000)] * 4
        await to.pass_s(301)
        stream = await to.sdk.messages.create(**fields, stream=True)
        async with stream:
            async for event in stream:
                assert event.type == "message_start"
                assert split(event.message)[2] == 2_000
                break
            assert split(await to.ask(system=system))[1] == 2_000


PREFIX: dict[str, Any] = {
    "tools": [TOOL],
    "system": [block(2_000, "5m")],
    "messages": [{"role": "user", "content": [block(2_000, "5m"), block(5)]}],
}
WITH_IMAGE = {"messages": [{"role": "user", "content": [block(2_000, "5m"), IMAGE]}]}
IN_RESULT = [
    {"role": "user", "content": [block(2_000, "5m")]},
    {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "weather",
                                       "input": {}}]},
    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t",
                                  "content": [IMAGE]}]},
]  # fmt: skip
SCHEMA = {"type": "object", "properties": {}, "additionalProperties": False}
CITED = {
    "type": "document",
    "source": {"type": "text", "media_type": "text/plain", "data": "x"},
    "citations": {"enabled": True},
}


@pytest.mark.parametrize(
    ("change", "left"),
    [
        ({"messages": [{"role": "user", "content": [block(2_000, "5m"), block(6)]}]}, "all"),
        ({"tools": [TOOL | {"description": "v " * 1_500}]}, "nothing"),
        ({"tools": [TOOL, TOOL | {"name": "b"}]}, "nothing"),
        ({"tool_choice": {"type": "none"}}, "system"),
        ({"tool_choice": {"type": "any"}}, "system"),
        ({"thinking": {"type": "enabled", "budget_tokens": 1_024}, "max_tokens": 2_000}, "system"),
        ({"output_config": {"effort": "low"}}, "system"),
        ({"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}}, "system"),
        (WITH_IMAGE, "system"),
        ({"messages": IN_RESULT}, "system"),
        ({"messages": [{"role": "user", "content": [block(2_000, "5m"), CITED]}]}, "tools"),
    ],
)
async def test_what_a_change_invalidates(change: dict[str, Any], left: str) -> None:
    async with running() as to:
        fields = PREFIX | {"tools": [TOOL | {"cache_control": {"type": "ephemeral"}}]}
        written = split(await to.ask(**fields))[2]
        changed = split(await to.ask(**(fields | change)))[1]
    expected = {
        "nothing": 0, "tools": written - 4_000, "system": written - 2_000, "all": written,
    }  # fmt: skip
    assert changed == expected[left]


async def test_automatic_caching_follows_a_growing_conversation() -> None:
    automatic: dict[str, Any] = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
    turns: list[Any] = [{"role": "user", "content": [block(2_000)]}]
    async with running() as to:
        assert split(await to.ask(messages=turns, **automatic)) == (0, 0, 0, 2_000)
        turns += [{"role": "assistant", "content": "ok"}, {"role": "user", "content": [block(40)]}]
        assert split(await to.ask(messages=turns, **automatic)) == (0, 2_000, 0, 43)
        marked: list[Any] = [{"role": "user", "content": [block(2_000, "1h")]}]
        assert split(await to.ask(messages=marked, **automatic))[1] == 2_000
        with pytest.raises(anthropic.BadRequestError, match="contradicts"):
            await to.ask(messages=marked, cache_control={"type": "ephemeral"})
        four = [block(10, "1h"), block(10, "1h"), block(10, "1h"), block(10, "1h")]
        with pytest.raises(anthropic.BadRequestError, match="maximum of 4"):
            await to.ask(system=four, **automatic)


async def test_warming_answers_nothing_and_fills_the_cache() -> None:
    system: list[Any] = [block(2_000, "1h")]
    async with running() as to:
        warmed = await to.ask(system=system, max_tokens=0)
        assert (warmed.content, warmed.stop_reason) == ([], "max_tokens")
        assert split(warmed) == (3, 0, 0, 2_000)
        assert warmed.usage.output_tokens == 0
        assert split(await to.ask(system=system))[1] == 2_000


@pytest.mark.parametrize(
    ("model", "fields", "named"),
    [
        (OLD_SONNET, {"stream": True}, "stream"),
        (OLD_SONNET, {"tools": [TOOL], "tool_choice": {"type": "any"}}, "tool_choice"),
        (OPUS, {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}}, "format"),
        (OLD_SONNET, {"thinking": {"type": "enabled", "budget_tokens": 1_024}}, "budget_tokens"),
        (OLD_SONNET, {"system": [block(2_000)]}, "explicit"),
        (OLD_SONNET, {"system": [], "cache_control": {"type": "ephemeral"}}, "explicit"),
    ],
)
async def test_what_cannot_be_warmed(model: str, fields: dict[str, Any], named: str) -> None:
    base = {"system": [block(2_000, "5m")], "max_tokens": 0}
    async with running() as to:
        with pytest.raises(anthropic.BadRequestError, match=named):
            await to.ask(model, **(base | fields))


async def test_the_usage_of_a_stream() -> None:
    system: list[Any] = [block(2_000, "1h")]
    async with running() as to:
        stream = await to.sdk.messages.create(
            model=OLD_OPUS, max_tokens=99, system=system, stream=True,
            messages=[{"role": "user", "content": "Hi"}],
        )  # fmt: skip
        async with stream:
            events = {event.type: event async for event in stream}
    start, delta = events["message_start"], events["message_delta"]
    assert start.type == "message_start"
    assert delta.type == "message_delta"
    assert split(start.message)[3] == 2_600
    sent = delta.usage.to_dict()
    assert sent["input_tokens"] == start.message.usage.input_tokens
    assert sent["cache_creation_input_tokens"] == 2_600
    assert sent["cache_read_input_tokens"] == 0
    assert sent["output_tokens"] == 3
    assert "cache_creation" not in sent


async def test_breakpoints_inside_a_tool_result_are_none() -> None:
    def turns(**marked: Any) -> list[Any]:
        inner = [{"type": "text", "text": "word " * 2_000, **marked}]
        result = {"type": "tool_result", "tool_use_id": "t", "content": inner}
        use = {"type": "tool_use", "id": "t", "name": "weather", "input": {}}
        return [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": [use]},
            {"role": "user", "content": [result, block(5, "5m")]},
        ]

    mark = {"cache_control": {"type": "ephemeral"}}
    async with running() as to:
        tools: list[Any] = [TOOL]
        await to.ask(HAIKU, messages=turns(), tools=tools)
        again = await to.ask(HAIKU, messages=turns(**mark), tools=tools)
    assert split(again)[0] == 0, "the prefix is the same"
