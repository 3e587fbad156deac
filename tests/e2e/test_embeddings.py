"""Embeddings and tokens from the whole stack, by the real SDK: a mock and a server by URL."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from serving.settings.key_hash import digest
from serving.wire.embeddings import vector
from tests.e2e.configs import ladder
from tests.e2e.stack import Stack, running
from tests.serving.engines.openai_compatible.fake import Fake, answers
from tests.serving.engines.openai_compatible.fake import serving as served
from tests.serving.engines.openai_compatible.test_embed import reply

KEY = "sw-test-0123456789-abcdefghijklmnopqrstuvwx"
TEXTS = ["How do I reset my password?", "How can I reset my password", "Where is my order?"]
PRICE = {"kind": "tokens", "input_per_mtok": 0.02, "output_per_mtok": 0}


@pytest.fixture(scope="module")
def server() -> Iterator[Fake]:
    with served() as fake:
        yield fake


@pytest.fixture(scope="module")
def stack(server: Fake, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    mock = {"engine": "mock", "time_scale": 0, "dimensions": 128}
    hosted = {"engine": "openai", "base_url": server.url, "tokenize": True}
    embedders = [
        {"name": "mini", "model": "mock-embed", "backend": mock, "price": PRICE},
        {"name": "hosted", "model": "bge-large", "backend": hosted, "price": PRICE, "retries": 1},
    ]
    config = ladder(embedders=embedders, aliases={"text-embedding-3-small": "mini"})
    with running(config, tmp_path_factory.mktemp("embeddings")) as stack:
        yield stack


@pytest.fixture
def fake(server: Fake) -> Fake:
    server.reset()
    return server


def cosine(left: list[float], right: list[float]) -> float:
    return sum(a * b for a, b in zip(left, right, strict=True))


def test_sync_in_base64(stack: Stack) -> None:
    with stack.client() as client:
        answer = client.embeddings.create(model="text-embedding-3-small", input=TEXTS)
    vectors = [d.embedding for d in answer.data]
    assert [len(v) for v in vectors] == [128] * 3
    assert cosine(vectors[0], vectors[0]) == pytest.approx(1, abs=1e-5)
    assert cosine(vectors[0], vectors[1]) > 0.5 > cosine(vectors[0], vectors[2])
    assert answer.model == "mini"
    figures = (answer.usage.model_extra or {})["stepwell"]
    expected = Decimal("0.02") * answer.usage.prompt_tokens / 1_000_000
    assert Decimal(figures["cost_usd"]) == expected
    assert figures["simulated"] is True


async def test_async_as_numbers_is_the_same(stack: Stack) -> None:
    async with stack.async_client() as client:
        coded = await client.embeddings.create(model="mini", input=TEXTS)
        plain = await client.embeddings.create(model="mini", input=TEXTS, encoding_format="float")
        short = await client.embeddings.create(model="mini", input=TEXTS[0], dimensions=16)
        ids = await client.embeddings.create(model="mini", input=[[1, 2, 3], [4]])
    assert [d.embedding for d in plain.data] == [
        pytest.approx(d.embedding, abs=1e-7) for d in coded.data
    ]
    assert len(short.data[0].embedding) == 16
    assert (len(ids.data), ids.usage.prompt_tokens) == (2, 4)


def test_a_hosted_call_and_its_row(stack: Stack, fake: Fake) -> None:
    fake.reply = answers(reply(vector([0.6, 0.8])))
    with stack.client() as client:
        raw = client.embeddings.with_raw_response.create(
            model="bge-large", input="x", extra_body={"stepwell": {"feature": "search"}}
        )
    answer = raw.parse()
    assert answer.data[0].embedding == pytest.approx([0.6, 0.8], abs=1e-7)
    assert fake.bodies[0]["model"] == "bge-large"
    assert raw.headers["x-stepwell-cost-usd"] == "0.00000014"
    (row,) = stack.attempts(raw.headers["x-request-id"])
    assert (row["kind"], row["tier"], row["outcome"]) == ("embedding", "hosted", "accepted")
    assert (row["prompt_tokens"], row["cost"]) == (7, 140_000)
    assert (row["feature"], row["baseline_cost"]) == ("search", row["cost"])


def test_each_try_has_its_row(stack: Stack, fake: Fake) -> None:
    fake.reply = answers({"error": {"message": "down"}}, 503)
    with stack.client() as client, pytest.raises(openai.InternalServerError) as caught:
        client.embeddings.create(model="hosted", input="x")
    rows = stack.attempts(caught.value.response.headers["x-request-id"])
    assert [(r["outcome"], r["error"], r["cost"]) for r in rows] == [
        ("failed", "tier_unavailable", 0)
    ] * 2


def test_what_the_mock_refuses(stack: Stack) -> None:
    with stack.client() as client, pytest.raises(openai.BadRequestError) as caught:
        client.embeddings.create(model="mini", input="x", dimensions=129)
    assert caught.value.param == "dimensions"


def test_models_list_embedders_with_their_prices(stack: Stack) -> None:
    with stack.client() as client:
        listed = {m.id: (m.model_extra or {})["stepwell"] for m in client.models.list()}
    assert listed["mini"]["kind"] == "embedder"
    assert listed["mini"]["price"]["input"] == "0.02"
    assert (
        listed["text-embedding-3-small"]
        == listed["mock-embed"]
        == {
            "kind": "alias",
            "of": "mini",
        }
    )


def test_tokens_of_tiers_and_embedders(stack: Stack, fake: Fake) -> None:
    fake.reply = answers({"count": 1, "max_model_len": 512, "tokens": [4]})
    body: dict[str, Any] = {"prompt": "Where is it?", "return_token_strs": True}
    found = httpx2.post(f"{stack.url}/tokenize", json=body)
    assert found.headers["x-stepwell-tier"] == "small"
    assert "".join(found.json()["token_strs"]) == "Where is it?"
    assert found.json()["stepwell"]["simulated"] is True
    hosted = httpx2.post(f"{stack.url}/tokenize", json={**body, "model": "hosted"})
    assert hosted.json()["tokens"] == [4]
    claude = httpx2.post(f"{stack.url}/tokenize", json={**body, "model": "opus"})
    assert claude.status_code == 400
    assert "small, large, mini, hosted" in claude.json()["error"]["message"]
    assert stack.attempts(hosted.headers["x-request-id"]) == []


def test_keys_with_and_without_the_scope(tmp_path: Path) -> None:
    mock = {"engine": "mock", "time_scale": 0}
    keys = [{"id": "k", "tenant": "acme", "hash": digest(KEY), "scopes": ["chat"]}]
    config = ladder(embedders=[{"name": "mini", "model": "m", "backend": mock}], keys=keys)
    with running(config, tmp_path) as stack, stack.client(KEY) as client:
        with pytest.raises(openai.PermissionDeniedError):
            client.embeddings.create(model="mini", input="x")
        assert stack.rows("SELECT * FROM attempts") == []
