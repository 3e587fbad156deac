"""The cache's embedder answers `/v1/embeddings`, and one of a server serves the cache."""

import time
from collections.abc import Sequence

import pytest

from cache.embedder.base import Encoded, Vectors
from cache.embedder.served import Remote, Served
from serving.backend import Call
from serving.errors import InvalidRequest, TierProtocolError
from serving.wire.completion import Usage
from serving.wire.embeddings import EmbeddingRequest, Embeddings, numbers, vector

np = pytest.importorskip("numpy", reason="the extra `cache` is not installed")


class Own:
    name = "own"

    async def encode(self, texts: Sequence[str]) -> Encoded:
        rows = [[0.6, 0.8] for _ in texts]
        cut = frozenset(n for n, text in enumerate(texts) if len(text) > 99)
        return Encoded(np.array(rows, np.float32), tuple(len(text) for text in texts), cut)

    async def embed(self, texts: Sequence[str]) -> Vectors:
        return (await self.encode(texts)).vectors


class Server:
    """Gives these vectors, and keeps what it was asked."""

    def __init__(self, *vectors: list[float]) -> None:
        self.vectors = tuple(map(vector, vectors))
        self.asked: list[tuple[EmbeddingRequest, Call]] = []
        self.most = 99

    async def embed(self, request: EmbeddingRequest, call: Call) -> Embeddings:
        self.asked.append((request, call))
        vectors, self.vectors = self.vectors[: self.most], self.vectors[self.most :]
        return Embeddings("theirs", vectors, Usage(prompt_tokens=5))


def call() -> Call:
    return Call(request_id="r", tenant="t", deadline=time.monotonic() + 10)


async def test_it_serves_vectors_and_counts_tokens() -> None:
    made = await Served(Own()).embed(EmbeddingRequest(("ab", "cde")), call())
    assert [numbers(v).tolist() for v in made.vectors] == [pytest.approx([0.6, 0.8])] * 2
    assert made.usage.prompt_tokens == 5
    assert (made.model, made.dimensions) == ("own", 2)


async def test_its_own_dimensions_may_be_asked_for() -> None:
    made = await Served(Own()).embed(EmbeddingRequest(("ab",), dimensions=2), call())
    assert made.dimensions == 2


@pytest.mark.parametrize(
    ("request_", "param"),
    [
        (EmbeddingRequest(((1, 2),)), "input"),
        (EmbeddingRequest(("a",), dimensions=8), "dimensions"),
        (EmbeddingRequest(("a", "b" * 100)), "input"),
    ],
)
async def test_what_it_cannot_honour_is_refused(request_: EmbeddingRequest, param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await Served(Own()).embed(request_, call())
    assert refused.value.param == param


async def test_a_servers_vectors_are_brought_to_length_one() -> None:
    server = Server([3, 4], [0, 2])
    made = await Remote(server, name="remote", timeout_s=5).encode(["a", "b"])
    np.testing.assert_allclose(made.vectors, [[0.6, 0.8], [0, 1]], atol=1e-6)
    assert made.tokens == (3, 2)
    request, asked_by = server.asked[0]
    assert request.inputs == ("a", "b")
    assert 0 < asked_by.remaining <= 5
    assert asked_by.key_id is None


async def test_a_server_is_asked_in_batches_it_takes_and_for_texts_it_reads() -> None:
    server = Server([1, 0], [0, 1], [1, 0])
    server.most = 2
    remote = Remote(server, name="remote", timeout_s=5, max_batch=2, max_chars=4)
    made = await remote.encode(["a", "", "much too long"])
    assert [request.inputs for request, _ in server.asked] == [("a", " "), ("much",)]
    assert made.vectors.tolist() == [[1, 0], [0, 1], [1, 0]]
    assert made.tokens == (3, 2, 5)
    assert made.cut == {2}
    assert len({call.deadline for _, call in server.asked}) == 1


async def test_without_texts_no_server_is_asked() -> None:
    server = Server()
    assert (await Remote(server, name="remote", timeout_s=5).encode([])).vectors.shape == (0, 0)
    assert server.asked == []


@pytest.mark.parametrize(
    "vectors", [[[1.0, 0.0]], [[0.0, 0.0], [1.0, 0.0]], [[float("nan"), 1], [1, 1]], [[1, 0], [1]]]
)
async def test_vectors_that_are_none_are_a_fault_of_the_server(vectors: list[list[float]]) -> None:
    with pytest.raises(TierProtocolError):
        await Remote(Server(*vectors), name="remote", timeout_s=5).embed(["a", "b"])
