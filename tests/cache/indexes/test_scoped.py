"""The index by scope, small and large: what is found, at which recall, and what never is."""

import gzip
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from structlog.testing import capture_logs

from cache.index import Match, make_index
from cache.indexes.graph import Graph
from cache.indexes.scoped import ScopedIndex
from serving.errors import ConfigError
from tests.cache.indexes.clusters import Vectors, clustered, near, recall

DIMENSIONS = 64
HERE, THERE = "a" * 64, "b" * 64


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def scoped(kind: str = "auto", dimensions: int = DIMENSIONS, promote_at: int = 400) -> ScopedIndex:
    made = make_index(kind, dimensions, promote_at=promote_at)  # type: ignore[arg-type]  # a test's parameter
    assert isinstance(made, ScopedIndex)
    return made


@pytest.fixture(params=["flat", "auto"])
def index(request: pytest.FixtureRequest) -> Iterator[ScopedIndex]:
    made = scoped(request.param)
    yield made
    made.close()


def fill(index: ScopedIndex, vectors: Vectors, scope: str = HERE, first: int = 0) -> None:
    for row, vector in enumerate(vectors):
        index.add(scope, first + row, vector)


def keys(found: list[Match]) -> list[int]:
    return [match.key for match in found]


@pytest.mark.parametrize("count", [1, 2, 5, 399, 400, 3_000])
def test_the_nearest_come_first(index: ScopedIndex, rng: np.random.Generator, count: int) -> None:
    vectors = clustered(count, DIMENSIONS, rng)
    fill(index, vectors)
    index.settle()
    assert index.size(HERE) == count
    for row in range(0, count, max(1, count // 50)):
        found = index.search(HERE, vectors[row], 5)
        assert found[0].key == row
        assert found[0].cosine == pytest.approx(1.0, abs=1e-3)
        assert len(found) == min(5, count)
        assert [m.cosine for m in found] == sorted((m.cosine for m in found), reverse=True)


def test_a_cosine_is_that_of_the_vectors(index: ScopedIndex, rng: np.random.Generator) -> None:
    vectors = clustered(1_500, DIMENSIONS, rng)
    fill(index, vectors)
    index.settle()
    queries = near(vectors[:100], rng)
    for query in queries:
        for match in index.search(HERE, query, 5):
            assert match.cosine == pytest.approx(float(vectors[match.key] @ query), abs=5e-4)


def test_scopes_never_meet(index: ScopedIndex, rng: np.random.Generator) -> None:
    vectors = clustered(1_200, DIMENSIONS, rng)
    fill(index, vectors[:600], HERE, first=0)
    fill(index, vectors[600:], THERE, first=600)
    index.settle()
    for vector in vectors[::10]:
        assert all(key < 600 for key in keys(index.search(HERE, vector, 20)))
        assert all(key >= 600 for key in keys(index.search(THERE, vector, 20)))
    assert index.search("c" * 64, vectors[0], 5) == []


@pytest.mark.parametrize("count", [100, 2_000, 20_000])
def test_recall_on_clustered_vectors(rng: np.random.Generator, count: int) -> None:
    index = scoped(dimensions=DIMENSIONS)
    vectors = clustered(count, DIMENSIONS, rng)
    queries = near(vectors[rng.integers(count, size=200)], rng)
    fill(index, vectors)
    index.settle()
    found = [keys(index.search(HERE, query, 5)) for query in queries]
    index.close()
    assert index.kinds() == {"flat" if count < 400 else "hnsw": 1}
    assert recall(found, vectors, queries, 5) >= 0.99


def test_recall_with_tombstones(rng: np.random.Generator) -> None:
    """Even where just the nearest topic was removed as a whole."""
    index = scoped()
    vectors = clustered(6_000, DIMENSIONS, rng)
    fill(index, vectors)
    index.settle()
    query = vectors[0]
    nearest = np.argsort(-(vectors @ query))[:200].tolist()
    index.remove(HERE, nearest)
    left = np.setdiff1d(np.arange(6_000), nearest)
    true = left[np.argsort(-(vectors[left] @ query))[:5]].tolist()
    assert keys(index.search(HERE, query, 5)) == true
    assert index.size(HERE) == 5_800
    index.close()


def test_tombstones_are_cleared_by_a_rebuild(rng: np.random.Generator) -> None:
    index = scoped()
    vectors = clustered(6_000, DIMENSIONS, rng)
    fill(index, vectors)
    index.settle()
    before = index.bytes
    index.remove(HERE, range(0, 6_000, 2))
    index.settle()
    assert index.bytes < before * 0.6
    assert index.size(HERE) == 3_000
    queries = near(vectors[1:401:2], rng)
    found = [keys(index.search(HERE, query, 5)) for query in queries]
    index.close()
    assert all(key % 2 for some in found for key in some)
    odd = vectors[1::2]
    assert recall([[key // 2 for key in some] for some in found], odd, queries, 5) >= 0.99


def test_what_is_removed_is_not_found(index: ScopedIndex, rng: np.random.Generator) -> None:
    vectors = clustered(1_000, DIMENSIONS, rng)
    fill(index, vectors)
    index.remove(HERE, [3, 5, 999, 12_345])
    index.settle()
    for row in (3, 5, 999):
        assert row not in keys(index.search(HERE, vectors[row], 10))
    index.remove(HERE, range(1_000))
    assert index.search(HERE, vectors[0], 5) == []
    assert index.size(HERE) == 0
    assert index.kinds() == {}
    assert index.bytes == 0


def test_searches_beside_changes_miss_nothing(rng: np.random.Generator) -> None:
    """While rows are added, removed, moved and rebuilt, a row that stays is found every time."""
    index = scoped(promote_at=256)
    vectors = clustered(8_000, DIMENSIONS, rng)
    stays = rng.choice(2_000, 50, replace=False)
    fill(index, vectors[:2_000])
    done = threading.Event()
    missed: list[int] = []
    searches = 0

    def search() -> None:
        nonlocal searches
        while not done.is_set():
            for row in stays.tolist():
                searches += 1
                found = index.search(HERE, vectors[row], 5)
                if not found or found[0].key != row:
                    missed.append(row)

    reader = threading.Thread(target=search)
    reader.start()
    gone = np.setdiff1d(np.arange(2_000), stays).tolist()
    for row in range(2_000, 8_000):
        index.add(HERE, row, vectors[row])
        if row % 4 == 0:
            index.remove(HERE, [gone.pop()])
    index.remove(HERE, range(2_000, 5_000))
    index.settle()
    done.set()
    reader.join()
    index.close()
    assert missed == []
    assert searches > 0
    assert index.size(HERE) == 5_000 - 1_500


def test_a_small_scope_takes_little_memory(rng: np.random.Generator) -> None:
    index = scoped(dimensions=384)
    for number, vector in enumerate(clustered(500, 384, rng)):
        index.add(f"{number:064x}", number, vector)
    assert index.bytes / 500 < 384 * 4 + 600
    assert index.kinds() == {"flat": 500}
    index.close()


class Broken:
    """Makes nothing."""

    kind = "broken"
    grows = False
    starts_empty = False
    batch = 1
    tries = 0

    def make(self, vectors: Vectors) -> Graph:
        self.tries += 1
        raise MemoryError("no room")


def test_a_graph_that_cannot_be_made_is_said_once_and_done_without(
    rng: np.random.Generator,
) -> None:
    maker = Broken()
    index = ScopedIndex(DIMENSIONS, maker, promote_at=100)
    vectors = clustered(300, DIMENSIONS, rng)
    with capture_logs() as said:
        fill(index, vectors[:200])
        index.settle()
        fill(index, vectors[200:], first=200)
        index.settle()
    assert [line["event"] for line in said] == ["index_not_built"]
    assert maker.tries == 1
    assert all(index.search(HERE, vectors[row], 1)[0].key == row for row in range(300))
    index.close()


def test_no_dimensions_are_refused() -> None:
    with pytest.raises(ConfigError, match="at least one dimension"):
        make_index("auto", 0)


def test_recall_on_real_questions() -> None:
    folder = os.environ.get("STEPWELL_TEST_DATA")
    if folder is None:
        pytest.skip("STEPWELL_TEST_DATA is not set")
    from cache.embedder.load import load_model

    with gzip.open(Path(folder) / "banking77_train.jsonl.gz", "rt") as lines:
        texts = [json.loads(line)["text"] for line in lines][:1_600]
    texts = sorted(dict.fromkeys(texts), key=len)
    model = load_model()
    batches = [model.encode(texts[i : i + 64]).vectors for i in range(0, len(texts), 64)]
    vectors = np.random.default_rng(0).permutation(np.concatenate(batches))
    index = scoped(dimensions=model.dimensions)
    fill(index, vectors[:-200])
    index.settle()
    queries = vectors[-200:]
    found = [keys(index.search(HERE, query, 5)) for query in queries]
    index.close()
    assert index.kinds() == {"hnsw": 1}
    assert recall(found, vectors[:-200], queries, 5) >= 0.99
