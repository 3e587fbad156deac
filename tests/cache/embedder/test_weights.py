"""Tensors come from the file as they are."""

from pathlib import Path

import pytest

from cache.embedder.weights import Weights
from serving.errors import ConfigError

np = pytest.importorskip("numpy", reason="the extra `cache` is not installed")
safetensors = pytest.importorskip("safetensors.numpy", reason="the extra `cache` is not installed")


def saved(folder: Path, dtype: str) -> Weights:
    values = np.arange(12, dtype=dtype).reshape(3, 4)
    safetensors.save_file({"bert.words": values, "other": values[:1].copy()}, folder / "w")
    return Weights(folder / "w")


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_tensor_is_found_by_its_name_in_a_bert(tmp_path: Path, dtype: str) -> None:
    weights = saved(tmp_path, dtype)
    for read in (weights["words"], weights.mapped("words")):
        assert read.dtype == np.float32
        assert read.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
    assert weights.mapped("other").tolist() == [[0, 1, 2, 3]]


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="lacks the tensor pooler"):
        saved(tmp_path, "float32")["pooler"]


@pytest.mark.parametrize("content", [b"", b"\xff" * 64, b"\x02\0\0\0\0\0\0\0{}"[:5]])
def test_what_is_no_such_file_is_said(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "w").write_bytes(content)
    with pytest.raises(ConfigError, match="cannot be read"):
        Weights(tmp_path / "w")
    with pytest.raises(ConfigError, match="cannot be read"):
        Weights(tmp_path / "none")
