"""The `openai` SDK works unmodified against the whole stack."""

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from tests.e2e.configs import ladder
from tests.e2e.stack import Stack, running

QUESTION: list[Any] = [{"role": "user", "content": "How do I reset the password of my account?"}]
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Current weather of a city",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
            },
            "required": ["city", "unit"],
            "additionalProperties": False,
        },
    },
}
TIERS = ["auto", "small", "sonnet", "opus"]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(ladder(), tmp_path_factory.mktemp("sdk")) as stack:
        yield stack


@pytest.mark.parametrize("model", TIERS)
def test_sync(stack: Stack, model: str) -> None:
    with stack.client() as client:
        answer = client.chat.completions.create(model=model, messages=QUESTION)
    assert answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    figures = answer.usage.model_extra or {}
    assert figures["stepwell"]["tier"] == ("small" if model == "auto" else model)
    assert Decimal(figures["stepwell"]["cost_usd"]) > 0
    assert figures["stepwell"]["simulated"] is True


@pytest.mark.parametrize("model", TIERS)
async def test_async_stream_amounts_to_the_answer(stack: Stack, model: str) -> None:
    async with stack.async_client() as client:
        whole = await client.chat.completions.create(model=model, messages=QUESTION)
        stream = await client.chat.completions.create(
            model=model, messages=QUESTION, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == whole.choices[0].message.content
    assert [c.usage is not None for c in chunks] == [False] * (len(chunks) - 1) + [True]
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert (chunks[-1].usage.model_extra or {})["stepwell"]["escalations"] == 0
    assert len({c.id for c in chunks}) == 1


@pytest.mark.parametrize("model", ["small", "opus"])
def test_tools_round_trip(stack: Stack, model: str) -> None:
    with stack.client() as client:
        messages: list[Any] = [{"role": "user", "content": "What is the weather in Oslo?"}]
        asked = client.chat.completions.create(model=model, messages=messages, tools=[WEATHER])
        message = asked.choices[0].message
        assert asked.choices[0].finish_reason == "tool_calls"
        assert message.tool_calls
        call: Any = message.tool_calls[0]
        arguments = json.loads(call.function.arguments)
        assert set(arguments) == {"city", "unit"}
        result = {"role": "tool", "tool_call_id": call.id, "content": "12 degrees"}
        messages += [message, result]
        answer = client.chat.completions.create(model=model, messages=messages, tools=[WEATHER])
    assert answer.choices[0].message.content


def test_provider_blocks_return_unchanged(stack: Stack) -> None:
    """Opus thinks. Its signed blocks go back as they came, which the emulator checks; blocks that
    somebody changed are refused there, so they are left out, and the trace says so.
    """
    explain = {"stepwell": {"explain": True}}
    left_out = "earlier thinking left out"
    with stack.client() as client:
        first = client.chat.completions.create(model="opus", messages=QUESTION)
        message = first.choices[0].message
        carried = (message.model_extra or {})["provider_content"]
        assert {b["type"] for b in carried["content"]} >= {"thinking", "text"}
        asked = {"role": "user", "content": "And by phone?"}
        follow_up: Any = [*QUESTION, message, asked]
        kept = client.chat.completions.create(model="opus", messages=follow_up, extra_body=explain)
        tampered = message.model_copy(deep=True)
        blocks = (tampered.model_extra or {})["provider_content"]["content"]
        next(b for b in blocks if b["type"] == "thinking")["signature"] = "forged"
        forged: Any = [*QUESTION, tampered, asked]
        cut = client.chat.completions.create(model="opus", messages=forged, extra_body=explain)
    routes = [(answer.model_extra or {})["stepwell"] for answer in (kept, cut)]
    decisions = [[d["decision"] for d in route["decisions"]] for route in routes]
    assert left_out not in decisions[0]
    assert left_out in decisions[1]


class Ticket(BaseModel):
    title: str
    priority: int
    tags: list[str]


@pytest.mark.parametrize("model", ["small", "sonnet"])
def test_json_schema_parses(stack: Stack, model: str) -> None:
    with stack.client() as client:
        answer = client.chat.completions.parse(
            model=model,
            messages=[{"role": "user", "content": "Make a ticket of: the printer smokes."}],
            response_format=Ticket,
        )
    assert isinstance(answer.choices[0].message.parsed, Ticket)


def test_raw_response_carries_the_figures(stack: Stack) -> None:
    with stack.client() as client:
        raw = client.chat.completions.with_raw_response.create(model="auto", messages=QUESTION)
    assert raw.headers["x-stepwell-tier"] == "small"
    assert raw.headers["x-stepwell-escalations"] == "0"
    assert Decimal(raw.headers["x-stepwell-cost-usd"]) > 0
    assert raw.headers["x-request-id"]
    assert raw.parse().choices


def test_dropped_parameters_are_named(stack: Stack) -> None:
    with stack.client() as client:
        raw = client.chat.completions.with_raw_response.create(
            model="sonnet", messages=QUESTION, temperature=0.2, seed=7
        )
    assert set(raw.headers["x-stepwell-dropped-params"].split(",")) == {"temperature", "seed"}


def test_logprobs_only_when_asked(stack: Stack) -> None:
    with stack.client() as client:
        silent = client.chat.completions.create(model="auto", messages=QUESTION)
        asked = client.chat.completions.create(
            model="auto", messages=QUESTION, logprobs=True, top_logprobs=2
        )
    assert silent.choices[0].logprobs is None
    assert asked.choices[0].logprobs is not None
    tokens = asked.choices[0].logprobs.content or []
    assert "".join(t.token for t in tokens) == asked.choices[0].message.content
    assert all(len(t.top_logprobs) == 2 for t in tokens)


def test_several_choices_go_where_the_tier_can(stack: Stack) -> None:
    with stack.client() as client:
        answer = client.chat.completions.create(model="auto", messages=QUESTION, n=3)
        assert [c.index for c in answer.choices] == [0, 1, 2]
        with pytest.raises(openai.BadRequestError, match="several choices"):
            client.chat.completions.create(model="opus", messages=QUESTION, n=3)


def test_legacy_completions(stack: Stack) -> None:
    with stack.client() as client:
        answer = client.completions.create(model="auto", prompt="The capital of France is")
        pieces = list(client.completions.create(model="auto", prompt="The capital of", stream=True))
    assert answer.object == "text_completion"
    assert answer.choices[0].text
    assert "".join(p.choices[0].text for p in pieces if p.choices)


def test_models_have_prices(stack: Stack) -> None:
    with stack.client() as client:
        models = {m.id: m for m in client.models.list()}
        assert set(models) == {"auto", "small", "large", "sonnet", "opus"}
        prices = (client.models.retrieve("opus").model_extra or {})["stepwell"]["price"]
    assert Decimal(prices["input"]) == 4
    assert Decimal(prices["output"]) == 20


def test_explain_returns_the_route_and_the_ledger_agrees(stack: Stack, tmp_path: Path) -> None:
    with stack.client() as client:
        answer = client.chat.completions.create(
            model="auto",
            messages=QUESTION,
            metadata={"feature": "help", "session": "s1"},
            extra_body={"stepwell": {"explain": True}},
        )
    route = (answer.model_extra or {})["stepwell"]
    assert [d["stage"] for d in route["decisions"]]
    assert all(d["reason"] for d in route["decisions"])
    (attempt,) = route["attempts"]
    (row,) = stack.attempts(route["request_id"])
    assert row["feature"] == "help"
    assert row["session"] == "s1"
    assert row["outcome"] == "accepted"
    assert row["prompt_tokens"] == attempt["prompt_tokens"]
    assert Decimal(row["cost"]) == Decimal(attempt["cost_usd"]) * 10**12
