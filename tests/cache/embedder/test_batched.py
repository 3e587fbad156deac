"""What is ready together is computed together, and nobody waits for a long list."""

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence

import pytest

from cache.embedder.base import Encoded
from cache.embedder.batched import MAX_CHARS, MAX_WAITING, BatchedEmbedder
from serving.errors import Overloaded

np = pytest.importorskip("numpy", reason="the extra `cache` is not installed")


class Lengths:
    """A model whose vector is the length of the text; it runs while `gate` is open."""

    name = "lengths"
    dimensions = 1

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.running = threading.Event()

    def encode(self, texts: Sequence[str]) -> Encoded:
        self.batches.append(list(texts))
        self.running.set()
        assert self.gate.wait(10)
        if "bad" in texts:
            raise RuntimeError("a bad text")
        vectors = np.array([[len(text)] for text in texts], np.float32)
        cut = frozenset(n for n, text in enumerate(texts) if text.startswith("cut"))
        return Encoded(vectors, tuple(len(text) for text in texts), cut)


@pytest.fixture
def model() -> Lengths:
    return Lengths()


@pytest.fixture
async def embedder(model: Lengths) -> AsyncIterator[BatchedEmbedder]:
    made = BatchedEmbedder(model, max_batch=4)
    yield made
    model.gate.set()
    await made.close()


async def busy(model: Lengths, embedder: BatchedEmbedder) -> "asyncio.Task[Encoded]":
    """The model is at work on a first text, until its gate opens."""
    model.gate.clear()
    first = asyncio.create_task(embedder.encode(["first"]))
    await asyncio.to_thread(model.running.wait, 10)
    return first


async def test_one_request_is_computed_at_once(model: Lengths, embedder: BatchedEmbedder) -> None:
    made = await embedder.encode(["a", "bcd"])
    assert made.vectors.tolist() == [[1], [3]]
    assert made.tokens == (1, 3)
    assert (await embedder.embed(["ab"])).tolist() == [[2]]
    assert model.batches == [["a", "bcd"], ["ab"]]


async def test_what_gathers_while_the_model_works_is_one_run(
    model: Lengths, embedder: BatchedEmbedder
) -> None:
    first = await busy(model, embedder)
    others = [asyncio.create_task(embedder.encode(["x" * n])) for n in (1, 2, 3)]
    await asyncio.sleep(0)
    model.gate.set()
    made = await asyncio.gather(*others)
    assert [one.vectors.tolist() for one in made] == [[[1]], [[2]], [[3]]]
    assert (await first).vectors.tolist() == [[5]]
    assert model.batches == [["first"], ["x", "xx", "xxx"]]


async def test_a_long_list_shares_its_runs(model: Lengths, embedder: BatchedEmbedder) -> None:
    first = await busy(model, embedder)
    long = asyncio.create_task(embedder.encode([f"l{n}" for n in range(10)]))
    short = asyncio.create_task(embedder.encode(["short"]))
    await asyncio.sleep(0)
    model.gate.set()
    await short
    assert (await long).vectors.tolist() == [[2]] * 10
    await first
    assert "short" in model.batches[1]
    assert len(model.batches[1]) == 4


async def test_a_run_is_bounded_by_its_characters(
    model: Lengths, embedder: BatchedEmbedder
) -> None:
    first = await busy(model, embedder)
    long = asyncio.create_task(embedder.encode(["x" * MAX_CHARS, "x" * (MAX_CHARS + 1), "y"]))
    short = asyncio.create_task(embedder.encode(["short"]))
    await asyncio.sleep(0)
    model.gate.set()
    assert (await short).vectors.tolist() == [[5]]
    assert (await long).vectors.tolist() == [[MAX_CHARS], [MAX_CHARS + 1], [1]]
    await first
    runs = [[len(text) for text in batch] for batch in model.batches[1:]]
    assert runs == [[MAX_CHARS], [5], [MAX_CHARS + 1], [1]]


async def test_what_was_cut_is_told_of_the_right_texts(embedder: BatchedEmbedder) -> None:
    texts = ["a", "cut", "b", "c", "d", "cut too", "e", "f", "cut last"]
    assert (await embedder.encode(texts)).cut == {1, 5, 8}


async def test_what_is_cancelled_before_its_turn_is_not_computed(
    model: Lengths, embedder: BatchedEmbedder
) -> None:
    first = await busy(model, embedder)
    gone = asyncio.create_task(embedder.encode(["gone"]))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    model.gate.set()
    await first
    assert (await embedder.encode(["next"])).vectors.tolist() == [[4]]
    assert ["gone"] not in model.batches


async def test_a_failure_reaches_who_asked_and_no_later_one(embedder: BatchedEmbedder) -> None:
    with pytest.raises(RuntimeError, match="a bad text"):
        await embedder.encode(["bad"])
    assert (await embedder.encode(["good"])).vectors.tolist() == [[4]]


async def test_too_many_waiting_texts_are_refused(
    model: Lengths, embedder: BatchedEmbedder
) -> None:
    first = await busy(model, embedder)
    waiting = asyncio.create_task(embedder.encode(["w"] * MAX_WAITING))
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await embedder.encode(["one more"])
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    model.gate.set()
    await first
    assert (await embedder.encode(["fits"])).tokens == (4,)


async def test_nothing_has_no_vectors(model: Lengths, embedder: BatchedEmbedder) -> None:
    made = await embedder.encode([])
    assert made.vectors.shape == (0, 1)
    assert model.batches == []


async def test_closing_cancels_who_waits(model: Lengths) -> None:
    embedder = BatchedEmbedder(model)
    first = await busy(model, embedder)
    waiting = asyncio.create_task(embedder.encode(["never"]))
    await asyncio.sleep(0)
    closing = asyncio.create_task(embedder.close())
    await asyncio.sleep(0)
    model.gate.set()
    await closing
    ended = await asyncio.gather(first, waiting, return_exceptions=True)
    assert all(isinstance(one, asyncio.CancelledError) for one in ended)
