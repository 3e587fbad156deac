"""How indexes on a GPU are wired, against stand-ins for faiss's classes: no GPU is needed."""

from types import SimpleNamespace

import numpy as np
import pytest

from cache.index import make_index
from cache.indexes.gpu import KINDS, TEMPORARY_BYTES, Gpu
from cache.indexes.scoped import ScopedIndex
from serving.errors import ConfigError
from tests.cache.indexes.clusters import clustered, near, recall
from tests.cache.indexes.fake_gpu import Faiss

DIMENSIONS = 32
SCOPE = "a" * 64


def scoped(kind: str, faiss: Faiss) -> ScopedIndex:
    return ScopedIndex(DIMENSIONS, Gpu(kind, DIMENSIONS, faiss=faiss), promote_at=1_100)


@pytest.mark.parametrize("kind", KINDS)
def test_a_large_scope_goes_to_the_gpu_and_stays_right(kind: str) -> None:
    rng = np.random.default_rng(5)
    vectors = clustered(9_000, DIMENSIONS, rng)
    index = scoped(kind, Faiss())
    for row in range(1_000):
        index.add(SCOPE, row, vectors[row])
    index.settle()
    assert index.kinds() == {"flat": 1}
    for row in range(1_000, 9_000):
        index.add(SCOPE, row, vectors[row])
    index.settle()
    assert index.kinds() == {kind: 1}
    gone = list(range(0, 6_000, 2))
    index.remove(SCOPE, gone)
    index.settle()
    assert index.size(SCOPE) == 6_000
    left = np.setdiff1d(np.arange(9_000), gone)
    queries = near(vectors[rng.choice(left, 100)], rng)
    place = {int(row): number for number, row in enumerate(left)}
    found = [[place[m.key] for m in index.search(SCOPE, query, 5)] for query in queries]
    assert recall(found, vectors[left], queries, 5) >= 0.99
    assert len(index.search(SCOPE, queries[0], 5_000)) == 5_000
    index.close()


def test_an_ivf_index_is_trained_anew_when_it_has_outgrown_its_training() -> None:
    faiss = Faiss()
    vectors = clustered(8_000, DIMENSIONS, np.random.default_rng(5))
    index = scoped("gpu-ivf", faiss)
    for row in range(1_200):
        index.add(SCOPE, row, vectors[row])
    index.settle()
    first = faiss.made[-1]
    for row in range(1_200, 8_000):
        index.add(SCOPE, row, vectors[row])
    index.settle()
    last = faiss.made[-1]
    assert last.nlist > first.nlist
    assert last.nprobe >= 16
    index.close()


def test_each_index_has_resources_of_its_own_with_bounded_memory() -> None:
    graphs = [Gpu("gpu-flat", DIMENSIONS, faiss=Faiss()).make(np.empty((0, DIMENSIONS), "f4"))] * 2
    assert all(g._resources.temporary == TEMPORARY_BYTES for g in graphs)  # type: ignore[attr-defined]  # what is tested


def test_without_a_gpu_the_reason_is_said() -> None:
    with pytest.raises(ConfigError, match="faiss sees none"):
        Gpu("gpu-flat", DIMENSIONS, faiss=Faiss(gpus=0))
    with pytest.raises(ConfigError, match="built for GPUs"):
        Gpu("gpu-ivf", DIMENSIONS, faiss=SimpleNamespace(get_num_gpus=lambda: 0))
    plain = Faiss()
    del plain.GpuIndexCagra
    with pytest.raises(ConfigError, match="cuVS"):
        Gpu("gpu-cagra", DIMENSIONS, faiss=plain)
    with pytest.raises(ConfigError, match="no 'gpu-hnsw'"):
        Gpu("gpu-hnsw", DIMENSIONS, faiss=plain)


def test_the_installed_faiss_says_so_too() -> None:
    import faiss

    if hasattr(faiss, "StandardGpuResources") and faiss.get_num_gpus():
        pytest.skip("there is a GPU")
    with pytest.raises(ConfigError, match="GPU"):
        make_index("gpu-flat", DIMENSIONS)
