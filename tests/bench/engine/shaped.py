"""Checkpoints without weights: a `config.json` of real dimensions and a tokenizer whose words are
tokens, for `load_format: dummy`. Nothing is downloaded.
"""

import json
from pathlib import Path
from typing import Any

from serving.engines.vllm.known import known_models

FP8 = {"quant_method": "fp8", "activation_scheme": "dynamic"}
TEMPLATE = (
    "{% for m in messages %}w0 {{ m['content'] }} w1 {% endfor %}"
    "{% if add_generation_prompt %}w2{% endif %}"
)


def write_shaped(folder: Path, checkpoint: str, *, fp8: bool = False) -> Path:
    """The shape of a Llama or Qwen2.5 checkpoint that Stepwell knows by name, in `folder`. Needs
    transformers, as vLLM does.
    """
    shape = known_models().shape(checkpoint)
    if shape is None:
        raise ValueError(f"no shape is known for {checkpoint}")
    qwen = shape.qkv_bias
    config: dict[str, Any] = {
        "architectures": ["Qwen2ForCausalLM" if qwen else "LlamaForCausalLM"],
        "model_type": "qwen2" if qwen else "llama",
        "torch_dtype": "bfloat16",
        "hidden_act": "silu",
        "rms_norm_eps": 1e-5,
        "rope_theta": 500_000.0,
        "bos_token_id": 0,
        "eos_token_id": 1,
        "num_hidden_layers": shape.layers,
        "hidden_size": shape.hidden,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.head_dim,
        "intermediate_size": shape.intermediate,
        "vocab_size": shape.vocab,
        "max_position_embeddings": shape.positions,
        "tie_word_embeddings": shape.tied,
    }
    if fp8:
        config["quantization_config"] = FP8
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    _write_tokenizer(folder, shape.vocab)
    return folder


def _write_tokenizer(folder: Path, size: int) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {f"w{i}": i for i in range(size)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="w3"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="w0", eos_token="w1")
    fast.chat_template = TEMPLATE
    fast.save_pretrained(folder)


def prompt(tokens: int, seed: int) -> str:
    """Words that are about as many tokens, different for each seed, so that no prefix is shared."""
    return " ".join(f"w{10 + (seed * 7_919 + i * 31) % 9_000}" for i in range(max(1, tokens)))
