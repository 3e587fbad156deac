"""What surprises who knows OpenAI's API: parameters, thinking, refusals."""

from typing import Any

import pytest

from serving.engines.fit import Fit
from serving.errors import TierRejected
from serving.hosted.anthropic import anthropic_ability
from serving.hosted.models import catalog
from serving.settings.tiers import OutputPolicy
from serving.wire.completion import TokenLogprob
from tests.serving.hosted.emulator.running import MODELS, OLD_SONNET
from tests.serving.hosted.fakes import (
    HAIKU,
    OLD_HAIKU,
    OPUS,
    SONNET,
    Scripted,
    adapter,
    answer,
    asked,
    call,
    chat,
    emulated,
    tier,
    weather_tool,
)
from tests.serving.hosted.scripted_api import Reply, message, scripted, streamed
from tests.serving.hosted.traps.raw import raw

both = pytest.mark.parametrize("stream", [False, True])
NAMED = {"type": "function", "function": {"name": "weather"}}
NOT_FORCED = [m for m in MODELS if not catalog().ability(m).forced_tool_choice]


async def test_trap_sampling_parameters_are_a_400_on_every_model() -> None:
    async with emulated(dict.fromkeys(MODELS, Scripted())) as url, raw(url) as api:
        for model in MODELS:
            for field in ("temperature", "top_p", "top_k"):
                assert field in await api.refusal(model, **{field: 1})
            chosen = tier(model)
            async with adapter(url, model) as backend:
                to = call()
                fitted = Fit(backend, tier=chosen, ability=anthropic_ability(chosen))
                request = chat("Hi", temperature=1, top_p=1, top_k=1)
                assert (await fitted.complete(request, to)).first.content
            assert to.trace.dropped == ["temperature", "top_k", "top_p"]  # and the client is told


async def test_trap_a_forced_tool_choice_is_a_400_on_the_newest_models() -> None:
    assert set(NOT_FORCED) == {OPUS, SONNET}
    tool = {"name": "weather", "input_schema": {"type": "object"}}
    async with emulated(dict.fromkeys(MODELS, Scripted())) as url, raw(url) as api:
        for model in MODELS:
            async with adapter(url, model) as backend:
                for wanted in ("required", NAMED):
                    request = chat("Hi", tools=[weather_tool()], tool_choice=wanted)
                    if model not in NOT_FORCED:
                        assert await backend.complete(request, call())
                        continue
                    with pytest.raises(TierRejected) as caught:
                        await backend.complete(request, call())
                    assert caught.value.code == "forced_tool_choice"
            if model in NOT_FORCED:
                refusal = await api.refusal(model, tools=[tool], tool_choice={"type": "any"})
                assert "tool_choice" in refusal


async def test_trap_a_prefilled_assistant_turn_is_a_400_from_4_6_on() -> None:
    begun = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "The answer is "}]
    async with emulated(dict.fromkeys(MODELS, Scripted())) as url, raw(url) as api:
        for model in (OPUS, SONNET, HAIKU, OLD_SONNET, OLD_HAIKU):
            async with adapter(url, model) as backend:
                if model == OLD_HAIKU:
                    assert await backend.complete(chat(*begun), call())
                    continue
                with pytest.raises(TierRejected) as caught:
                    await backend.complete(chat(*begun), call())
            assert caught.value.code == "prefill_not_supported"
            assert "prefill" in await api.refusal(model, messages=begun)


@both
async def test_trap_json_is_an_output_format_and_no_forced_tool(stream: bool) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
    reply = message({"type": "text", "text": '{"n": 1}'})
    async with (
        scripted(Reply(streamed(reply) if stream else reply)) as api,
        adapter(api.url) as backend,
    ):
        found = await asked(backend, chat("Hi", response_format=wanted), call(), stream=stream)
    (body,) = api.bodies
    assert body["output_config"]["format"]["type"] == "json_schema"
    assert body.keys().isdisjoint({"tools", "tool_choice", "response_format"})
    assert found.first.content == '{"n": 1}'
    assert found.first.tool_calls == ()


async def test_trap_the_key_is_a_bearer_token_under_the_new_api_version() -> None:
    async with scripted(Reply(message())) as api, adapter(api.url) as backend:
        await backend.complete(chat("Hi"), call())
    (seen,) = api.seen
    assert seen.headers["authorization"] == "Bearer emulator"
    assert "x-api-key" not in seen.headers
    assert seen.headers["anthropic-version"] == "2026-10-21"


@pytest.mark.parametrize(
    ("model", "effort", "thinking"),
    [
        (OPUS, "none", None),  # always thinks: the lowest effort is all that can be asked for
        (SONNET, "none", {"type": "between_tools"}),
        (HAIKU, "none", {"type": "disabled"}),
        (OLD_SONNET, "none", None),
        (OLD_HAIKU, "none", None),
    ],
)
async def test_trap_thinking_is_turned_off_in_another_way_on_every_model(
    model: str, effort: str, thinking: Any
) -> None:
    request = chat("Hi", reasoning_effort=effort)
    async with scripted(Reply(message())) as api, adapter(api.url, model) as backend:
        await backend.complete(request, call())
    assert api.bodies[0].get("thinking") == thinking
    async with emulated(dict.fromkeys(MODELS, Scripted())) as url, adapter(url, model) as backend:
        found = await backend.complete(request, call())
    assert bool(found.usage.reasoning_tokens) is (model == OPUS)


async def test_trap_thinking_that_a_model_does_not_know_how_to_turn_off_is_a_400() -> None:
    async with emulated(dict.fromkeys(MODELS, Scripted())) as url, raw(url) as api:
        for model in (OPUS, SONNET):
            assert "disabled" in await api.refusal(model, thinking={"type": "disabled"})
        hard = {"thinking": {"type": "disabled"}, "output_config": {"effort": "max"}}
        assert "effort" in await api.refusal(HAIKU, **hard)


@both
async def test_trap_thinking_counts_toward_max_tokens(stream: bool) -> None:
    """A limit of five tokens alone would be spent on thoughts, and no word would be said."""
    limits = OutputPolicy(max_tokens=5)
    async with (
        emulated(Scripted(answer("Yes."))) as url,
        adapter(url, effort="max", output=limits) as backend,
    ):
        found = await asked(backend, chat("Hi"), call(), stream=stream)
    assert found.first.content == "Yes."
    assert found.usage.reasoning_tokens > 5
    assert found.usage.completion_tokens > found.usage.reasoning_tokens


@both
async def test_trap_the_answer_is_not_the_first_block(stream: bool) -> None:
    reply = message(
        {"type": "thinking", "thinking": "Hm.", "signature": "sig"},
        {"type": "redacted_thinking", "data": "x"},
        {"type": "text", "text": "Yes."},
    )
    async with (
        scripted(Reply(streamed(reply) if stream else reply)) as api,
        adapter(api.url) as backend,
    ):
        found = (await asked(backend, chat("Hi"), call(), stream=stream)).first
    assert (found.content, found.reasoning) == ("Yes.", "Hm.")
    assert found.provider_content is not None
    assert [b["type"] for b in found.provider_content["content"]] == [
        "thinking",
        "redacted_thinking",
        "text",
    ]


async def test_trap_there_are_no_logprobs() -> None:
    reply = answer("Yes.", logprobs=(TokenLogprob("Yes.", -0.1),))
    async with emulated(Scripted(reply)) as url, adapter(url) as backend:
        to = call()
        fitted = Fit(backend, tier=tier(), ability=anthropic_ability(tier()))
        found = await fitted.complete(chat("Hi", logprobs=True, top_logprobs=2), to)
    assert found.first.logprobs is None
    assert to.trace.dropped == ["logprobs", "top_logprobs"]


@both
async def test_trap_a_refusal_is_a_200(stream: bool) -> None:
    details = {"type": "refusal", "category": "bio", "explanation": "Not that."}
    reply = message(stop="refusal", stop_details=details)
    async with (
        scripted(Reply(streamed(reply) if stream else reply)) as api,
        adapter(api.url) as backend,
    ):
        found = (await asked(backend, chat("Hi"), call(), stream=stream)).first
    assert (found.finish_reason, found.refusal) == ("content_filter", "Not that. (bio)")
