"""Legacy text completions through the official SDK."""

import asyncio
from typing import Any

import openai
import pytest

from serving.errors import NoTierAnswered
from serving.wire.completion import Chunk, TokenLogprob, TopLogprob
from tests.serving.api.scripted import HEAD, Scripted
from tests.serving.api.server import serving

PATH = "/v1/completions"


async def test_a_prompt_is_a_chat() -> None:
    backend = Scripted()
    async with serving(backend) as server:
        answer = await server.sdk().completions.create(
            model="auto", prompt="Say", temperature=0.1, stop=["."], user="u"
        )
    assert (answer.object, answer.model) == ("text_completion", "small")
    assert answer.id.startswith("cmpl-")
    assert [(c.index, c.text, c.finish_reason) for c in answer.choices] == [
        (0, "Hello world", "stop")
    ]
    assert answer.usage is not None
    assert (answer.usage.model_extra or {})["stepwell"]["tier"] == "small"
    request, _ = backend.asked[0]
    assert request.wire() == {
        "model": "auto",
        "messages": [{"role": "user", "content": "Say"}],
        "max_tokens": 16,
        "temperature": 0.1,
        "stop": ["."],
        "user": "u",
    }


async def test_each_prompt_takes_its_own_route() -> None:
    backend = Scripted()
    async with serving(backend) as server:
        response = await server.post(
            PATH,
            json={
                "model": "auto",
                "prompt": ["a", "b", "c"],
                "echo": True,
                "max_tokens": 5,
                "stepwell": {"explain": True},
            },
        )
    body = response.json()
    assert [(c["index"], c["text"]) for c in body["choices"]] == [
        (0, "aHello world"),
        (1, "bHello world"),
        (2, "cHello world"),
    ]
    assert body["usage"]["prompt_tokens"] == 27
    assert body["usage"]["stepwell"]["cost_usd"] == "0.0000036"
    assert len(body["stepwell"]["routes"]) == 3
    assert response.headers["x-stepwell-cost-usd"] == "0.0000036"
    assert {call.request_id for _, call in backend.asked} == {response.headers["x-request-id"]}
    assert len({id(call.trace) for _, call in backend.asked}) == 3


LOGPROBS = (
    TokenLogprob("He", -0.1, (TopLogprob("He", -0.1), TopLogprob("Ha", -2.0))),
    TokenLogprob("llo", -0.2, (TopLogprob("llo", -0.2),)),
)


async def test_logprobs_have_the_legacy_shape() -> None:
    head = (HEAD.id, HEAD.created, HEAD.model)
    steps = [Chunk(*head, content=t.token, logprobs=(t,)) for t in LOGPROBS]
    backend = Scripted(steps=steps)
    async with serving(backend) as server:
        sdk = server.sdk()
        answer = await sdk.completions.create(model="auto", prompt="x", logprobs=1)
        stream = await sdk.completions.create(model="auto", prompt="x", logprobs=1, stream=True)
        pieces = [p.choices[0].logprobs async for p in stream]
    logprobs: Any = answer.choices[0].logprobs
    assert logprobs.tokens == ["He", "llo"]
    assert logprobs.token_logprobs == [-0.1, -0.2]
    assert logprobs.top_logprobs == [{"He": -0.1}, {"llo": -0.2}]
    assert logprobs.text_offset == [0, 2]
    assert [p.text_offset for p in pieces if p] == [[0], [2]]
    assert backend.asked[0][0].top_logprobs == 1


async def test_a_stream() -> None:
    async with serving(Scripted()) as server:
        stream = await server.sdk().completions.create(
            model="auto",
            prompt=["a", "b"],
            stream=True,
            echo=True,
            stream_options={"include_usage": True},
        )
        pieces = [piece async for piece in stream]
    texts = {0: "", 1: ""}
    for piece in pieces[:-1]:
        assert piece.usage is None
        texts[piece.choices[0].index] += piece.choices[0].text
    assert texts == {0: "aHello world", 1: "bHello world"}
    assert pieces[-1].choices == []
    assert pieces[-1].usage is not None
    assert pieces[-1].usage.total_tokens == 24


async def test_the_bytes_of_a_stream() -> None:
    body = {"model": "auto", "prompt": "x", "stream": True}
    async with serving(Scripted()) as server:
        response = await server.post(PATH, json=body)
    answer_id = "cmpl-" + response.headers["x-request-id"].removeprefix("req_")
    head = (
        f'data: {{"id":"{answer_id}","object":"text_completion","created":1700000000,'
        '"model":"small","choices":[{"index":0,'
    )
    assert response.text == (
        f'{head}"text":"Hello","logprobs":null,"finish_reason":null}}]}}\n\n'
        f'{head}"text":" world","logprobs":null,"finish_reason":null}}]}}\n\n'
        f'{head}"text":"","logprobs":null,"finish_reason":"stop"}}]}}\n\n'
        "data: [DONE]\n\n"
    )


@pytest.mark.parametrize("stream", [False, True])
async def test_one_failure_fails_and_stops_all(stream: bool) -> None:
    class Half(Scripted):
        async def stream(self, request: Any, call: Any) -> Any:
            last = request.last_user_text == "b"
            self.steps = [0.05, NoTierAnswered("none")] if last else [asyncio.Event()]
            async for chunk in super().stream(request, call):
                yield chunk

    backend = Half()
    async with serving(backend) as server:
        with pytest.raises(openai.InternalServerError) as caught:
            await server.sdk().completions.create(model="auto", prompt=["a", "b"], stream=stream)
    assert caught.value.code == "no_tier_answered"
    assert backend.running == 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"prompt": [1, 2, 3]}, "token ids"),
        ({"prompt": [[1, 2], [3]]}, "token ids"),
        ({"prompt": []}, "at least 1"),
        ({"prompt": None}, "prompt"),
        ({"suffix": "end"}, "suffix"),
        ({"best_of": 3}, "best_of"),
        ({"echo": True, "logprobs": 1}, "echo"),
        ({"logprobs": 6}, "less than or equal to 5"),
        ({"messages": []}, "messages"),
        ({"tools": []}, "tools"),
        ({"prompt": ["x"] * 9}, "at most 8"),
        ({"prompt": ["x"] * 3, "n": 3}, "at most 8"),
        ({"temperature": 9}, "temperature"),
        ({"model": "nope"}, "nope"),
    ],
)
async def test_what_a_chat_model_cannot_do_is_refused(change: dict[str, Any], said: str) -> None:
    backend = Scripted()
    async with serving(backend) as server:
        response = await server.post(PATH, json={"model": "auto", "prompt": "x", **change})
    assert response.status_code == (404 if "model" in change else 400)
    assert said in response.json()["error"]["message"]
    assert backend.asked == []


async def test_best_of_as_many_as_asked_is_fine() -> None:
    async with serving(Scripted()) as server:
        body = {"model": "auto", "prompt": "x", "n": 1, "best_of": 1}
        assert (await server.post(PATH, json=body)).status_code == 200
