"""A server's answer to an embeddings request, read strictly."""

import json
from base64 import b64encode
from typing import Any

import pytest

from serving.engines.embedding_reply import read_embeddings
from serving.errors import TierProtocolError
from serving.settings.tiers import MockEngine
from serving.wire.completion import Usage
from serving.wire.embeddings import vector
from tests.serving.engines.helpers import tier

TIER = tier(MockEngine(engine="mock"), "mini")
ONE, TWO = vector([1.0, -0.5]), vector([0.25, 2.0])


def read(data: Any, expected: int = 2) -> Any:
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return read_embeddings(TIER, raw, expected)


def item(index: int, embedding: Any) -> dict[str, Any]:
    return {"object": "embedding", "index": index, "embedding": embedding}


def coded(values: bytes) -> str:
    return b64encode(values).decode()


def test_base64_and_numbers_in_any_order() -> None:
    usage = {"prompt_tokens": 7, "total_tokens": 7}
    given = {"model": "bge", "data": [item(1, [0.25, 2]), item(0, coded(ONE))], "usage": usage}
    made = read(given)
    assert made.vectors == (ONE, TWO)
    assert (made.model, made.usage, made.dimensions) == ("bge", Usage(prompt_tokens=7), 2)


def test_what_is_missing_is_not_invented() -> None:
    made = read({"data": [item(0, coded(ONE))]}, 1)
    assert (made.model, made.usage) == ("mini-model", Usage())


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not JSON",
        b"\xff",
        [],
        {},
        {"data": None},
        {"data": [{"embedding": [1.0]}]},
        {"data": [item(0, coded(ONE))]},
        {"data": [item(0, coded(ONE)), item(0, coded(TWO))]},
        {"data": [item(0, coded(ONE)), item(2, coded(TWO))]},
        {"data": [item(0, coded(ONE)), item(1, [1.0])]},
        {"data": [item(0, coded(ONE)), item(1, "no base64")]},
        {"data": [item(0, coded(ONE)), item(1, ["a", "b"])]},
        {"data": [item(0, coded(ONE)), item(1, None)]},
        {"data": [item(0, coded(ONE)), item(1, {"x": 1})]},
        {"data": [item(0, coded(ONE)), item(1, [1e300, 1e300])]},
        {"data": [item(0, []), item(1, [])]},
    ],
)
def test_anything_else_is_no_answer(data: Any) -> None:
    with pytest.raises(TierProtocolError):
        read(data)
