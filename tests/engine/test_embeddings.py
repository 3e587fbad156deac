"""Vectors from vLLM's pooling engine behind the gateway."""

import math
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.engine.conftest import KEYS
from tests.engine.embedders import CONTEXT, make_bert, reference
from tests.ray.stack import RayStack

TEXTS = ["Where is my order?", "The quick brown fox", "Where is my order?"]


@pytest.fixture(scope="module")
def client(stack: RayStack) -> openai.OpenAI:
    return stack.client(KEYS["acme"], timeout=120)


def ask(client: openai.OpenAI, **more: Any) -> Any:
    return client.embeddings.create(**{"model": "local-embed", "input": TEXTS, **more})


def test_vectors_are_those_of_the_model(client: openai.OpenAI, tmp_path: Path) -> None:
    answer = ask(client)
    first, second, third = (d.embedding for d in answer.data)
    assert first == third != second
    assert math.hypot(*first) == pytest.approx(1, abs=1e-3)
    assert first == pytest.approx(reference(make_bert(tmp_path), TEXTS[0]), abs=1e-3)
    assert answer.model == "local-embed"
    assert answer.usage.prompt_tokens > 3 * 4
    plain = ask(client, encoding_format="float", model="tiny-bert")
    assert [d.embedding for d in plain.data] == [first, second, third]


def test_token_arrays_are_the_models_own(client: openai.OpenAI, stack: RayStack) -> None:
    with stack.client(KEYS["acme"], timeout=60) as raw:
        tokens = raw.post(
            f"{stack.url}/tokenize",
            cast_to=object,
            body={"model": "local-embed", "prompt": TEXTS[0]},
        )
    ids: Any = tokens["tokens"]  # type: ignore[index]  # JSON
    answer = ask(client, input=[ids], extra_body={"add_special_tokens": False})
    expected = ask(client, input=TEXTS[0]).data[0].embedding
    assert answer.data[0].embedding == pytest.approx(expected, abs=1e-5)
    assert answer.usage.prompt_tokens == len(ids)


def test_a_long_input_may_be_cut_if_that_is_asked_for(client: openai.OpenAI) -> None:
    long = "order " * (CONTEXT + 1)
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, input=long)
    assert (caught.value.code, caught.value.param) == ("context_length_exceeded", "input")
    cut = ask(client, input=long, extra_body={"truncate_prompt_tokens": 8})
    assert cut.usage.prompt_tokens == 8


@pytest.mark.parametrize(
    ("asked", "said"),
    [({"dimensions": 16}, "Matryoshka"), ({"input": [[10**6]]}, "out of vocabulary")],
)
def test_what_the_model_cannot(client: openai.OpenAI, asked: dict[str, Any], said: str) -> None:
    with pytest.raises(openai.BadRequestError, match=said):
        ask(client, **asked)


def test_nobody_can_jump_the_queue(client: openai.OpenAI) -> None:
    raw = client.embeddings.with_raw_response.create(
        model="local-embed", input="x", extra_body={"priority": -9, "cache_salt": "other"}
    )
    assert raw.headers["x-stepwell-dropped-params"] == "cache_salt,priority"


def test_the_ledger_has_every_call(client: openai.OpenAI, stack: RayStack) -> None:
    raw = client.embeddings.with_raw_response.create(model="local-embed", input=TEXTS)
    request_id = raw.headers["x-request-id"].split(",")[0]
    (row,) = stack.attempts(request_id, wait=0.5)
    used = raw.parse().usage.prompt_tokens
    assert (row["kind"], row["tier"], row["outcome"]) == ("embedding", "local-embed", "accepted")
    assert (row["prompt_tokens"], row["cost"]) == (used, used * 20_000)
    assert (row["tenant"], row["simulated"]) == ("acme", 0)


def test_hundreds_of_texts_at_once(client: openai.OpenAI) -> None:
    answer = ask(client, input=[f"order {i}" for i in range(300)])
    assert [d.index for d in answer.data] == list(range(300))
    assert len({tuple(d.embedding) for d in answer.data}) == 300
