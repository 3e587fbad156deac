"""The official SDK against whole answers."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from serving.wire.completion import Choice, Completion, TokenLogprob, ToolCallPart, TopLogprob
from tests.serving.api.scripted import HEAD, Scripted
from tests.serving.api.server import KEY, chat, serving

MESSAGES: list[Any] = [{"role": "user", "content": "Hi"}]


async def test_an_answer_has_openais_shape_and_stepwells_figures() -> None:
    async with serving(Scripted()) as server:
        raw = await server.sdk().chat.completions.with_raw_response.create(
            model="auto", messages=MESSAGES
        )
    body = json.loads(raw.text)
    assert body == {
        "id": body["id"],
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "small",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hello world", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 9,
            "completion_tokens": 3,
            "total_tokens": 12,
            "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 1},
            "stepwell": {
                "tier": "small",
                "cost_usd": "0.0000012",
                "baseline_cost_usd": "0.00045",
                "escalations": 0,
                "cache": "off",
                "best_effort": None,
                "degraded": None,
                "simulated": True,
                "dropped_params": ["seed"],
            },
        },
        "system_fingerprint": "fp_1",
    }
    assert body["id"] == "chatcmpl-" + raw.headers["x-request-id"].removeprefix("req_")
    figures = {k: v for k, v in raw.headers.items() if k.startswith("x-stepwell-")}
    assert figures == {
        "x-stepwell-tier": "small",
        "x-stepwell-cache": "off",
        "x-stepwell-escalations": "0",
        "x-stepwell-cost-usd": "0.0000012",
        "x-stepwell-dropped-params": "seed",
        "x-stepwell-simulated": "true",
    }


async def test_the_sync_client_works_too() -> None:
    async with serving(Scripted()) as server:

        def ask() -> str | None:
            with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none") as client:
                answer = client.chat.completions.create(model="auto", messages=MESSAGES)
                return answer.choices[0].message.content

        assert await asyncio.to_thread(ask) == "Hello world"


class Answers:
    """A backend with one whole answer."""

    def __init__(self, *choices: Choice) -> None:
        self._choices = choices
        self.scripted = Scripted()

    async def complete(self, request: Any, call: Any) -> Completion:
        done = await self.scripted.complete(request, call)
        return replace(done, choices=self._choices)

    stream = None  # not asked


async def test_tool_calls_come_back_as_the_sdk_knows_them() -> None:
    calls = (ToolCallPart(0, "call_a", "f", '{"x":1}'), ToolCallPart(1, "call_b", "g", "{}"))
    backend: Any = Answers(Choice(content=None, tool_calls=calls, finish_reason="tool_calls"))
    tools: Any = [{"type": "function", "function": {"name": n, "parameters": {}}} for n in "fg"]
    async with serving(backend) as server:
        answer = await server.sdk().chat.completions.create(
            model="small", messages=MESSAGES, tools=tools, parallel_tool_calls=True
        )
    message = answer.choices[0].message
    assert answer.choices[0].finish_reason == "tool_calls"
    assert message.content is None
    got: Any = message.tool_calls
    assert [(c.id, c.type, c.function.name, c.function.arguments) for c in got] == [
        ("call_a", "function", "f", '{"x":1}'),
        ("call_b", "function", "g", "{}"),
    ]
    request, _ = backend.scripted.asked[0]
    assert [t.function.name for t in request.tools] == ["f", "g"]


class City(BaseModel):
    name: str
    population: int


async def test_json_schema_parses() -> None:
    backend = Scripted(steps=['{"name":"Oslo",', '"population":700000}'])
    async with serving(backend) as server:
        answer = await server.sdk().chat.completions.parse(
            model="auto", messages=MESSAGES, response_format=City
        )
    assert answer.choices[0].message.parsed == City(name="Oslo", population=700_000)
    asked = backend.asked[0][0].response_format
    assert asked is not None
    assert asked.json_schema is not None
    assert asked.json_schema.name == "City"


async def test_provider_blocks_go_out_and_come_back_unchanged() -> None:
    blocks = {"provider": "anthropic", "content": [{"type": "thinking", "signature": "s=="}]}
    backend: Any = Answers(Choice(content="x", provider_content=blocks, reasoning="because"))
    async with serving(backend) as server:
        sdk = server.sdk()
        answer = await sdk.chat.completions.create(model="auto", messages=MESSAGES)
        message = answer.choices[0].message
        assert (message.model_extra or {})["provider_content"] == blocks
        assert (message.model_extra or {})["reasoning_content"] == "because"
        follow_up: Any = [*MESSAGES, message, {"role": "user", "content": "And?"}]
        await sdk.chat.completions.create(model="auto", messages=follow_up)
    assert backend.scripted.asked[1][0].messages[1].provider_content == blocks


async def test_logprobs_only_when_asked_and_no_more_than_asked() -> None:
    top = (TopLogprob("é", -0.1), TopLogprob("b", float("-inf")), TopLogprob("c", float("nan")))
    tokens = (TokenLogprob("é", -0.1, top),)
    backend: Any = Answers(Choice(content="é", logprobs=tokens))
    async with serving(backend) as server:
        sdk = server.sdk()
        silent = await sdk.chat.completions.create(model="auto", messages=MESSAGES)
        asked = await sdk.chat.completions.create(
            model="auto", messages=MESSAGES, logprobs=True, top_logprobs=2
        )
    assert silent.choices[0].logprobs is None
    assert asked.choices[0].logprobs is not None
    (token,) = asked.choices[0].logprobs.content or []
    assert token.bytes == list("é".encode())
    assert [(t.token, t.logprob) for t in token.top_logprobs] == [("é", -0.1), ("b", -9999.0)]


async def test_several_choices() -> None:
    backend: Any = Answers(*(Choice(index=i, content=f"c{i}") for i in range(3)))
    async with serving(backend) as server:
        answer = await server.sdk().chat.completions.create(model="auto", messages=MESSAGES, n=3)
    assert [(c.index, c.message.content) for c in answer.choices] == [
        (0, "c0"),
        (1, "c1"),
        (2, "c2"),
    ]


async def test_a_cut_surrogate_pair_leaves_as_it_came() -> None:
    async with serving(Scripted(steps=["a\ud83d"])) as server:
        response = await server.post(json=chat())
    assert response.json()["choices"][0]["message"]["content"] == "a\ud83d"


async def test_explain_returns_the_route() -> None:
    async with serving(Scripted()) as server:
        response = await server.post(json=chat(stepwell={"explain": True}))
    route = response.json()["stepwell"]
    assert route["request_id"] == response.headers["x-request-id"]
    assert route["decisions"] == [
        {"stage": "cascade", "decision": "call small", "reason": "start tier", "at_ms": 0.5}
    ]
    (attempt,) = route["attempts"]
    assert attempt["outcome"] == "accepted"
    assert attempt["reason"] == "last tier"
    assert attempt["cost_usd"] == "0.0000012"
    assert (attempt["prompt_tokens"], attempt["completion_tokens"]) == (9, 3)
    assert attempt["latency_ms"] == 12.346
    assert attempt["simulated"] is True


async def test_prompts_are_logged_only_when_asked(capsys: pytest.CaptureFixture[str]) -> None:
    async with serving(Scripted()) as server:
        await server.post(json=chat("my secret question"))
    silent = capsys.readouterr()
    async with serving(Scripted(), log={"prompts": True}) as server:
        await server.post(json=chat("my secret question"))
        await server.post(json=chat("my secret question", stream=True))
    asked = capsys.readouterr()
    assert "req_" in silent.out
    assert "secret" not in silent.out + silent.err
    assert "Hello" not in silent.out + silent.err
    assert asked.out.count("my secret question") == 2
    assert asked.out.count("Hello world") == 2


async def test_the_request_reaches_the_backend_as_it_was_sent() -> None:
    backend = Scripted()
    body = chat(
        temperature=0.2,
        metadata={"feature": "f", "task": "t", "session": "s", "step": "1", "other": "x"},
        user="u",
        stepwell={"step": "2"},
        vendor_option={"a": [1]},
    )
    async with serving(backend) as server:
        await server.post(json={**body, "model": "gpt-4o"}, headers={"authorization": KEY})
    request, call = backend.asked[0]
    assert request.wire() == {k: v for k, v in body.items() if k != "stepwell"}
    assert (call.feature, call.task, call.session, call.step) == ("f", "t", "s", "2")
    assert call.tenant == "default"
    assert call.kind == "attempt"
    assert 100 < call.remaining < 120


async def test_the_head_of_the_answer_is_the_tiers() -> None:
    async with serving(Scripted(tier="")) as server:
        body = (await server.post(json=chat())).json()
    assert body["model"] == HEAD.model
