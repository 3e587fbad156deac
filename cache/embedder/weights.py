"""The tensors of a checkpoint, each read from its file when it is asked for."""

import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from serving.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Tensor = NDArray[np.float32]
else:
    Tensor = Any

MAX_HEADER_BYTES = 100_000_000
"""As the format says."""

_PREFIX = "bert."


class Weights:
    """Tensors as float32, by their names in a BERT, which some files write with a prefix. Reading
    one that is not there raises `ConfigError`.
    """

    def __init__(self, file: Path) -> None:
        """`ConfigError` where it is no safetensors file; `ImportError` without the package."""
        from safetensors import SafetensorError, safe_open  # noqa: PLC0415

        self._file = file
        try:
            opened: Any = safe_open(file, framework="numpy")
        except (OSError, SafetensorError) as error:
            raise ConfigError(f"embedder: {file} cannot be read: {error}") from error
        self._open = opened
        names: list[str] = list(opened.keys())
        self._names = {name.removeprefix(_PREFIX): name for name in names}

    def __getitem__(self, name: str) -> Tensor:
        import numpy as np  # noqa: PLC0415

        read: Any = self._open.get_tensor(self._named(name))
        return np.asarray(read, np.float32)

    def mapped(self, name: str) -> Tensor:
        """The tensor without reading it: its pages come from the file as they are used, and all
        processes share them. A tensor that is stored in another type is read.
        """
        import numpy as np  # noqa: PLC0415

        full = self._named(name)
        with self._file.open("rb") as opened:
            (size,) = struct.unpack("<Q", opened.read(8))
            assert size <= MAX_HEADER_BYTES  # or it would not have opened
            header = orjson.loads(opened.read(size))
        about = header[full]
        if about["dtype"] != "F32":
            return self[name]
        start = 8 + size + about["data_offsets"][0]
        return np.memmap(self._file, "<f4", "r", start, tuple(about["shape"]))

    def _named(self, name: str) -> str:
        try:
            return self._names[name]
        except KeyError:
            raise ConfigError(f"embedder: {self._file} lacks the tensor {name}") from None
