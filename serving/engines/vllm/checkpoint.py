"""Which model a tier loads: from the checkpoint's own config.json where it lies on this host, else
by its name. Nothing is fetched.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from serving.engines.vllm.known import known_models
from serving.engines.vllm.shapes import PLAIN, Shape, Weights

MAX_CONFIG_BYTES = 1_000_000
DENSE = {"llama", "mistral", "qwen2", "qwen3"}
EXPERTS = {"mixtral", "qwen3_moe"}
NATIVE_ROPE = {"default", "llama3", "mrope", "longrope", "su"}  # no more positions than it says


@dataclass(frozen=True, slots=True)
class Model:
    """`found` says where its dimensions come from."""

    shape: Shape
    weights: Weights
    found: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """Why something can't be computed."""

    reason: str


def find_model(
    source: str,
    *,
    revision: str | None = None,
    quantization: str | None = None,
    like: str | None = None,
) -> Model | Unknown:
    """The model that vLLM would load from `source`: a folder, a Hugging Face repository or a
    bucket's URI. `quantization` as vLLM's setting; `like` names another source of the same
    dimensions, whose weights are stored as `source` says.
    """
    config = _config_file(source, revision)
    if config is not None:
        model = _from_file(config, source)
    elif like is not None:
        model = _alike(source, like)
    else:
        model = _from_name(source)
    if isinstance(model, Unknown) or quantization is None or model.weights.bits is not None:
        return model
    weights = known_models().loaded_as(quantization)
    if weights is None:
        return Unknown(f"how many bits `quantization: {quantization}` stores is not known")
    return Model(model.shape, weights, model.found)


def _config_file(source: str, revision: str | None) -> Path | None:
    """The checkpoint's config.json, in its folder or in the cache of Hugging Face's hub."""
    path = Path(source).expanduser() / "config.json"
    if path.is_file():
        return path
    cache = os.environ.get("HF_HUB_CACHE") or Path(
        os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface", "hub"
    )
    repository = Path(cache) / ("models--" + source.replace("/", "--"))
    revision = revision or "main"
    reference = repository / "refs" / revision
    commit = reference.read_text("utf-8").strip() if reference.is_file() else revision
    path = repository / "snapshots" / commit / "config.json"
    return path if path.is_file() else None


def _from_name(source: str) -> Model | Unknown:
    checkpoint, weights = known_models().split(source)
    shape = known_models().shape(checkpoint)
    if shape is None:
        return Unknown(
            f"the dimensions of {source} are not known by name, and no config.json of it is on"
            " this host"
        )
    return Model(shape, weights, "by its name")


def _alike(source: str, like: str) -> Model | Unknown:
    model = find_model(like)
    if isinstance(model, Unknown):
        return model
    _, weights = known_models().split(source)
    return Model(model.shape, model.weights if weights.bits is None else weights, f"as of {like}")


def _from_file(path: Path, source: str) -> Model | Unknown:
    try:
        if path.stat().st_size > MAX_CONFIG_BYTES:
            return Unknown(f"{path} is larger than {MAX_CONFIG_BYTES} bytes")
        config = orjson.loads(path.read_bytes())
        if not isinstance(config, dict):
            return Unknown(f"{path} is no JSON object")
        kind = config.get("model_type")
        if kind not in DENSE | EXPERTS:
            return Unknown(f"how much memory a model of type {kind!r} needs is not known ({path})")
        weights = _weights(config.get("quantization_config"))
        if weights is None:
            return Unknown(f"how its weights are stored is not understood ({path})")
        return Model(_shape(source, kind, config), weights, f"from {path}")
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        what = "it lacks " + str(error) if isinstance(error, KeyError) else type(error).__name__
        return Unknown(f"{path} can't be read as a model's configuration: {what}")


def _shape(name: str, kind: str, config: Mapping[str, Any]) -> Shape:
    hidden, heads = config["hidden_size"], config["num_attention_heads"]
    experts = config.get("num_local_experts" if kind == "mixtral" else "num_experts") or 0
    if kind in DENSE:
        experts = 0
    elif config.get("mlp_only_layers") or config.get("decoder_sparse_step", 1) != 1:
        raise ValueError("layers that differ")
    inner = "moe_intermediate_size" if kind == "qwen3_moe" else "intermediate_size"
    attention_bias = bool(config.get("attention_bias"))
    return Shape(
        name=name.rstrip("/").rsplit("/", 1)[-1],
        layers=config["num_hidden_layers"],
        hidden=hidden,
        heads=heads,
        kv_heads=config.get("num_key_value_heads") or heads,
        head_dim=config.get("head_dim") or hidden // heads,
        intermediate=config[inner],
        vocab=config["vocab_size"],
        positions=_positions(config),
        tied=bool(config.get("tie_word_embeddings", False)),
        head=any("CausalLM" in a for a in config.get("architectures") or ("CausalLM",)),
        qkv_bias=kind == "qwen2" or attention_bias,
        output_bias=attention_bias and kind != "qwen2",
        mlp_bias=bool(config.get("mlp_bias")),
        qk_norm=kind in {"qwen3", "qwen3_moe"},
        experts=experts,
        experts_per_token=config["num_experts_per_tok"] if experts else 0,
    )


def _positions(config: Mapping[str, Any]) -> int:
    """The longest sequence, as vLLM derives it: scaled rotary embeddings reach further."""
    positions: int = config["max_position_embeddings"]
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    kind = rope.get("rope_type") or rope.get("type") or "default"
    if kind in NATIVE_ROPE:
        return positions
    if kind == "yarn":
        positions = rope["original_max_position_embeddings"]
    return int(positions * rope.get("factor", 1.0))


def _weights(config: Mapping[str, Any] | None) -> Weights | None:
    """What a checkpoint's `quantization_config` says; None where that is not understood."""
    if not config:
        return PLAIN
    method = str(config.get("quant_method"))
    if method == "fp8":
        return Weights(name="fp8", bits=8)
    if method in {"awq", "gptq"}:
        return _grouped(method, config["bits"], config.get("group_size", 128))
    if method == "compressed-tensors":
        groups = list(config["config_groups"].values())
        stored = groups[0]["weights"]
        if len(groups) == 1 and stored["num_bits"] in {4, 8}:
            name = "fp8" if (stored["type"], stored["num_bits"]) == ("float", 8) else method
            return _grouped(name, stored["num_bits"], stored.get("group_size"))
    return None


def _grouped(name: str, bits: int, group: int | None) -> Weights:
    """Each group of weights has a 16-bit scale and a zero point of as many bits as a weight."""
    shared = (16 + bits) / group if group and group > 0 else 0.0
    return Weights(name=f"{name} {bits}-bit" if bits < 8 else name, bits=bits + shared)
