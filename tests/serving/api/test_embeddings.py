"""POST /v1/embeddings, by the real SDK and by hand."""

import asyncio
import json
from base64 import b64decode
from decimal import Decimal
from typing import Any

import openai
import pytest
import structlog

from serving.backend import Attempt, Call
from serving.errors import TierRateLimited, TierUnavailable
from serving.settings.key_hash import digest
from serving.wire.embeddings import EmbeddingRequest, Embeddings, numbers
from tests.serving.api.scripted import Scripted
from tests.serving.api.server import KEY, Server, serving
from tests.serving.engines.embedders import Embeds

MINI = {"name": "mini", "model": "bge-mini", "backend": {"engine": "mock"}}
PATH = "/v1/embeddings"


class Priced(Embeds):
    """Leaves a route as the real wrappers do."""

    async def embed(self, request: EmbeddingRequest, call: Call) -> Embeddings:
        attempt = Attempt("att_1", "embedding", "mini", "bge-mini", 0.0, simulated=True)
        attempt.cost_usd = attempt.baseline_cost_usd = Decimal("0.0000012")
        call.trace.attempts.append(attempt)
        call.trace.drop(("odd",))
        return await super().embed(request, call)


def embedding(embedder: Embeds, **changes: Any) -> Any:
    asides = {"embedders": {"mini": embedder}}
    return serving(Scripted(), asides=asides, **{"embedders": [MINI], **changes})


@pytest.mark.parametrize("model", ["mini", "bge-mini", "ada"])
async def test_an_embedder_goes_by_its_name_its_model_and_an_alias(model: str) -> None:
    inner = Priced()
    async with embedding(inner, aliases={"ada": "mini"}) as server:
        answer = await server.sdk().embeddings.create(model=model, input=["a", "b"])
    assert (answer.object, answer.model) == ("list", "mini")
    assert [(d.index, d.object, d.embedding) for d in answer.data] == [
        (i, "embedding", [1.0, 0.0, 0.0, 0.0]) for i in range(2)
    ]
    assert (answer.usage.prompt_tokens, answer.usage.total_tokens) == (1_000, 1_000)
    assert inner.asked == [EmbeddingRequest(("a", "b"))], "the format is the answer's alone"


async def test_headers_and_figures() -> None:
    async with embedding(Priced()) as server:
        body = {"model": "mini", "input": "a", "stepwell": {"explain": True}}
        response = await server.post(PATH, json=body)
    assert response.headers["x-stepwell-tier"] == "mini"
    assert response.headers["x-stepwell-cost-usd"] == "0.0000012"
    assert response.headers["x-stepwell-simulated"] == "true"
    assert response.headers["x-stepwell-dropped-params"] == "odd"
    answer = response.json()
    assert answer["usage"]["stepwell"]["cost_usd"] == "0.0000012"
    assert answer["data"][0]["embedding"] == [1.0, 0.0, 0.0, 0.0]
    (attempt,) = answer["stepwell"]["attempts"]
    assert (attempt["kind"], attempt["tier"]) == ("embedding", "mini")
    assert response.headers["x-request-id"] == answer["stepwell"]["request_id"]


async def test_who_asks_for_what_until_when() -> None:
    inner = Embeds()
    options = {"feature": "search", "session": "s", "deadline_ms": 1_000}
    async with embedding(inner, keys=[key()]) as server:
        await server.sdk().embeddings.create(
            model="mini",
            input=[[1, 2], [3]],
            dimensions=8,
            user="u",
            extra_body={"stepwell": options, "input_type": "query"},
        )
    (asked,), (call,) = inner.asked, inner.calls
    assert asked.inputs == ([1, 2], [3])
    assert (asked.dimensions, asked.params) == (8, {"user": "u", "input_type": "query"})
    assert (call.tenant, call.key_id, call.feature, call.session) == ("acme", "k1", "search", "s")
    assert 0 < call.remaining < 1


async def test_a_large_answer_leaves_piece_by_piece() -> None:
    async with embedding(Embeds(dimensions=1_024)) as server:
        body = {"model": "mini", "input": ["x"] * 300}
        response = await server.post(PATH, json=body)
    assert "content-length" not in response.headers
    data = response.json()["data"]
    assert [d["index"] for d in data] == list(range(300))
    assert all(d["embedding"] == [1.0] + [0.0] * 1_023 for d in data)


@pytest.mark.parametrize(
    ("body", "status", "code", "param"),
    [
        ({"input": "x"}, 400, "missing_required_parameter", "model"),
        ({"model": "mini"}, 400, "missing_required_parameter", "input"),
        ({"model": "mini", "input": ""}, 400, "invalid_value", "input"),
        ({"model": "mini", "input": ["x"] * 2_049}, 400, "invalid_value", "input"),
        ({"model": "mini", "input": {"a": 1}}, 400, "invalid_value", "input"),
        (
            {"model": "mini", "input": "x", "dimensions": 0},
            400,
            "invalid_value",
            "dimensions",
        ),
        (
            {"model": "mini", "input": "x", "stepwell": {"nope": 1}},
            400,
            "unknown_parameter",
            "stepwell.nope",
        ),
        ({"model": "nope", "input": "x"}, 404, "model_not_found", "model"),
        ({"model": "small", "input": "x"}, 404, "model_not_found", "model"),
        ({"model": "auto", "input": "x"}, 404, "model_not_found", "model"),
    ],
)
async def test_what_is_refused(body: dict[str, Any], status: int, code: str, param: str) -> None:
    inner = Embeds()
    async with embedding(inner) as server:
        response = await server.post(PATH, json=body)
    assert response.status_code == status
    error = response.json()["error"]
    assert (error["code"], error["param"]) == (code, param)
    assert inner.asked == []


async def test_an_embedder_does_not_chat() -> None:
    async with embedding(Embeds()) as server:
        body = {"model": "mini", "messages": [{"role": "user", "content": "Hi"}]}
        response = await server.post("/v1/chat/completions", json=body)
    assert response.status_code == 404
    assert "does not chat" in response.json()["error"]["message"]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (TierRateLimited("slow down", retry_after=3), openai.RateLimitError),
        (TierUnavailable("down"), openai.InternalServerError),
    ],
)
async def test_a_fault_of_the_embedder(error: Exception, kind: type[openai.APIStatusError]) -> None:
    async with embedding(Embeds(error)) as server:
        with pytest.raises(kind) as caught:
            await server.sdk().embeddings.create(model="mini", input="x")
    assert caught.value.code == error.code  # type: ignore[attr-defined]  # ours have one
    if isinstance(error, TierRateLimited):
        assert caught.value.response.headers["retry-after"] == "3"


def key(**more: Any) -> dict[str, Any]:
    return {"id": "k1", "tenant": "acme", "hash": digest(KEY), **more}


async def test_a_key_needs_the_scope() -> None:
    inner = Embeds()
    async with embedding(inner, keys=[key(scopes=["chat", "models"])]) as server:
        with pytest.raises(openai.PermissionDeniedError, match="'embeddings'"):
            await server.sdk().embeddings.create(model="mini", input="x")
    async with embedding(inner, keys=[key(scopes=["embeddings"])]) as server:
        await server.sdk().embeddings.create(model="mini", input="x")
        with pytest.raises(openai.PermissionDeniedError, match="'chat'"):
            await server.sdk().chat.completions.create(model="auto", messages=[])
    assert len(inner.asked) == 1


async def test_limits_of_a_key_hold() -> None:
    limits = {"requests_per_minute": 2, "max_concurrent": 1}
    inner = Embeds(hang=True)
    async with embedding(inner, keys=[key(limits=limits)]) as server:
        first = asyncio.create_task(server.sdk().embeddings.create(model="mini", input="x"))
        await inner.called.wait()
        for code in ("concurrency_limit_exceeded", "rate_limit_exceeded"):
            with pytest.raises(openai.RateLimitError) as caught:
                await server.sdk().embeddings.create(model="mini", input="x")
            assert caught.value.code == code
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)


async def test_a_client_that_leaves_stops_it() -> None:
    stopped = asyncio.Event()

    class Stops(Embeds):
        async def embed(self, request: EmbeddingRequest, call: Call) -> Embeddings:
            try:
                return await super().embed(request, call)
            finally:
                stopped.set()

    inner = Stops(hang=True)
    async with embedding(inner) as server:
        task = asyncio.create_task(server.post(PATH, json={"model": "mini", "input": "x"}))
        await inner.called.wait()
        task.cancel()
        await asyncio.wait_for(stopped.wait(), 5)


async def test_no_text_in_the_log_unless_it_is_asked_for() -> None:
    body = {"model": "mini", "input": "a private text"}
    for wanted in (False, True):
        with structlog.testing.capture_logs() as logged:
            async with embedding(Embeds(), log={"prompts": wanted}) as server:
                await server.post(PATH, json=body)
        assert ("a private text" in json.dumps(logged, default=str)) is wanted


async def test_metrics_count_the_endpoint() -> None:
    async with embedding(Embeds()) as server:
        await server.post(PATH, json={"model": "mini", "input": "x"})
        text = (await server.get("/metrics")).text
    assert 'stepwell_requests_total{endpoint="/v1/embeddings",status="200"} 1.0' in text


async def test_base64_is_what_the_sdk_asks_for() -> None:
    async with embedding(Embeds()) as server:
        raw: Any = await asked(server, "base64")
        plain: Any = await asked(server, "float")
    assert isinstance(raw, str)
    assert numbers(b64decode(raw)).tolist() == plain


async def asked(server: Server, encoding: str) -> Any:
    body = {"model": "mini", "input": "x", "encoding_format": encoding}
    return (await server.post(PATH, json=body)).json()["data"][0]["embedding"]
