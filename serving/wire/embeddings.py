"""OpenAI's embeddings: the body of a request, what an embedder is asked and gives, the answer.

A vector is its bytes, little-endian float32, from the embedder to the answer: so it goes into
base64, to another process and into an index without a number being made of it.
"""

import sys
from array import array
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson
from pydantic import Field, field_validator, model_validator

from serving.wire.chat import NO_OPTIONS, Open, StepwellOptions
from serving.wire.completion import Usage
from serving.wire.render import dumps

MAX_INPUTS = 2_048  # OpenAI's own limit
MAX_DIMENSIONS = 65_536
MAX_TOKEN_ID = 2**31 - 1
BYTES_PER_VALUE = 4
PIECE_BYTES = 65_536

Inputs = tuple[str, ...] | tuple[Sequence[int], ...]
"""Texts, or arrays of the embedder's own token ids."""

Encoding = Literal["float", "base64"]

_OWN_FIELDS = frozenset({"model", "input", "dimensions", "encoding_format", "stepwell"})
_OF_CHATS = ("cache", "max_tier", "validators")


@dataclass(frozen=True, slots=True)
class EmbeddingRequest:
    """A vector is wanted for each of `inputs`, all texts or all token arrays, none empty.
    `dimensions`: of a vector, where not the model's own. `params`: what else the client sent.
    """

    inputs: Inputs
    dimensions: int | None = None
    params: Mapping[str, Any] = field(default_factory=dict)

    @property
    def tokenised(self) -> bool:
        return not isinstance(self.inputs[0], str)


@dataclass(frozen=True, slots=True)
class Embeddings:
    """`vectors` in the order of the inputs, each little-endian float32, all of one length. `model`
    is the name that the embedder's server gave.
    """

    model: str
    vectors: tuple[bytes, ...]
    usage: Usage

    @property
    def dimensions(self) -> int:
        return len(self.vectors[0]) // BYTES_PER_VALUE


class EmbeddingBody(Open):
    """The body of `POST /v1/embeddings`; unknown fields are kept."""

    model: str
    input: Inputs
    dimensions: int | None = Field(default=None, ge=1, le=MAX_DIMENSIONS)
    encoding_format: Encoding | None = None
    stepwell: StepwellOptions | None = None

    @field_validator("input", mode="plain")
    @classmethod
    def _input(cls, value: object) -> Inputs:
        return read_inputs(value)

    @model_validator(mode="after")
    def _meant(self) -> "EmbeddingBody":
        for name in _OF_CHATS:
            if name in self.options.model_fields_set:
                raise ValueError(f"stepwell.{name} has no meaning for embeddings")
        return self

    @property
    def options(self) -> StepwellOptions:
        return self.stepwell or NO_OPTIONS

    @property
    def encoding(self) -> Encoding:
        return self.encoding_format or "float"

    def request(self) -> EmbeddingRequest:
        params = {k: v for k, v in (self.model_extra or {}).items() if v is not None}
        return EmbeddingRequest(self.input, self.dimensions, params)


def read_inputs(value: object) -> Inputs:
    """OpenAI's four forms of `input` as one. `ValueError` says what is wrong. In time linear in the
    number of items, and without a copy of them.
    """
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list) or not value:
        raise ValueError("a text, a list of texts, or one or more lists of token ids are allowed")
    kinds = set(map(type, value))
    if kinds == {int}:
        value, kinds = [value], {list}
    if len(value) > MAX_INPUTS:
        raise ValueError(f"at most {MAX_INPUTS} inputs are allowed, got {len(value)}")
    if kinds == {str}:
        if not all(value):
            raise ValueError(f"input {[*map(bool, value)].index(False)} is empty")
        return tuple(value)
    if kinds != {list}:
        raise ValueError("all of its items must be texts, or all of them lists of token ids")
    for index, tokens in enumerate(value):
        _check_tokens(index, tokens)
    return tuple(value)


def _check_tokens(index: int, tokens: list[object]) -> None:
    if not tokens:
        raise ValueError(f"input {index} is empty")
    if set(map(type, tokens)) != {int}:
        raise ValueError(f"input {index} is neither a text nor a list of token ids")
    ids: list[int] = tokens  # type: ignore[assignment]  # as was just seen
    if min(ids) < 0 or max(ids) > MAX_TOKEN_ID:
        raise ValueError(f"input {index}: a token id is an integer from 0 to {MAX_TOKEN_ID}")


def vector(values: Iterable[float]) -> bytes:
    """Numbers as a vector. `TypeError` where one of them is no number."""
    packed = array("f", values)
    if sys.byteorder == "big":
        packed.byteswap()
    return packed.tobytes()


def numbers(of: bytes) -> "array[float]":
    """The numbers of a vector, each exactly a float32."""
    found = array("f")
    found.frombytes(of)
    if sys.byteorder == "big":
        found.byteswap()
    return found


def render_embeddings(
    embeddings: Embeddings,
    *,
    model: str,
    encoding: Encoding,
    stepwell: Mapping[str, Any],
    more: Mapping[str, Any] | None = None,
) -> Iterator[bytes]:
    """The body of the answer in pieces of some 64 KiB, of which only one is made at a time: as
    JSON numbers, vectors take several times their own memory. `model` is what the client shall see;
    `more` are further fields of the body.
    """
    piece = bytearray(b'{"object":"list","data":[')
    for index, values in enumerate(embeddings.vectors):
        comma = b"," if index else b""
        piece += b'%s{"object":"embedding","index":%d,"embedding":' % (comma, index)
        if encoding == "base64":
            piece += b'"%s"}' % b64encode(values)
        else:
            piece += orjson.dumps(numbers(values).tolist()) + b"}"
        if len(piece) >= PIECE_BYTES:
            yield bytes(piece)
            piece.clear()
    tail = {"model": model, "usage": _usage(embeddings.usage, stepwell), **(more or {})}
    yield bytes(piece) + b"]," + dumps(tail)[1:]


def _usage(usage: Usage, stepwell: Mapping[str, Any]) -> dict[str, Any]:
    marks = {"usage_estimated": True} if usage.estimated else {}
    return {
        "prompt_tokens": usage.prompt_tokens,
        "total_tokens": usage.prompt_tokens,
        "stepwell": {**stepwell, **marks},
    }
