"""faiss's GPU classes as far as ours are wired to them, each exact, in numpy.

Signatures and limits are those of faiss: what is called wrongly here fails as it would there. It
tells nothing of speed or recall on a real GPU.
"""

from typing import Any

import numpy as np

MOST = 2_048


class Faiss:
    """In place of the module."""

    METRIC_INNER_PRODUCT = 0

    def __init__(self, gpus: int = 1) -> None:
        self.gpus = gpus
        self.made: list[Any] = []
        outer = self

        class Made(_Index):
            def __init__(self, *given: Any) -> None:
                super().__init__(*given)
                outer.made.append(self)

        class GpuIndexFlatIP(Made):
            trained = True

            def __init__(self, resources: "StandardGpuResources", d: int, config: "Config") -> None:
                super().__init__(resources, d, config)
                assert config.useFloat16

        class GpuIndexIVFFlat(Made):
            nprobe = 1

            def __init__(
                self,
                resources: "StandardGpuResources",
                d: int,
                nlist: int,
                metric: int,
                config: Any,
            ) -> None:
                super().__init__(resources, d, config)
                assert metric == Faiss.METRIC_INNER_PRODUCT
                assert nlist > 0
                self.nlist = nlist

            def train(self, x: Any) -> None:
                assert len(x) >= 39 * self.nlist
                self.trained = True

        class GpuIndexCagra(Made):
            def __init__(
                self, resources: "StandardGpuResources", d: int, metric: int, config: Any
            ) -> None:
                super().__init__(resources, d, config)
                self.degree = config.intermediate_graph_degree

            def train(self, x: Any) -> None:
                assert not self.trained
                assert len(x) > self.degree
                self.trained = True
                super().add(x)

            def add(self, x: Any) -> None:
                raise RuntimeError("not supported")

            def search(self, x: Any, k: int, *, params: Any = None) -> Any:
                assert params.itopk_size >= k
                return super().search(x, k)

        self.GpuIndexFlatIP = GpuIndexFlatIP
        self.GpuIndexIVFFlat = GpuIndexIVFFlat
        self.GpuIndexCagra = GpuIndexCagra
        self.StandardGpuResources = StandardGpuResources
        self.GpuIndexFlatConfig = Config
        self.GpuIndexIVFFlatConfig = Config
        self.GpuIndexCagraConfig = Config
        self.SearchParametersCagra = Config

    def get_num_gpus(self) -> int:
        return self.gpus


class StandardGpuResources:
    temporary: int | None = None

    def setTempMemory(self, size: int) -> None:
        self.temporary = size


class Config:
    """Takes any field, as SWIG's structs do."""

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)


class _Index:
    trained = False

    def __init__(self, resources: StandardGpuResources, d: int, config: Config) -> None:
        assert resources.temporary is not None
        assert config.device == 0
        self.rows = np.empty((0, d), np.float32)

    def add(self, x: Any) -> None:
        assert self.trained
        assert x.dtype == np.float32
        assert x.flags.c_contiguous
        self.rows = np.concatenate([self.rows, x])

    def search(self, x: Any, k: int) -> Any:
        assert self.trained
        assert x.shape == (1, self.rows.shape[1])
        assert 0 < k <= MOST
        products = self.rows @ x[0]
        order = np.argsort(-products)[:k]
        labels = np.full(k, -1, np.int64)
        labels[: len(order)] = order
        return products[order][None, :], labels[None, :]
