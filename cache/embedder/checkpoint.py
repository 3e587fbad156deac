"""A sentence-transformers model in a folder: what of it the fast path must know."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import orjson

from serving.errors import ConfigError

WEIGHTS = "model.safetensors"
TOKENIZER = "tokenizer.json"

_KNOWN_MODULES = ("Transformer", "Pooling", "Normalize")
_LONGEST = 512


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A BERT whose token vectors are pooled into one. `max_tokens`: what it reads of a text."""

    folder: Path
    hidden: int
    layers: int
    heads: int
    epsilon: float
    pooling: Literal["mean", "cls"]
    max_tokens: int


def read_checkpoint(folder: Path) -> Checkpoint | None:
    """None where the model is of a kind that only sentence-transformers can run; `ConfigError`
    where the folder holds no model that could be read.
    """
    config = _json(folder / "config.json")
    pooling = _pooling(folder)
    needed = (folder / WEIGHTS).is_file() and (folder / TOKENIZER).is_file()
    if not needed or pooling is None or not _plain_bert(config):
        return None
    return Checkpoint(
        folder=folder,
        hidden=config["hidden_size"],
        layers=config["num_hidden_layers"],
        heads=config["num_attention_heads"],
        epsilon=config.get("layer_norm_eps", 1e-12),
        pooling=pooling,
        max_tokens=_max_tokens(folder, config),
    )


def _plain_bert(config: dict[str, Any]) -> bool:
    return (
        config.get("model_type") == "bert"
        and config.get("hidden_act") == "gelu"
        and config.get("position_embedding_type", "absolute") == "absolute"
        and not config.get("is_decoder", False)
    )


def _pooling(folder: Path) -> Literal["mean", "cls"] | None:
    """Of a model whose modules are a transformer, one pooling and at most a normalisation."""
    modules = _json(folder / "modules.json")
    kinds = [str(module.get("type", "")).rpartition(".")[2] for module in modules]
    if kinds not in (list(_KNOWN_MODULES), list(_KNOWN_MODULES[:2])):
        return None
    asked = _json(folder / modules[1]["path"] / "config.json")
    chosen = [name for name, on in asked.items() if name.startswith("pooling_mode_") and on is True]
    if chosen == ["pooling_mode_mean_tokens"] or asked.get("pooling_mode") == "mean":
        return "mean"
    if chosen == ["pooling_mode_cls_token"] or asked.get("pooling_mode") == "cls":
        return "cls"
    return None


def _max_tokens(folder: Path, config: dict[str, Any]) -> int:
    most = int(config.get("max_position_embeddings", _LONGEST))
    file = folder / "sentence_bert_config.json"
    own = _json(file).get("max_seq_length") if file.is_file() else None
    return min(most, int(own)) if own else most


def _json(file: Path) -> Any:
    try:
        return orjson.loads(file.read_bytes())
    except OSError as error:
        raise ConfigError(f"embedder: {file} cannot be read: {error.strerror}") from error
    except orjson.JSONDecodeError as error:
        raise ConfigError(f"embedder: {file} is not JSON: {error}") from error
