"""The adapter against the emulator, with the real SDK over real HTTP."""

import sys
from typing import Any

import pytest

from serving.errors import ConfigError
from serving.hosted.anthropic import Anthropic, anthropic_ability, thinking_room
from serving.hosted.models import catalog
from serving.settings.tiers import AnthropicEngine, OutputPolicy, TierSettings
from tests.serving.hosted.fakes import (
    HAIKU,
    OLD_HAIKU,
    OPUS,
    SONNET,
    SONNET_5,
    Scripted,
    adapter,
    answer,
    asked,
    call,
    chat,
    emulated,
    tier,
    tool_answer,
    weather_tool,
)

both = pytest.mark.parametrize("stream", [False, True])


@both
async def test_an_answer(stream: bool) -> None:
    async with emulated(Scripted(answer("Paris."))) as url, adapter(url) as backend:
        found = await asked(backend, chat("Capital?"), call(), stream=stream)
    assert found.model == OPUS
    assert found.first.content == "Paris."
    assert found.first.finish_reason == "stop"
    assert found.usage.completion_tokens == 63
    assert found.usage.reasoning_tokens == 60
    assert found.first.provider_content is not None


@both
async def test_sampling_parameters_do_not_break_the_call(stream: bool) -> None:
    request = chat("Hi", temperature=0.7, top_p=0.9, seed=3, presence_penalty=1, logit_bias={})
    async with emulated() as url, adapter(url) as backend:
        assert (await asked(backend, request, call(), stream=stream)).first.content


@both
async def test_a_whole_tool_loop_with_thinking(stream: bool) -> None:
    """What the client got, sent back as a client would, is accepted by what checks signatures."""
    scripted = Scripted(tool_answer(("c1", "weather", '{"city":"Rome"}')))
    tools = {"tools": [weather_tool()]}
    async with emulated(scripted) as url, adapter(url) as backend:
        first = (await asked(backend, chat("Weather?", **tools), call(), stream=stream)).first
        assert first.finish_reason == "tool_calls"
        (use,) = first.tool_calls
        assert (use.name, use.arguments) == ("weather", '{"city":"Rome"}')
        function = {"name": use.name, "arguments": use.arguments}
        turn = {
            "role": "assistant",
            "content": first.content,
            "tool_calls": [{"id": use.id, "type": "function", "function": function}],
            "provider_content": first.provider_content,
        }
        result = {"role": "tool", "tool_call_id": use.id, "content": "sunny"}
        scripted.reply = answer("Sunny.")
        to = call()
        second = await asked(backend, chat("Weather?", turn, result, **tools), to, stream=stream)
    assert second.first.content == "Sunny."
    assert [m.role for m in scripted.asked[1].messages] == ["user", "assistant", "tool"]
    assert to.trace.decisions == []


@both
async def test_thinking_behind_an_edited_conversation_is_left_out_and_said_so(stream: bool) -> None:
    scripted = Scripted(answer("Hello."))
    async with emulated(scripted) as url, adapter(url) as backend:
        first = (await backend.complete(chat("Hi"), call())).first
        turn = {
            "role": "assistant",
            "content": first.content,
            "provider_content": first.provider_content,
        }
        to = call()
        found = await asked(backend, chat("Hi, edited", turn, "More"), to, stream=stream)
    assert found.first.content == "Hello."
    assert [d.decision for d in to.trace.decisions] == ["earlier thinking left out"]


@both
async def test_reasoning_that_the_model_shows(stream: bool) -> None:
    async with emulated() as url, adapter(url, OLD_HAIKU, effort="low") as backend:
        found = await asked(backend, chat("Hi"), call(), stream=stream)
    assert found.first.reasoning is not None
    assert found.first.reasoning.startswith("Weighing")


@both
async def test_a_refusal_is_a_content_filter(stream: bool) -> None:
    reply = answer(None, refusal="Not that.", finish_reason="content_filter")
    async with emulated(Scripted(reply)) as url, adapter(url) as backend:
        found = (await asked(backend, chat("Hi"), call(), stream=stream)).first
    assert (found.finish_reason, found.refusal) == ("content_filter", "Not that.")


@both
async def test_cached_tokens_are_reported(stream: bool) -> None:
    control = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
    system = {"role": "system", "content": "word " * 600, **control}
    async with emulated() as url, adapter(url, HAIKU) as backend:
        first, second = [
            (await asked(backend, chat(system, "Hi"), call(), stream=stream)).usage
            for _ in range(2)
        ]
    assert (first.cache_write_tokens, first.cached_tokens) == (782, 0)
    assert first.cache_write_1h_tokens == 782
    assert (second.cache_write_tokens, second.cached_tokens) == (0, 782)
    assert first.prompt_tokens == second.prompt_tokens > 782


async def test_what_was_dropped_and_changed_stands_in_the_trace() -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}}
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
    to = call()
    async with emulated(Scripted(answer('{"n": 2}'))) as url, adapter(url) as backend:
        await backend.complete(chat("Hi", stop=["\n"], response_format=wanted), to)
    assert to.trace.dropped == ["stop[0]"]
    assert [(d.stage, d.decision) for d in to.trace.decisions] == [("top", "translated")]


async def test_every_model_accepts_every_effort_and_has_room_to_answer() -> None:
    limits = OutputPolicy(max_tokens=5)
    async with emulated(Scripted(answer("Yes."))) as url:
        for model in (OPUS, SONNET, HAIKU, OLD_HAIKU, SONNET_5):
            for effort in (None, "none", "low", "xhigh", "max"):
                async with adapter(url, model, effort=effort, output=limits) as backend:
                    found = await backend.complete(chat("Hi"), call())
                assert found.first.content == "Yes.", (model, effort)
                thinks = effort != "none" and not (model == OLD_HAIKU and effort is None)
                assert bool(found.usage.reasoning_tokens) == (thinks or model == OPUS)


def real_tier(**engine: Any) -> TierSettings:
    made = AnthropicEngine(engine="anthropic", **engine)
    return TierSettings(name="top", model=OPUS, backend=made)


def test_a_missing_key_and_a_wrong_engine_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MY_KEY", raising=False)
    with pytest.raises(ConfigError, match="no API key in MY_KEY"):
        Anthropic(real_tier(api_key_env="MY_KEY"))
    other = tier().model_copy(update={"backend": tier().backend.model_copy()})
    assert Anthropic(other, base_url="http://127.0.0.1:9")
    with pytest.raises(ConfigError, match="address"):
        Anthropic(tier())
    emulated_engine = tier().backend
    assert isinstance(emulated_engine, AnthropicEngine)
    assert emulated_engine.emulated is not None
    mock = TierSettings(name="m", model="m", backend=emulated_engine.emulated)
    with pytest.raises(ConfigError, match="not anthropic"):
        Anthropic(mock)


def test_a_missing_sdk_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "anthropic", None)
    with pytest.raises(ConfigError, match=r"stepwell\[anthropic\]"):
        Anthropic(tier(), base_url="http://127.0.0.1:9")


async def test_the_real_key_never_goes_to_the_emulator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-real")
    async with emulated(keys={"emulator"}) as url, adapter(url) as backend:
        assert (await backend.complete(chat("Hi"), call())).first.content


async def test_the_key_goes_out_as_a_bearer_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "sk-mine")
    async with emulated(keys={"sk-mine"}) as url:
        backend = Anthropic(real_tier(base_url=url, api_key_env="MY_KEY"))
        assert (await backend.complete(chat("Hi"), call())).first.content
        await backend.aclose()


def test_what_the_tier_can_honour() -> None:
    opus, haiku = anthropic_ability(tier(OPUS)), anthropic_ability(tier(HAIKU))
    assert (opus.forced_tool_choice, haiku.forced_tool_choice) == (False, True)
    assert opus.images
    assert opus.json_schema
    assert not opus.logprobs
    assert not opus.multiple_choices
    assert opus.params is not None
    assert not opus.params & {
        "temperature", "top_p", "seed", "logprobs", "top_logprobs", "frequency_penalty",
        "presence_penalty", "logit_bias", "top_k",
    }  # fmt: skip
    assert {"tools", "stop", "response_format", "reasoning_effort"} <= opus.params
    assert opus.context_tokens == 1_000_000
    assert anthropic_ability(tier(OPUS, context_tokens=50_000)).context_tokens == 50_000


def test_the_room_for_thinking_that_a_request_may_cost() -> None:
    room = catalog().thinking_room
    assert thinking_room(tier(OPUS), chat()) == room["medium"]
    assert thinking_room(tier(OPUS, effort="max"), chat()) == room["max"]
    assert thinking_room(tier(OPUS, effort="max"), chat(reasoning_effort="low")) == room["low"]
    assert thinking_room(tier(HAIKU, effort="none"), chat()) == 0
    assert thinking_room(tier(OLD_HAIKU), chat()) == 0
