"""What an OpenAI client expects of a Claude tier: the real SDK against the whole stack."""

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import openai
import pytest

from tests.e2e.configs import claude_tier
from tests.e2e.stack import Stack, running

HI: list[Any] = [{"role": "user", "content": "How do I reset the password of my account?"}]
RULES = "Be brief and kind. " * 400
SERVICE_TIERS = ["auto", "default", "flex", "scale", "priority"]
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


def faulty(name: str, fault: str) -> dict[str, Any]:
    tier = claude_tier(name, "claude-haiku-4-5")  # does not think first
    tier["backend"]["emulator_faults"] = {fault: 1.0}
    return {**tier, "retries": 0}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    tiers = [
        faulty("cut", "overloaded_midstream"),
        faulty("shy", "refusal"),
        faulty("spent", "max_tokens"),
        claude_tier("opus", "claude-opus-5-5"),
    ]
    config = {"tiers": tiers, "default_task": {"name": "default", "gate": "off"}}
    with running(config, tmp_path_factory.mktemp("surface")) as stack:
        yield stack


def create(stack: Stack, model: str = "opus", **fields: Any) -> Any:
    """The answer, or all of its chunks."""
    with stack.client() as client:
        made: Any = client.chat.completions.create(model=model, **{"messages": HI, **fields})
        return list(made) if fields.get("stream") else made


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("model", "finish"), [("opus", "stop"), ("shy", "content_filter"), ("spent", "length")]
)
def test_trap_finish_reasons_are_openais(
    stack: Stack, model: str, finish: str, stream: bool
) -> None:
    found = create(stack, model, stream=stream)
    if not stream:
        assert found.choices[0].finish_reason == finish
        return
    assert [c.choices[0].finish_reason for c in found][-1] == finish


def test_trap_a_refusal_is_said_in_its_own_field(stack: Stack) -> None:
    assert create(stack, "shy").choices[0].message.refusal


def test_trap_tools_are_called_in_openais_form(stack: Stack) -> None:
    asked = [{"role": "user", "content": "What is the weather in Oslo?"}]
    (choice,) = create(stack, messages=asked, tools=[WEATHER]).choices
    assert choice.finish_reason == "tool_calls"
    assert isinstance(json.loads(choice.message.tool_calls[0].function.arguments), dict)


def events(stack: Stack, **fields: Any) -> list[str]:
    body = {"model": "opus", "messages": HI, "stream": True, **fields}
    answer = httpx2.post(f"{stack.url}/v1/chat/completions", json=body, timeout=30)
    assert answer.headers["content-type"].startswith("text/event-stream")
    return [e.removeprefix("data: ") for e in answer.text.split("\n\n") if e.startswith("data: ")]


def test_trap_usage_stands_in_a_last_chunk_without_choices(stack: Stack) -> None:
    *chunks, done = events(stack, stream_options={"include_usage": True})
    assert done == "[DONE]"
    *others, last = map(json.loads, chunks)
    assert last["choices"] == []
    assert last["usage"]["prompt_tokens"] > 0
    assert all("usage" in chunk and chunk["usage"] is None for chunk in others)


def test_trap_usage_is_not_sent_to_who_did_not_ask(stack: Stack) -> None:
    *chunks, done = events(stack)
    assert done == "[DONE]"
    assert not any(json.loads(chunk).get("usage") for chunk in chunks)
    assert all(json.loads(chunk)["choices"] for chunk in chunks)


def test_trap_an_error_within_a_stream_raises_in_the_client(stack: Stack) -> None:
    with pytest.raises(openai.APIError) as caught:
        create(stack, "cut", stream=True)
    assert caught.value.code == "tier_unavailable"


def test_trap_prompt_tokens_include_the_cached_ones(stack: Stack) -> None:
    part = {"type": "text", "text": RULES, "prompt_cache_breakpoint": {"mode": "explicit"}}
    asked: list[Any] = [{"role": "system", "content": [part]}, *HI]
    first, second = (create(stack, messages=asked).usage for _ in range(2))
    written = first.prompt_tokens_details.cache_write_tokens
    assert first.prompt_tokens == second.prompt_tokens
    assert second.prompt_tokens > second.prompt_tokens_details.cached_tokens == written > 1_000
    assert second.total_tokens == second.prompt_tokens + second.completion_tokens


@pytest.mark.parametrize("effort", ["none", "minimal", "low", "medium", "high", "xhigh"])
def test_trap_every_reasoning_effort_is_accepted(stack: Stack, effort: str) -> None:
    found = create(stack, reasoning_effort=effort, max_completion_tokens=200)
    assert found.choices[0].message.content
    assert found.usage.completion_tokens_details.reasoning_tokens > 0  # Opus always thinks


@pytest.mark.parametrize("service_tier", SERVICE_TIERS)
def test_trap_every_service_tier_is_accepted(stack: Stack, service_tier: str) -> None:
    assert create(stack, service_tier=service_tier).choices[0].message.content


def test_trap_what_claude_cannot_honour_is_dropped_by_name_and_not_refused(stack: Stack) -> None:
    dropped = {
        "temperature": 0.2, "top_p": 0.9, "seed": 1, "presence_penalty": 0.1,
        "frequency_penalty": 0.1, "logit_bias": {"1": 1}, "logprobs": True, "top_logprobs": 2,
        "verbosity": "low", "prompt_cache_key": "k", "prompt_cache_options": {"mode": "implicit"},
        "prediction": {"type": "content", "content": "x"},
    }  # fmt: skip
    kept: Any = {"user": "u", "safety_identifier": "s", "metadata": {"a": "b"}, "stop": ["END"]}
    with stack.client() as client:
        answer = client.chat.completions.with_raw_response.create(
            model="opus", messages=HI, **kept, extra_body=dropped
        )
    assert set(answer.headers["x-stepwell-dropped-params"].split(",")) == dropped.keys()


@pytest.mark.parametrize(
    "fields",
    [
        {"n": 2},
        {"tools": [WEATHER], "tool_choice": "required"},
        {"messages": [*HI, {"role": "assistant", "content": "The answer is"}]},
        {"messages": [{"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}]},
    ],
)
def test_trap_what_cannot_be_dropped_is_a_400_of_openais_form(
    stack: Stack, fields: dict[str, Any]
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        create(stack, **fields)
    assert caught.value.type == "invalid_request_error"
    assert caught.value.response.headers["x-request-id"]
    assert caught.value.response.headers["content-type"] == "application/json"
