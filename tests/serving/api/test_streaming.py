"""Streams over real HTTP: bytes, errors, pauses, clients that leave."""

import asyncio
import json
from typing import Any

import openai
import pytest

from serving.errors import NoTierAnswered, Overloaded
from serving.wire.completion import Chunk, TokenLogprob, ToolCallPart
from tests.serving.api.scripted import HEAD, Scripted
from tests.serving.api.server import chat, serving

MESSAGES: list[Any] = [{"role": "user", "content": "Hi"}]

TRANSCRIPT = (
    'data: {"id":"ID","object":"chat.completion.chunk","created":1700000000,"model":"small",'
    '"choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,'
    '"finish_reason":null}],"usage":null}\n\n'
    'data: {"id":"ID","object":"chat.completion.chunk","created":1700000000,"model":"small",'
    '"choices":[{"index":0,"delta":{"content":"Hello"},"logprobs":null,"finish_reason":null}],'
    '"usage":null}\n\n'
    'data: {"id":"ID","object":"chat.completion.chunk","created":1700000000,"model":"small",'
    '"choices":[{"index":0,"delta":{"content":" w\u00f6rld\\n"},"logprobs":null,'
    '"finish_reason":null}],"usage":null}\n\n'
    'data: {"id":"ID","object":"chat.completion.chunk","created":1700000000,"model":"small",'
    '"choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}],"usage":null}\n\n'
    'data: {"id":"ID","object":"chat.completion.chunk","created":1700000000,"model":"small",'
    '"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":3,"total_tokens":12,'
    '"prompt_tokens_details":{"cached_tokens":4,"cache_write_tokens":0},'
    '"completion_tokens_details":{"reasoning_tokens":1},'
    '"stepwell":{"tier":"small","cost_usd":"0.0000012","baseline_cost_usd":"0.00045",'
    '"escalations":0,"cache":"off","best_effort":null,"degraded":null,"simulated":true,'
    '"dropped_params":["seed"]}}}\n\n'
    "data: [DONE]\n\n"
)


def streamed(**more: Any) -> dict[str, Any]:
    return chat(stream=True, **more)


def events(text: str) -> list[Any]:
    """The data of each event; comments left out."""
    lines = [line for line in text.split("\n\n") if line.startswith("data: ")]
    return [d if (d := line[6:]) == "[DONE]" else json.loads(d) for line in lines]


async def test_the_transcript_is_openais_to_the_byte() -> None:
    body = streamed(stream_options={"include_usage": True})
    async with serving(Scripted(steps=["Hello", " wörld\n"])) as server:
        response = await server.post(json=body)
    answer_id = "chatcmpl-" + response.headers["x-request-id"].removeprefix("req_")
    assert response.content == TRANSCRIPT.replace("ID", answer_id).encode()
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert response.headers["cache-control"] == "no-cache"
    assert response.headers["x-stepwell-tier"] == "small"
    assert "x-stepwell-cost-usd" not in response.headers


async def test_without_include_usage_no_chunk_mentions_usage() -> None:
    async with serving(Scripted()) as server:
        response = await server.post(json=streamed())
    *chunks, done = events(response.text)
    assert done == "[DONE]"
    assert all("usage" not in c for c in chunks)
    assert all(c["choices"] for c in chunks)


@pytest.mark.parametrize("own", [{}, {"explain": True}])
async def test_who_speaks_to_stepwell_gets_the_figures(own: dict[str, Any]) -> None:
    async with serving(Scripted()) as server:
        response = await server.post(json=streamed(stepwell=own))
    *_, last, _ = events(response.text)
    assert last["choices"] == []
    assert last["usage"]["stepwell"]["tier"] == "small"
    assert ("stepwell" in last) == bool(own)
    if own:
        assert last["stepwell"]["attempts"][0]["outcome"] == "accepted"


async def test_the_sdk_streams() -> None:
    async with serving(Scripted()) as server:
        stream = await server.sdk().chat.completions.create(
            model="auto", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "Hello world"
    assert [c.usage is not None for c in chunks] == [False] * 4 + [True]
    assert chunks[-1].usage is not None
    assert (chunks[-1].usage.model_extra or {})["stepwell"]["cost_usd"] == "0.0000012"
    assert len({c.id for c in chunks}) == 1


async def test_the_sync_sdk_streams() -> None:
    async with serving(Scripted()) as server:

        def read() -> str:
            with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none") as client:
                stream = client.chat.completions.create(
                    model="auto", messages=MESSAGES, stream=True
                )
                return "".join(c.choices[0].delta.content or "" for c in stream)

        assert await asyncio.to_thread(read) == "Hello world"


async def test_the_sdk_puts_streamed_tool_calls_together() -> None:
    def call(*parts: ToolCallPart) -> Chunk:
        return Chunk(HEAD.id, HEAD.created, HEAD.model, tool_calls=parts)

    steps = [
        call(ToolCallPart(0, "call_a", "f", "")),
        call(ToolCallPart(0, arguments='{"x"')),
        call(ToolCallPart(0, arguments=":1}"), ToolCallPart(1, "call_b", "g", "{}")),
        Chunk(HEAD.id, HEAD.created, HEAD.model, finish_reason="tool_calls"),
    ]
    tools: Any = [
        {"type": "function", "function": {"name": n, "strict": True, "parameters": {}}}
        for n in "fg"
    ]
    async with (
        serving(Scripted(steps=steps)) as server,
        server.sdk().chat.completions.stream(
            model="auto", messages=MESSAGES, tools=tools
        ) as stream,
    ):
        final = await stream.get_final_completion()
    calls: Any = final.choices[0].message.tool_calls
    assert [(c.id, c.function.name, c.function.arguments) for c in calls] == [
        ("call_a", "f", '{"x":1}'),
        ("call_b", "g", "{}"),
    ]


async def test_everything_else_a_chunk_may_hold() -> None:
    head = (HEAD.id, HEAD.created, HEAD.model)
    blocks = {"provider": "anthropic", "content": []}
    steps = [
        Chunk(*head, reasoning="hm"),
        Chunk(*head, content="x", logprobs=(TokenLogprob("x", -0.5),)),
        Chunk(*head, refusal="no"),
        Chunk(*head, provider_content=blocks),
    ]
    async with serving(Scripted(steps=steps)) as server:
        asked = await server.post(json=streamed(logprobs=True))
        silent = await server.post(json=streamed())
    choices = [c["choices"][0] for c in events(asked.text)[:-1]]
    assert [c["delta"] for c in choices[1:-1]] == [
        {"reasoning_content": "hm"},
        {"content": "x"},
        {"refusal": "no"},
        {"provider_content": blocks},
    ]
    assert choices[2]["logprobs"] == {
        "content": [{"token": "x", "logprob": -0.5, "bytes": [120], "top_logprobs": []}],
        "refusal": None,
    }
    assert all(c["choices"][0]["logprobs"] is None for c in events(silent.text)[:-1])


@pytest.mark.parametrize("pause", [[], [0.02]])
async def test_an_error_before_the_first_token_is_an_http_error(pause: list[float]) -> None:
    backend = Scripted(steps=[*pause, NoTierAnswered("none")])
    async with serving(backend) as server:
        with pytest.raises(openai.InternalServerError) as caught:
            await server.sdk().chat.completions.create(model="auto", messages=MESSAGES, stream=True)
    assert caught.value.status_code == 502
    assert caught.value.code == "no_tier_answered"


async def test_an_error_after_the_first_token_is_an_event_and_no_done() -> None:
    backend = Scripted(steps=["Hel", 0.02, Overloaded("full")])
    async with serving(backend) as server:
        response = await server.post(json=streamed())
        metrics = (await server.get("/metrics")).text
        stream = await server.sdk().chat.completions.create(
            model="auto", messages=MESSAGES, stream=True
        )
        with pytest.raises(openai.APIError, match="full"):
            _ = [chunk async for chunk in stream]
    assert response.status_code == 200
    assert events(response.text)[-1] == {
        "error": {"message": "full", "type": "api_error", "param": None, "code": "overloaded"}
    }
    assert 'stepwell_stream_errors_total{code="overloaded"} 1.0' in metrics


async def test_an_unforeseen_error_in_a_stream_keeps_its_secret() -> None:
    async with serving(Scripted(steps=["Hel", 0.02, ValueError("secret")])) as server:
        response = await server.post(json=streamed(stepwell={"explain": True}))
    last = events(response.text)[-1]
    assert last["error"]["code"] == "internal_error"
    assert last["error"]["stepwell"]["attempts"]
    assert "secret" not in response.text


async def test_a_stream_that_breaks_off_says_so() -> None:
    async with serving(Scripted(broken=True)) as server:
        response = await server.post(json=streamed())
    assert events(response.text)[-1]["error"]["code"] == "tier_protocol_error"
    assert "[DONE]" not in response.text


async def test_an_error_after_the_hold_is_an_event() -> None:
    backend = Scripted(steps=[0.2, NoTierAnswered("none")])
    async with serving(backend, stream={"hold_s": 0.05, "heartbeat_s": 5}) as server:
        response = await server.post(json=streamed())
    assert response.status_code == 200
    assert events(response.text)[-1]["error"]["code"] == "no_tier_answered"
