"""An embedding model small enough for any machine, with random weights, and its configuration."""

import re
import string
from pathlib import Path
from typing import Any

from tests.engine.models import TEXTS

MARKS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
CONTEXT = 256


def make_bert(folder: Path, *, hidden: int = 128, seed: int = 0) -> Path:
    """A BERT of two layers in `folder`, as `from_pretrained` reads it; the same for the same seed.
    Its heads have 64 numbers each: vLLM's attention on CPUs takes no fewer from encoders than 32.
    """
    import torch
    from transformers import BertConfig, BertModel

    tokens = _tokenizer(folder)
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=tokens,
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=2,
        num_attention_heads=hidden // 64,
        max_position_embeddings=CONTEXT,
        initializer_range=0.2,
    )
    BertModel(config).save_pretrained(folder)
    return folder


def reference(folder: Path, text: str) -> list[float]:
    """The vector as `transformers` computes it: the first token's, scaled to length 1."""
    import torch
    from transformers import BertModel, PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    with torch.no_grad():
        found = BertModel.from_pretrained(folder).eval()(**tokenizer(text, return_tensors="pt"))
    first = found.last_hidden_state[0, 0]
    made: list[float] = (first / first.norm()).tolist()
    return made


def local_embedder(folder: Path, **changes: Any) -> dict[str, Any]:
    """The configuration of an embedder on vLLM with the model in `folder`."""
    backend = {
        "engine": "vllm",
        "source": str(folder),
        "accelerator": "cpu",
        "cpus": 0.5,
        "dtype": "float32",
        "cpu_kv_cache_gib": 0.25,
        "max_num_seqs": 64,
        "engine_args": {"enforce_eager": True},
        "environment": {"VLLM_CPU_OMP_THREADS_BIND": "nobind", "OMP_NUM_THREADS": "1"},
    }
    return {
        "name": "local-embed",
        "model": "tiny-bert",
        "context_tokens": CONTEXT,
        "backend": backend,
        "price": {"kind": "tokens", "input_per_mtok": 0.02, "output_per_mtok": 0},
        "deadline_s": 60,
        **changes,
    }


def _tokenizer(folder: Path) -> int:
    """Writes a WordPiece tokenizer of letters, digits and some words; returns its size. Not a
    trained one: training breaks ties another way each time.
    """
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    signs = [c for c in string.printable if not c.isspace() and not c.isupper()]
    words = sorted({word for text in TEXTS for word in re.findall("[a-z]{2,}", text.lower())})
    pieces = [*MARKS, *signs, *(f"##{c}" for c in signs), *words]
    vocab = {piece: at for at, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[(m, vocab[m]) for m in ("[CLS]", "[SEP]")]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )
    fast.save_pretrained(folder)
    return len(fast)
