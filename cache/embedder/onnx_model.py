"""The fast path: a BERT encoder in ONNX Runtime, without torch."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from cache.embedder.base import Encoded
from cache.embedder.checkpoint import TOKENIZER, WEIGHTS, Checkpoint
from cache.embedder.graph import WORDS
from cache.embedder.runtime import CUDA, Precision, cuda, encoder, integers_pay
from cache.embedder.weights import Weights
from serving.errors import ConfigError

if TYPE_CHECKING:
    from tokenizers import Encoding

PADDED_TOKENS = 4_096
"""Of one run, at most, with padding: bounds the memory that attention takes."""

CHARS_PER_TOKEN = 32
"""No tokenizer writes text that has any sense in longer tokens on average, so what lies beyond as
many characters for each token that the model reads need not reach the tokenizer.
"""

FAITHFUL = 0.999
"""The least cosine to float32 at which eight bits may stand in for it."""

_SAMPLES = (
    "x",
    "How do I reset my password?",
    "Is it safe to take two of these tablets a day with 1.5 litres of water?",
    "SELECT name, COUNT(*) FROM orders WHERE total > 9.99 GROUP BY name; -- weekly",
    "Wie lange dauert die Überweisung? 送金はいつ届きますか",
    "the " * 60,
    "Refund order 4821, but keep the subscription; no other change is wanted before May. " * 6,
)


class OnnxModel:
    """Runs on the GPU where ONNX Runtime's build has CUDA and finds one, else on `threads` cores.
    Texts of like lengths run together, so that little is padded; a text beyond the model's maximum
    is cut there.
    """

    def __init__(
        self,
        name: str,
        checkpoint: Checkpoint,
        *,
        threads: int = 1,
        precision: Precision | None = None,
        known: bool = False,
    ) -> None:
        """Blocks for a second or so. `precision` None: eight bits (`products.two_level`) on a CPU
        that is made for them, if this model's vectors stay what they are in float32; else float32.
        `known`: they are known to stay so, and are not compared again. `ConfigError` where a
        package or a tensor is missing.
        """
        self.name = name
        self.dimensions = checkpoint.hidden
        self.max_tokens = checkpoint.max_tokens
        try:
            self._tokenizer = _tokenizer(checkpoint)
            weights = Weights(checkpoint.folder / WEIGHTS)
            self._words = weights.mapped(WORDS)
            self.precision: Precision = precision or _promising()
            self._session = encoder(checkpoint, weights, self.precision, threads)
            if precision is None and self.precision == "int8" and not known:
                self._check(checkpoint, weights, threads)
        except ImportError as error:
            raise _missing(error) from error

    @property
    def device(self) -> str:
        """`cuda` or `cpu`."""
        return "cuda" if CUDA in self._session.get_providers() else "cpu"

    def encode(self, texts: Sequence[str]) -> Encoded:
        import numpy as np  # noqa: PLC0415

        most = self.max_tokens * CHARS_PER_TOKEN
        cleaned = [text[:most].encode("utf-8", "replace").decode() for text in texts]
        read = self._tokenizer.encode_batch(cleaned)
        vectors = np.empty((len(texts), self.dimensions), np.float32)
        for rows in _batches(read):
            ids, mask = _padded([read[row] for row in rows])
            fed = {"embedded": self._words[ids], "attention_mask": mask}
            vectors[rows] = self._session.run(["vectors"], fed)[0]
        cut = (n for n, one in enumerate(read) if one.overflowing or len(texts[n]) > most)
        return Encoded(vectors, tuple(len(one.ids) for one in read), frozenset(cut))

    def _check(self, checkpoint: Checkpoint, weights: Weights, threads: int) -> None:
        """Goes back to float32 where eight bits are not faithful to this model."""
        made = self.encode(_SAMPLES).vectors
        quick, self._session = self._session, encoder(checkpoint, weights, "float32", threads)
        if (self.encode(_SAMPLES).vectors * made).sum(axis=1).min() >= FAITHFUL:
            self._session = quick
        else:
            self.precision = "float32"


def _promising() -> Precision:
    return "int8" if not cuda() and integers_pay() else "float32"


def _batches(read: "Sequence[Encoding]") -> Iterator[list[int]]:
    """Rows, shortest first, so many at once as fit into `PADDED_TOKENS`."""
    rows: list[int] = []
    for row in sorted(range(len(read)), key=lambda r: len(read[r].ids)):
        if rows and (len(rows) + 1) * len(read[row].ids) > PADDED_TOKENS:
            yield rows
            rows = []
        rows.append(row)
    if rows:
        yield rows


def _padded(read: "Sequence[Encoding]") -> tuple[Any, Any]:
    """Token ids and which of them count. What pads does not matter: 0 is in every vocabulary."""
    import numpy as np  # noqa: PLC0415

    shape = (len(read), max(len(one.ids) for one in read))
    ids, mask = np.zeros(shape, np.int32), np.zeros(shape, np.int32)
    for row, one in enumerate(read):
        ids[row, : len(one.ids)] = one.ids
        mask[row, : len(one.ids)] = 1
    return ids, mask


def _tokenizer(checkpoint: Checkpoint) -> Any:
    from tokenizers import Tokenizer  # noqa: PLC0415

    file = checkpoint.folder / TOKENIZER
    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:  # it raises no other
        raise ConfigError(f"embedder: {file} cannot be read: {error}") from error
    tokenizer.no_padding()
    tokenizer.enable_truncation(checkpoint.max_tokens)
    return tokenizer


def _missing(error: ImportError) -> ConfigError:
    return ConfigError(
        f"the semantic cache needs the extra: pip install 'stepwell[cache]' ({error})"
    )
