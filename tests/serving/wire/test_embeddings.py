"""OpenAI's embeddings: what a body may hold, and what leaves."""

import json
import struct
from base64 import b64decode
from typing import Any

import pytest
from pydantic import ValidationError

from serving.wire.completion import Usage
from serving.wire.embeddings import (
    MAX_INPUTS,
    MAX_TOKEN_ID,
    EmbeddingBody,
    Embeddings,
    numbers,
    read_inputs,
    render_embeddings,
    vector,
)


def body(**fields: Any) -> EmbeddingBody:
    return EmbeddingBody.model_validate({"model": "m", "input": "x", **fields})


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("a text", ("a text",)),
        (["a", "b"], ("a", "b")),
        ([1, 2], ([1, 2],)),
        ([[1, 2], [3]], ([1, 2], [3])),
        ([0, MAX_TOKEN_ID], ([0, MAX_TOKEN_ID],)),
        (["x"] * MAX_INPUTS, ("x",) * MAX_INPUTS),
        ([7] * (MAX_INPUTS + 1), ([7] * (MAX_INPUTS + 1),)),
    ],
)
def test_four_forms_of_input_are_one(given: object, expected: tuple[Any, ...]) -> None:
    assert read_inputs(given) == expected


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        (None, "a text, a list"),
        ({}, "a text, a list"),
        (3, "a text, a list"),
        ([], "a text, a list"),
        ("", "input 0 is empty"),
        (["a", ""], "input 1 is empty"),
        ([[1], []], "input 1 is empty"),
        (["a", 1], "all of its items"),
        (["a", [1]], "all of its items"),
        ([1, True], "all of its items"),
        ([1.5], "all of its items"),
        ([[1], ["a"]], "input 1 is neither"),
        ([[1, [2]]], "input 0 is neither"),
        ([[True]], "input 0 is neither"),
        ([-1], "a token id is"),
        ([[MAX_TOKEN_ID + 1]], "a token id is"),
        (["x"] * (MAX_INPUTS + 1), f"at most {MAX_INPUTS}"),
        ([[1]] * (MAX_INPUTS + 1), f"at most {MAX_INPUTS}"),
    ],
)
def test_what_is_no_input_is_said(given: object, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        read_inputs(given)
    with pytest.raises(ValidationError, match=fault):
        body(input=given)


def test_a_body_becomes_a_request() -> None:
    asked = body(
        input=["a"],
        dimensions=8,
        encoding_format="base64",
        user="u",
        input_type="query",
        truncate=None,
        stepwell={"feature": "search"},
    )
    request = asked.request()
    assert (request.inputs, request.dimensions, request.tokenised) == (("a",), 8, False)
    assert request.params == {"user": "u", "input_type": "query"}
    assert asked.encoding == "base64"
    assert body().encoding == "float"
    assert body(input=[1]).request().tokenised


@pytest.mark.parametrize(
    "fields",
    [
        {"dimensions": 0},
        {"dimensions": "many"},
        {"encoding_format": "bytes"},
        {"stepwell": {"cache": False}},
        {"stepwell": {"max_tier": "small"}},
        {"stepwell": {"validators": []}},
        {"stepwell": {"unknown": 1}},
    ],
)
def test_what_has_no_meaning_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        body(**fields)


def test_a_vector_is_little_endian_float32() -> None:
    packed = vector([1.0, -0.1, 3e38])
    assert packed == struct.pack("<3f", 1.0, -0.1, 3e38)
    assert numbers(packed).tolist() == list(struct.unpack("<3f", packed))


def rendered(embeddings: Embeddings, **more: Any) -> tuple[list[bytes], dict[str, Any]]:
    options = {"model": "mini", "encoding": "float", "stepwell": {"tier": "mini"}, **more}
    pieces = list(render_embeddings(embeddings, **options))
    return pieces, json.loads(b"".join(pieces))


def test_the_answer_has_openais_shape() -> None:
    made = Embeddings("m", (vector([0.5, -0.25]), vector([0.1, 2.0])), Usage(prompt_tokens=7))
    _, wire = rendered(made)
    assert wire["object"] == "list"
    assert wire["model"] == "mini"
    assert [d["object"] for d in wire["data"]] == ["embedding"] * 2
    assert [d["index"] for d in wire["data"]] == [0, 1]
    assert wire["data"][0]["embedding"] == [0.5, -0.25]
    assert vector(wire["data"][1]["embedding"]) == made.vectors[1], "no digit is lost"
    assert wire["usage"] == {"prompt_tokens": 7, "total_tokens": 7, "stepwell": {"tier": "mini"}}
    _, coded = rendered(made, encoding="base64", more={"stepwell": {"request_id": "r"}})
    assert [b64decode(d["embedding"]) for d in coded["data"]] == list(made.vectors)
    assert coded["stepwell"] == {"request_id": "r"}


def test_an_estimated_usage_is_marked() -> None:
    _, wire = rendered(Embeddings("m", (vector([1.0]),), Usage(3, estimated=True)))
    assert wire["usage"]["stepwell"] == {"tier": "mini", "usage_estimated": True}


def test_a_large_answer_is_made_piece_by_piece() -> None:
    many = Embeddings("m", (vector([0.1] * 1_000),) * 200, Usage(200))
    pieces, wire = rendered(many)
    assert len(wire["data"]) == 200
    assert len(pieces) > 10
    assert max(map(len, pieces)) < 100_000
