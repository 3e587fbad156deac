"""Requests and scripted embedders for tests."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from serving.backend import Call
from serving.wire.completion import Usage
from serving.wire.embeddings import EmbeddingRequest, Embeddings, Inputs, numbers, vector

USAGE = Usage(prompt_tokens=1_000)


def wanted(*inputs: str | Sequence[int], **more: Any) -> EmbeddingRequest:
    given: Inputs = inputs or ("a text",)  # type: ignore[assignment]  # tests give one kind
    return EmbeddingRequest(given, **more)


def asking(seconds: float = 30.0, **fields: Any) -> Call:
    return Call("req-1", "acme", time.monotonic() + seconds, **fields)


def similarity(left: bytes, right: bytes) -> float:
    """The cosine of two vectors of length 1."""
    return sum(a * b for a, b in zip(numbers(left), numbers(right), strict=True))


class Embeds:
    """Raises its errors one after the other, then answers; `hang` waits for ever before that."""

    def __init__(
        self, *errors: Exception, hang: bool = False, usage: Usage = USAGE, dimensions: int = 4
    ) -> None:
        self.errors = list(errors)
        self.hang = hang
        self.usage = usage
        self.dimensions = dimensions
        self.asked: list[EmbeddingRequest] = []
        self.calls: list[Call] = []
        self.called = asyncio.Event()

    async def embed(self, request: EmbeddingRequest, call: Call) -> Embeddings:
        self.asked.append(request)
        self.calls.append(call)
        self.called.set()
        if self.hang:
            await asyncio.Event().wait()
        if self.errors:
            raise self.errors.pop(0)
        one = vector([1.0] + [0.0] * (self.dimensions - 1))
        return Embeddings("served", (one,) * len(request.inputs), self.usage)
