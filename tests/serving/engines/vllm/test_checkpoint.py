"""Models read from their own config.json, in a folder or the hub's cache, else known by name."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from serving.engines.vllm.checkpoint import MAX_CONFIG_BYTES, Model, Unknown, find_model
from serving.engines.vllm.known import known_models
from serving.engines.vllm.shapes import Shape

LLAMA_8B: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "max_position_embeddings": 131072,
    "rope_scaling": {"rope_type": "llama3", "factor": 8.0},
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
}
QWEN2_7B: dict[str, Any] = {
    "architectures": ["Qwen2ForCausalLM"],
    "model_type": "qwen2",
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "vocab_size": 152064,
    "max_position_embeddings": 32768,
}
QWEN3_MOE: dict[str, Any] = {
    "architectures": ["Qwen3MoeForCausalLM"],
    "model_type": "qwen3_moe",
    "hidden_size": 2048,
    "intermediate_size": 6144,
    "moe_intermediate_size": 768,
    "num_experts": 128,
    "num_experts_per_tok": 8,
    "decoder_sparse_step": 1,
    "mlp_only_layers": [],
    "num_hidden_layers": 48,
    "num_attention_heads": 32,
    "num_key_value_heads": 4,
    "head_dim": 128,
    "vocab_size": 151936,
    "max_position_embeddings": 40960,
}


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))


def written(folder: Path, config: object) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_bytes(orjson.dumps(config))
    return str(folder)


def known(source: str, **options: Any) -> Model:
    found = find_model(source, **options)
    assert isinstance(found, Model), found
    return found


def unknown(source: str, **options: Any) -> str:
    found = find_model(source, **options)
    assert isinstance(found, Unknown), found
    return found.reason


def dimensions(shape: Shape) -> dict[str, Any]:
    return shape.model_dump(exclude={"name"})


@pytest.mark.parametrize(
    ("config", "name"),
    [(LLAMA_8B, "Llama-3.1-8B"), (QWEN2_7B, "Qwen2.5-7B"), (QWEN3_MOE, "Qwen3-30B-A3B")],
)
def test_a_config_gives_the_dimensions_that_are_known_by_name(
    config: dict[str, Any], name: str, tmp_path: Path
) -> None:
    expected = known_models().shape(name)
    assert expected is not None
    found = known(written(tmp_path / "anything", config))
    assert dimensions(found.shape) == dimensions(expected)
    assert (found.shape.name, found.weights.bits) == ("anything", None)
    assert found.found.endswith("anything/config.json")


def test_the_hubs_cache_is_read_and_goes_before_the_name(tmp_path: Path) -> None:
    repository = tmp_path / "hub" / "models--Qwen--Qwen2.5-7B-Instruct"
    written(repository / "snapshots" / "abc", QWEN2_7B | {"num_hidden_layers": 2})
    assert known("Qwen/Qwen2.5-7B-Instruct").shape.layers == 28, "no reference leads to it"
    assert known("Qwen/Qwen2.5-7B-Instruct", revision="abc").shape.layers == 2
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc\n", "utf-8")
    assert known("Qwen/Qwen2.5-7B-Instruct").shape.layers == 2
    assert known("Qwen/Qwen2.5-7B-Instruct", revision="v2").shape.layers == 28


@pytest.mark.parametrize(
    ("quantised", "bits"),
    [
        ({"quant_method": "awq", "bits": 4, "group_size": 128}, 4.15625),
        ({"quant_method": "gptq", "bits": 8, "group_size": -1}, 8),
        ({"quant_method": "fp8", "weight_block_size": [128, 128]}, 8),
        (
            {
                "quant_method": "compressed-tensors",
                "config_groups": {
                    "group_0": {"weights": {"num_bits": 8, "type": "float", "group_size": None}}
                },
            },
            8,
        ),
        (
            {
                "quant_method": "compressed-tensors",
                "config_groups": {
                    "group_0": {"weights": {"num_bits": 4, "type": "int", "group_size": 32}}
                },
            },
            4.625,
        ),
    ],
)
def test_a_config_says_how_the_weights_are_stored(
    quantised: dict[str, Any], bits: float, tmp_path: Path
) -> None:
    config = LLAMA_8B | {"quantization_config": quantised}
    assert known(written(tmp_path / "model", config)).weights.bits == pytest.approx(bits)


@pytest.mark.parametrize(
    ("rope", "positions"),
    [
        (None, 131_072),
        ({"rope_type": "linear", "factor": 2.0}, 262_144),
        ({"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32_768}, 131_072),
    ],
)
def test_scaled_rotary_embeddings_reach_further(
    rope: dict[str, Any] | None, positions: int, tmp_path: Path
) -> None:
    config = LLAMA_8B | {"rope_scaling": rope}
    assert known(written(tmp_path / "model", config)).shape.positions == positions


@pytest.mark.parametrize(
    ("config", "why"),
    [
        (LLAMA_8B | {"model_type": "deepseek_v3"}, "'deepseek_v3'"),
        (LLAMA_8B | {"quantization_config": {"quant_method": "new"}}, "not understood"),
        ({k: v for k, v in LLAMA_8B.items() if k != "hidden_size"}, "lacks 'hidden_size'"),
        (LLAMA_8B | {"num_key_value_heads": 5}, "can't be read"),
        (LLAMA_8B | {"hidden_size": "big"}, "can't be read"),
        (LLAMA_8B | {"rope_scaling": 3}, "can't be read"),
        (QWEN3_MOE | {"decoder_sparse_step": 2}, "can't be read"),
        ([], "no JSON object"),
    ],
)
def test_what_is_not_understood_is_said_not_guessed(
    config: object, why: str, tmp_path: Path
) -> None:
    assert why in unknown(written(tmp_path / "model", config))


def test_a_broken_or_huge_config_is_said(tmp_path: Path) -> None:
    folder = Path(written(tmp_path / "model", {}))
    (folder / "config.json").write_text("{", "utf-8")
    assert "can't be read" in unknown(str(folder))
    (folder / "config.json").write_bytes(b" " * (MAX_CONFIG_BYTES + 1))
    assert "larger than" in unknown(str(folder))


def test_a_setting_quantises_plain_weights_only() -> None:
    assert known("Qwen/Qwen3-8B", quantization="fp8").weights.bits == 8
    assert known("Qwen/Qwen3-8B-AWQ", quantization="awq_marlin").weights.name == "4-bit"
    assert "`quantization: gguf`" in unknown("Qwen/Qwen3-8B", quantization="gguf")


def test_an_unknown_model_may_be_like_a_known_one(tmp_path: Path) -> None:
    assert "acme/support-7b" in unknown("acme/support-7b")
    assert known("acme/support-7b", like="Qwen2.5-7B").shape.name == "Qwen2.5-7B"
    assert known("acme/support-7b-AWQ", like="Qwen2.5-7B").weights.name == "4-bit"
    assert known("acme/support-7b", like="Qwen/Qwen2.5-7B-Instruct-AWQ").weights.name == "4-bit"
    folder = written(tmp_path / "model", LLAMA_8B)
    assert known("acme/support-7b", like=folder).shape.layers == 32
    assert "nobody" in unknown("acme/support-7b", like="nobody")
