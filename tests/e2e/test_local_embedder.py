"""`/v1/embeddings` from a model in the gateway's own process, by the real SDK."""

import asyncio
from collections.abc import Iterator
from decimal import Decimal
from importlib.util import find_spec
from typing import Any

import openai
import pytest

from cache.embedder.find import DEFAULT, fetch_default, find_model
from serving.errors import ConfigError
from tests.e2e.configs import ladder
from tests.e2e.stack import Stack, running

PRICE = {"kind": "tokens", "input_per_mtok": 0.02, "output_per_mtok": 0}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    if find_spec("onnxruntime") is None:  # it is not for tests to import
        pytest.skip("the extra `cache` is not installed")
    try:
        find_model(DEFAULT) or fetch_default()
    except ConfigError as error:
        pytest.skip(f"the model cannot be had: {error}")
    local = {"name": "minilm", "model": DEFAULT, "backend": {"engine": "local"}, "price": PRICE}
    with running(ladder(embedders=[local]), tmp_path_factory.mktemp("local")) as stack:
        yield stack


def cosine(left: list[float], right: list[float]) -> float:
    return sum(a * b for a, b in zip(left, right, strict=True))


def test_vectors_know_meaning_and_are_metered(stack: Stack) -> None:
    texts = ["How do I reset my password?", "I forgot my login, help", "The weather in Rome"]
    with stack.client() as client:
        answer = client.embeddings.create(
            model=DEFAULT, input=texts, extra_body={"stepwell": {"explain": True}}
        )
    vectors = [d.embedding for d in answer.data]
    assert [len(v) for v in vectors] == [384] * 3
    assert all(cosine(v, v) == pytest.approx(1, abs=1e-4) for v in vectors)
    assert cosine(vectors[0], vectors[1]) > 2 * cosine(vectors[0], vectors[2])
    assert answer.model == "minilm"
    assert answer.usage.prompt_tokens == 24
    figures = (answer.usage.model_extra or {})["stepwell"]
    assert Decimal(figures["cost_usd"]) == Decimal("0.02") * 24 / 1_000_000
    assert figures["simulated"] is False
    route: Any = (answer.model_extra or {})["stepwell"]
    (row,) = stack.attempts(route["request_id"])
    assert (row["kind"], row["tier"], row["prompt_tokens"]) == ("embedding", "minilm", 24)


@pytest.mark.parametrize(
    ("asked", "param", "code"),
    [
        ({"input": [[1, 2, 3]]}, "input", "unsupported_parameter"),
        ({"input": ["fine", "too long " * 200]}, "input", "context_length_exceeded"),
        ({"input": "x", "dimensions": 64}, "dimensions", None),
    ],
)
def test_what_it_cannot_honour_is_refused(
    stack: Stack, asked: dict[str, Any], param: str, code: str | None
) -> None:
    with stack.client() as client, pytest.raises(openai.BadRequestError) as refused:
        client.embeddings.create(model="minilm", **asked)
    assert refused.value.param == param
    assert code is None or refused.value.code == code


async def test_a_long_list_and_many_clients_share_the_model(stack: Stack) -> None:
    texts = [f"question number {n}" for n in range(200)]
    async with stack.async_client() as client:
        many = asyncio.create_task(client.embeddings.create(model="minilm", input=texts))
        singles = await asyncio.gather(
            *(client.embeddings.create(model="minilm", input=text) for text in texts[:20])
        )
        listed = (await many).data
    for single, one in zip(singles, listed, strict=False):
        assert cosine(single.data[0].embedding, one.embedding) > 0.9999
