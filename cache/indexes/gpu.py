"""Large scopes on a GPU, by faiss built for one: exact, IVF, or CAGRA (which needs cuVS).

The vectors stay in this process's memory too, in 16 bits: what the GPU finds is compared again with
them, and an index is made anew from them. GPU indexes are not safe for several threads, and nor are
the resources that they share: each index has resources of its own, and its scope's lock.
"""

import math
from typing import TYPE_CHECKING, Any

from cache.index import Vector, Vectors
from cache.indexes.graph import Found, Graph
from cache.indexes.hnsw import load_faiss
from serving.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Halves = NDArray[np.float16]
else:
    Halves = Any

KINDS = ("gpu-flat", "gpu-ivf", "gpu-cagra")
TEMPORARY_BYTES = 64 * 1024 * 1024
"""Of GPU memory for an index's work; faiss would take 1.5 GB for each."""

MOST = 2_048
"""Rows that faiss returns from a GPU at most."""

FEW = 1_024
"""Below so many rows every kind is exact."""

ROWS_PER_LIST = 39
"""Fewer rows for each centre are too few to train on."""

PROBED_SHARE = 8
"""Of the lists one in so many is searched, and at least `PROBED_LEAST`."""

PROBED_LEAST = 16
GRAPH_DEGREE = 64
WIDE_DEGREE = 128
BEAM = 128


class Gpu:
    """Makes indexes of one of `KINDS`. A CAGRA graph cannot grow; IVF grows once it is trained."""

    starts_empty = False
    batch = 256

    def __init__(self, kind: str, dimensions: int, *, device: int = 0, faiss: Any = None) -> None:
        """`ConfigError` where faiss is missing, was not built for this, or sees no such GPU."""
        if kind not in KINDS:
            raise ConfigError(f"cache.semantic.index: there is no '{kind}'")
        self.kind = kind
        self.grows = kind != "gpu-cagra"
        self._faiss = load_faiss() if faiss is None else faiss
        self._dimensions = dimensions
        self._device = device
        _check(self._faiss, kind, device)

    def make(self, vectors: Vectors) -> Graph:
        resources = self._faiss.StandardGpuResources()
        resources.setTempMemory(TEMPORARY_BYTES)
        if self.kind == "gpu-flat" or len(vectors) < FEW:
            index, parameters = self._flat(resources), None
        elif self.kind == "gpu-ivf":
            index, parameters = self._ivf(resources, vectors), None
        else:
            index, parameters = self._cagra(resources, vectors)
        return GpuGraph(index, resources, parameters, vectors)

    def _flat(self, resources: Any) -> Any:
        config = self._faiss.GpuIndexFlatConfig()
        config.device = self._device
        config.useFloat16 = True
        return self._faiss.GpuIndexFlatIP(resources, self._dimensions, config)

    def _ivf(self, resources: Any, vectors: Vectors) -> Any:
        lists = min(int(4 * math.sqrt(len(vectors))), len(vectors) // ROWS_PER_LIST)
        config = self._faiss.GpuIndexIVFFlatConfig()
        config.device = self._device
        metric = self._faiss.METRIC_INNER_PRODUCT
        index = self._faiss.GpuIndexIVFFlat(resources, self._dimensions, lists, metric, config)
        index.train(vectors)
        index.nprobe = min(lists, max(PROBED_LEAST, lists // PROBED_SHARE))
        return index

    def _cagra(self, resources: Any, vectors: Vectors) -> tuple[Any, Any]:
        config = self._faiss.GpuIndexCagraConfig()
        config.device = self._device
        config.graph_degree = GRAPH_DEGREE
        config.intermediate_graph_degree = WIDE_DEGREE
        metric = self._faiss.METRIC_INNER_PRODUCT
        index = self._faiss.GpuIndexCagra(resources, self._dimensions, metric, config)
        index.train(vectors)  # which also adds them
        return index, self._faiss.SearchParametersCagra


class GpuGraph:
    """One index on the GPU with its rows in this process's memory."""

    def __init__(self, index: Any, resources: Any, parameters: Any, vectors: Vectors) -> None:
        """`parameters` makes what a search is given; an index that takes some holds its rows
        already.
        """
        import numpy as np  # noqa: PLC0415 - in an extra

        self._index = index
        self._resources = resources  # the index refers to them
        self._parameters = parameters
        self._rows: Halves = np.empty((0, vectors.shape[1]), np.float16)
        self._count = 0
        self._keep(vectors)
        if parameters is None:
            self._put(vectors)

    def add(self, vectors: Vectors) -> None:
        if self._parameters is not None:
            raise RuntimeError("a CAGRA graph cannot grow")
        self._put(vectors)
        self._keep(vectors)

    def search(self, vector: Vector, most: int) -> Found:
        import numpy as np  # noqa: PLC0415 - in an extra

        ask = min(most, self._count, MOST)
        more = {} if self._parameters is None else {"params": self._beam(ask)}
        _, found = self._index.search(np.ascontiguousarray(vector[None, :]), ask, **more)
        rows = found[0][found[0] >= 0]
        cosines = self._rows[rows].astype(np.float32) @ vector
        order = (-cosines).argsort(kind="stable")
        return cosines[order], rows[order]

    def rows(self, start: int, stop: int) -> Vectors:
        rows: Vectors = self._rows[start:stop].astype("float32")
        return rows

    @property
    def bytes(self) -> int:
        return int(self._rows.nbytes)

    def _beam(self, ask: int) -> Any:
        made = self._parameters()
        made.itopk_size = max(BEAM, -(-ask // 32) * 32)
        return made

    def _put(self, vectors: Vectors) -> None:
        import numpy as np  # noqa: PLC0415 - in an extra

        if len(vectors):
            self._index.add(np.ascontiguousarray(vectors))

    def _keep(self, vectors: Vectors) -> None:
        import numpy as np  # noqa: PLC0415 - in an extra

        end = self._count + len(vectors)
        if end > len(self._rows):
            grown = np.empty((end + end // 8, vectors.shape[1]), np.float16)
            grown[: self._count] = self._rows[: self._count]
            self._rows = grown
        self._rows[self._count : end] = vectors
        self._count = end


def _check(faiss: Any, kind: str, device: int) -> None:
    if not hasattr(faiss, "StandardGpuResources"):
        raise ConfigError(
            f"cache.semantic.index: {kind} needs faiss built for GPUs:"
            " pip install 'stepwell[cache-gpu]' in place of 'stepwell[cache]'"
        )
    gpus = faiss.get_num_gpus()
    if device >= gpus:
        raise ConfigError(
            f"cache.semantic.index: {kind} needs a GPU, and faiss sees {gpus or 'none'};"
            " use 'auto' without one"
        )
    if kind == "gpu-cagra" and not hasattr(faiss, "GpuIndexCagra"):
        raise ConfigError(
            "cache.semantic.index: gpu-cagra needs faiss built with cuVS (faiss-gpu-cuvs)"
        )
