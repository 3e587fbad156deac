"""What only sentence-transformers can run: what is asked of the package, and what is told of it."""

import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import pytest

from cache.embedder.load import load_model
from cache.embedder.sentence import CHARS_PER_TOKEN, SentenceModel
from serving.errors import ConfigError

np = pytest.importorskip("numpy", reason="the extra `cache` is not installed")


class Transformer:
    """Reads four words, each a token."""

    max_seq_length = 4

    def __init__(self, source: str) -> None:
        if source == "nobody/nothing":
            raise OSError("there is no such model")
        self.read: list[str] = []

    def get_sentence_embedding_dimension(self) -> int:
        return 2

    def encode(self, texts: Sequence[str], **options: Any) -> Any:
        assert options["normalize_embeddings"] is True
        self.read += texts
        return np.array([[0.6, 0.8]] * len(texts))

    def tokenizer(self, texts: Sequence[str], **options: Any) -> dict[str, Any]:
        return {"input_ids": [text.split() for text in texts]}


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> None:
    module: Any = ModuleType("sentence_transformers")
    module.SentenceTransformer = Transformer
    monkeypatch.setitem(sys.modules, "sentence_transformers", module)


@pytest.mark.usefixtures("package")
def test_a_name_is_for_the_hub() -> None:
    model = load_model("somebody/some-model")
    assert isinstance(model, SentenceModel)
    assert (model.name, model.dimensions) == ("somebody/some-model", 2)
    made = model.encode(["a b", "a b c d e", "\ud800", "x" * 9_999_999])
    assert made.vectors.dtype == np.float32
    assert made.tokens == (2, 4, 1, 1)
    assert made.cut == {1, 3}
    assert [len(text) for text in model._model.read] == [3, 9, 1, 4 * CHARS_PER_TOKEN]


@pytest.mark.usefixtures("package")
def test_a_model_that_is_nowhere_is_named() -> None:
    with pytest.raises(ConfigError, match="'nobody/nothing' cannot be loaded: there is no such"):
        load_model("nobody/nothing")


def test_without_the_package_the_way_out_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(ConfigError, match="pip install sentence-transformers"):
        load_model("somebody/some-model")
