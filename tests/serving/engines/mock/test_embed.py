"""The mock as an embedder: the same vector for the same text, near ones for similar texts."""

import math
import time
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.engines.mock.embed import MockEmbedder, embedded
from serving.errors import TierRejected, TierTimeout, TierUnavailable
from serving.wire.embeddings import numbers
from tests.serving.engines.embedders import asking, similarity, wanted
from tests.serving.engines.helpers import engine, tier

ALIKE = [
    ("How do I reset my password?", "How can I reset my password"),
    ("Where is my order?", "where is my  ORDER"),
    ("The card was charged twice.", "My card was charged two times, the card!"),
]


def embedder(context_tokens: int = 32_768, **fields: Any) -> MockEmbedder:
    made = engine(**fields)
    return MockEmbedder(tier(made, "mini", context_tokens=context_tokens, deadline_s=0.2), made)


@given(st.text(min_size=1), st.sampled_from([8, 33, 256]))
def test_a_vector_has_length_one_and_follows_from_its_text(text: str, dimensions: int) -> None:
    made = embedded(text, dimensions)
    assert len(made) == 4 * dimensions
    assert math.hypot(*numbers(made)) == pytest.approx(1, abs=1e-5)
    assert embedded(text, dimensions) == made


def test_case_and_white_space_make_no_difference() -> None:
    assert embedded("Hello  World\n", 64) == embedded("hello world", 64)
    assert embedded("hello world", 64) != embedded("hello worlds", 64)


def test_similar_texts_are_nearer_than_others() -> None:
    near = [similarity(embedded(a, 256), embedded(b, 256)) for a, b in ALIKE]
    far = [
        similarity(embedded(a, 256), embedded(b, 256)) for (a, _), (b, _) in combinations(ALIKE, 2)
    ]
    assert min(near) > 0.5 > max(far)


def test_token_arrays_have_vectors_too() -> None:
    one, longer, other = (embedded(ids, 256) for ids in ([1, 2, 3, 4], [1, 2, 3, 4, 5], [9, 8, 7]))
    assert similarity(one, longer) > 0.7
    assert abs(similarity(one, other)) < 0.5


async def test_a_request_in_order_with_its_usage() -> None:
    made = await embedder().embed(wanted("How do I?", "x", "How do I?"), asking())
    assert made.vectors[0] == made.vectors[2] != made.vectors[1]
    assert made.dimensions == 256
    assert made.usage.prompt_tokens == 4 + 1 + 4
    assert made.model == "mini-model"
    ids = await embedder().embed(wanted([1, 2, 3]), asking())
    assert ids.usage.prompt_tokens == 3


async def test_long_inputs_are_the_same_off_the_loop() -> None:
    text = "word " * 2_000
    made = await embedder().embed(wanted(text), asking())
    assert made.vectors == (embedded(text, 256),)


async def test_fewer_dimensions_but_not_more() -> None:
    made = await embedder(dimensions=64).embed(wanted("x", dimensions=16), asking())
    assert made.dimensions == 16
    with pytest.raises(TierRejected) as caught:
        await embedder(dimensions=64).embed(wanted("x", dimensions=65), asking())
    assert caught.value.param == "dimensions"


async def test_an_input_must_fit() -> None:
    small = embedder(context_tokens=256)
    await small.embed(wanted("word " * 255), asking())
    with pytest.raises(TierRejected) as caught:
        await small.embed(wanted("ok", "word " * 300), asking())
    assert caught.value.code == "context_length_exceeded"


async def test_latency_and_deadline() -> None:
    began = time.monotonic()
    await embedder(time_scale=1, ttft_ms=50, jitter=0).embed(wanted(), asking())
    assert time.monotonic() - began >= 0.05
    with pytest.raises(TierTimeout):
        await embedder(time_scale=1, ttft_ms=5_000, jitter=0).embed(wanted(), asking())
    with pytest.raises(TierTimeout):
        await embedder(faults={"hang": 1.0}).embed(wanted(), asking(0.05))


async def test_faults_are_drawn_per_request() -> None:
    flaky = embedder(faults={"error": 0.5})
    fates = []
    for _ in range(2):
        row = []
        for i in range(40):
            try:
                await flaky.embed(wanted(f"text {i}"), asking())
                row.append(True)
            except TierUnavailable:
                row.append(False)
        fates.append(row)
    assert fates[0] == fates[1], "the same request meets the same fate"
    assert 8 <= sum(fates[0]) <= 32
