"""An embedder in our own process."""

from typing import Literal

from pydantic import Field

from serving.settings.base import Frozen


class LocalEngine(Frozen):
    """A sentence-transformers model that runs here, without a server: of embedders only. `source`
    is its folder, or its name on the Hugging Face hub (default: the embedder's model). It computes
    on `threads` cores, or on a GPU where ONNX Runtime or torch finds one; on Ray, `gpu_share` of
    one is set aside for each replica.
    """

    engine: Literal["local"]
    source: str | None = Field(default=None, min_length=1)
    threads: int = Field(default=1, ge=1, le=64)
    gpu_share: float = Field(default=0.0, ge=0.0, le=1.0)
