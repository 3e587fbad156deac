"""Any model of sentence-transformers: the path for what the fast one does not know."""

import threading
from collections.abc import Sequence
from typing import Any

from cache.embedder.base import Encoded
from serving.errors import ConfigError

BATCH = 32
LONGEST = 8_192
"""Tokens that are read of a text where the model names no maximum."""

CHARS_PER_TOKEN = 32
"""Beyond as many characters for each of them a text is not looked at."""


class SentenceModel:
    """Runs where torch finds it best: on the GPU where there is one."""

    def __init__(self, source: str, *, name: str | None = None) -> None:
        """`source`: a folder, or a name on the hub, from where it is then downloaded; code that
        comes with a model is not run. `name`: what the model is called. Blocks. `ConfigError` where
        the package is missing or there is no such model.
        """
        try:
            from sentence_transformers import SentenceTransformer  # noqa: PLC0415
        except ImportError as error:
            raise ConfigError(
                f"embedder {source!r} needs sentence-transformers and torch:"
                " pip install sentence-transformers"
            ) from error
        try:
            self._model: Any = SentenceTransformer(source)
        except (OSError, ValueError) as error:
            raise ConfigError(f"embedder {source!r} cannot be loaded: {error}") from error
        self._one = threading.Lock()  # its tokenizer changes its own settings as it works
        self.name = name or source
        self.dimensions = _dimensions(self._model)
        self._most = int(self._model.max_seq_length or LONGEST)

    def encode(self, texts: Sequence[str]) -> Encoded:
        import numpy as np  # noqa: PLC0415

        most, chars = self._most, self._most * CHARS_PER_TOKEN
        asked = [text[:chars].encode("utf-8", "replace").decode() for text in texts]
        with self._one:
            vectors = self._model.encode(
                asked, batch_size=BATCH, normalize_embeddings=True, show_progress_bar=False
            )
            read = self._model.tokenizer(asked, truncation=False, verbose=False)["input_ids"]
        lengths = [len(ids) for ids in read]
        return Encoded(
            np.asarray(vectors, np.float32),
            tuple(min(length, most) for length in lengths),
            frozenset(n for n in range(len(texts)) if lengths[n] > most or len(texts[n]) > chars),
        )


def _dimensions(model: Any) -> int:
    """It has another name since sentence-transformers 6."""
    if hasattr(model, "get_embedding_dimension"):
        return int(model.get_embedding_dimension())
    return int(model.get_sentence_embedding_dimension())
