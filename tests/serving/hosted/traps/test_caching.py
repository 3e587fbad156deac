"""Breakpoints and the usage that comes back: what is silently not cached, or a 400."""

from typing import Any

import pytest

from serving.wire.chat import ChatRequest
from serving.wire.completion import Usage
from tests.serving.hosted.emulator.running import running
from tests.serving.hosted.fakes import (
    HAIKU,
    OLD_HAIKU,
    OPUS,
    Scripted,
    adapter,
    answer,
    asked,
    call,
    chat,
    tool_answer,
    weather_tool,
)
from tests.serving.hosted.scripted_api import Reply, message, scripted, streamed
from tests.serving.hosted.traps.raw import raw

both = pytest.mark.parametrize("stream", [False, True])
MARK: dict[str, Any] = {"cache_control": {"type": "ephemeral"}}
HOUR: dict[str, Any] = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
LONG = "word " * 1_000


def system(**control: Any) -> dict[str, Any]:
    return {"role": "system", "content": LONG, **control}


async def usages(*requests: ChatRequest, model: str = OPUS) -> list[Usage]:
    async with running() as api, adapter(api.url, model) as backend:
        return [(await backend.complete(request, call())).usage for request in requests]


async def test_trap_an_hour_behind_five_minutes_is_a_400() -> None:
    user = {"role": "user", "content": LONG, **HOUR}
    async with running() as api, raw(api.url) as bare, adapter(api.url) as backend:
        blocks = [{"type": "text", "text": LONG, **MARK}]
        late = [{"role": "user", "content": [{"type": "text", "text": LONG, **HOUR}]}]
        assert "ttl" in await bare.refusal(system=blocks, messages=late)
        to = call()
        found = await backend.complete(chat(system(**MARK), user), to)
    assert (found.usage.cache_write_tokens > 2_000, found.usage.cache_write_1h_tokens) == (True, 0)
    assert "lowered" in to.trace.decisions[0].reason


@pytest.mark.parametrize(("ttl", "hour"), [("30m", True), ("12h", True), (None, False)])
async def test_trap_openais_breakpoints_have_other_names_and_times(
    ttl: str | None, hour: bool
) -> None:
    point = {"mode": "explicit"} | ({"ttl": ttl} if ttl else {})
    part = {"type": "text", "text": LONG, "prompt_cache_breakpoint": point}
    (found,) = await usages(chat({"role": "system", "content": [part]}, "Hi"))
    assert found.cache_write_tokens > 1_000
    assert found.cache_write_1h_tokens == (found.cache_write_tokens if hour else 0)


async def test_trap_what_is_too_short_is_silently_not_cached() -> None:
    """A prefix of 1,300 tokens: enough for one model, not for the other."""
    request = chat(system(**MARK), "Hi")
    for model, written in ((HAIKU, True), (OLD_HAIKU, False)):
        first, second = await usages(request, request, model=model)
        assert (first.cache_write_tokens > 0, second.cached_tokens > 0) == (written, written)
        assert first.prompt_tokens == second.prompt_tokens


async def test_trap_input_tokens_are_only_what_follows_the_last_breakpoint() -> None:
    plain, marked = await usages(chat(system(), "Hi"), chat(system(**MARK), "Hi"))
    assert plain.prompt_tokens == marked.prompt_tokens
    assert 0 < plain.prompt_tokens - marked.cache_write_tokens < 20


@both
async def test_trap_the_last_word_on_usage_in_a_stream_lacks_the_split(stream: bool) -> None:
    usage = {
        "input_tokens": 3, "cache_creation_input_tokens": 100, "cache_read_input_tokens": 7,
        "cache_creation": {"ephemeral_5m_input_tokens": 40, "ephemeral_1h_input_tokens": 60},
        "output_tokens": 5,
    }  # fmt: skip
    whole = message(usage=usage)
    if stream:
        body = streamed(whole)
        last = body.rindex(b'"cache_creation":')
        split = body[last : body.index(b"}", last) + 2]
        body = body[:last] + body[last:].replace(split + b" ", b"")
        assert body.count(b"ephemeral_1h") == 1
    async with scripted(Reply(body if stream else whole)) as api, adapter(api.url) as backend:
        found = (await asked(backend, chat("Hi"), call(), stream=stream)).usage
    assert found == Usage(110, 5, 7, 100, 60)


async def test_trap_a_breakpoint_on_thinking_is_a_400() -> None:
    """A turn that is sent back as it was ends with its call: there the client's mark belongs."""
    script = Scripted(tool_answer(("c1", "weather", "{}")))
    tools = {"tools": [weather_tool()]}
    async with running(script) as api, adapter(api.url) as backend:
        first = (await backend.complete(chat(LONG, **tools), call())).first
        (use,) = first.tool_calls
        function = {"name": use.name, "arguments": use.arguments}
        turn = {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": use.id, "type": "function", "function": function}],
            "provider_content": first.provider_content,
            **MARK,
        }
        result = {"role": "tool", "tool_call_id": use.id, "content": "sunny"}
        script.reply = answer("Sunny.")
        found = await backend.complete(chat(LONG, turn, result, **tools), call())
    assert found.usage.cache_write_tokens > 1_000


async def test_trap_a_breakpoint_inside_a_tool_result_is_not_stored() -> None:
    """On the result itself it is; clients put it on the part, as everywhere else."""
    function = {"name": "weather", "arguments": "{}"}
    call_ = {"id": "a", "type": "function", "function": function}
    turn = {"role": "assistant", "content": None, "tool_calls": [call_]}
    part = {"type": "text", "text": LONG, **MARK}
    result = {"role": "tool", "tool_call_id": "a", "content": [part]}
    request = chat("Hi", turn, result, tools=[weather_tool()])
    first, second = await usages(request, request)
    assert first.cache_write_tokens == second.cached_tokens > 1_000


async def test_trap_a_breakpoint_on_empty_text_is_a_400() -> None:
    parts = [{"type": "text", "text": LONG}, {"type": "text", "text": " ", **MARK}]
    request = chat({"role": "user", "content": parts}, {"role": "user", "content": "Hi"})
    first, second = await usages(request, request)
    assert first.cache_write_tokens == second.cached_tokens > 1_000


async def test_trap_automatic_caching_takes_one_of_the_four() -> None:
    parts = [{"type": "text", "text": LONG, **MARK} for _ in range(4)]
    request = chat({"role": "user", "content": [*parts, {"type": "text", "text": LONG}]}, **MARK)
    first, second = await usages(request, request)
    assert first.cache_write_tokens == second.cached_tokens > 5_000


async def test_trap_automatic_caching_of_a_block_with_another_lifetime_is_a_400() -> None:
    part = {"type": "text", "text": LONG, **HOUR}
    async with running() as api, raw(api.url) as bare, adapter(api.url) as backend:
        refusal = await bare.refusal(messages=[{"role": "user", "content": [part]}], **MARK)
        assert "contradicts" in refusal
        to = call()
        found = await backend.complete(chat({"role": "user", "content": [part]}, **MARK), to)
    assert found.usage.cache_write_1h_tokens == found.usage.cache_write_tokens > 1_000
    assert "own counts" in to.trace.decisions[0].reason


async def test_trap_json_mode_said_in_front_would_change_the_cached_prefix() -> None:
    request = {"response_format": {"type": "json_object"}}
    first, second = await usages(chat(system(**MARK), "Hi"), chat(system(**MARK), "Hi", **request))
    assert second.cached_tokens == first.cache_write_tokens > 1_000
