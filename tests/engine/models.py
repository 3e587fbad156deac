"""Models small enough for any machine, with random weights, and a tokenizer trained on the spot."""

import json
from pathlib import Path

TEXTS = [
    "The quick brown fox jumps over the lazy dog.",
    "Where is my order? It was to arrive on Monday, the card was charged twice.",
    '{"name": "get_order", "arguments": {"id": 1234, "city": "Paris", "ok": true}}',
    "Answer in one word: yes or no, true or false, null.",
]
TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|>"
    "{% if m['content'] is string %}{{ m['content'] }}"
    "{% elif m['content'] %}{% for p in m['content'] %}{{ p['text'] }}{% endfor %}{% endif %}"
    "<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
MARKS = ["<|end|>", "<|system|>", "<|user|>", "<|assistant|>", "<|tool|>"]


def make_llama(folder: Path, *, layers: int = 2, hidden: int = 128, seed: int = 0) -> Path:
    """A Llama of `layers` layers in `folder`, as `from_pretrained` reads it."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokens = _tokenizer(folder)
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=tokens,
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=4_096,
        bos_token_id=0,
        eos_token_id=0,
        initializer_range=0.2,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def _tokenizer(folder: Path) -> int:
    """Writes a byte-level tokenizer with a chat template; returns its size."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=MARKS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|end|>", pad_token="<|end|>"
    )
    fast.chat_template = TEMPLATE
    fast.save_pretrained(folder)
    return len(fast)


def make_lora(folder: Path, base: Path, *, rank: int = 8, seed: int = 0) -> Path:
    """A LoRA adapter of the Llama in `base`, strong enough to change what it says."""
    import torch
    from safetensors.torch import save_file

    config = json.loads((base / "config.json").read_text())
    hidden = config["hidden_size"]
    kv_size = hidden // config["num_attention_heads"] * config["num_key_value_heads"]
    sizes = {"q_proj": hidden, "v_proj": kv_size}
    torch.manual_seed(seed)
    weights = {}
    for layer in range(config["num_hidden_layers"]):
        for name, size in sizes.items():
            at = f"base_model.model.model.layers.{layer}.self_attn.{name}"
            weights[f"{at}.lora_A.weight"] = torch.randn(rank, hidden)
            weights[f"{at}.lora_B.weight"] = torch.randn(size, rank)
    folder.mkdir(parents=True)
    save_file(weights, folder / "adapter_model.safetensors")
    adapter = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": rank,
        "lora_alpha": rank,
        "target_modules": list(sizes),
        "bias": "none",
    }
    (folder / "adapter_config.json").write_text(json.dumps(adapter))
    return folder
