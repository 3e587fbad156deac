"""What to change where a model doesn't fit, and the reason in numbers."""

import re
from dataclasses import replace
from typing import Any

import pytest

from serving.engines.vllm.advice import advice, why_not
from serving.engines.vllm.memory import GIB, Load, plan
from serving.engines.vllm.sizing import Host, sized
from serving.settings.tiers import TierSettings

LLAMA = "RedHatAI/Llama-3.3-70B-Instruct-FP8-dynamic"
QWEN = "Qwen/Qwen2.5-7B-Instruct"


def load(model: str, context_tokens: int, host: Host | None = None, **backend: Any) -> Load:
    tier: dict[str, Any] = {"name": "t", "model": model, "context_tokens": context_tokens}
    given = tier | {"backend": {"engine": "vllm", **backend}}
    found = sized(TierSettings.model_validate(given), host or Host())
    assert not hasattr(found, "reason"), found
    return found.load


def test_a_fit_needs_no_advice_to_be_true() -> None:
    """Each advised change fits when it is made; the number of tokens is what it leaves."""
    asked = load(QWEN, 32_768, accelerator_type="T4")
    found = advice(asked)
    assert found
    assert not plan(asked).fits
    assert "tensor_parallel: 2 " in found[0]
    over_two = plan(replace(asked, tensor_parallel=2))
    assert over_two.fits
    assert f"({over_two.kv_tokens:,} tokens)" in found[0]


def test_a_70b_on_one_h100() -> None:
    asked = load(LLAMA, 32_768, accelerator_type="H100")
    why, found = why_not(asked, plan(asked)), "; ".join(advice(asked))
    assert "weights 67.7 GiB" in why
    assert "of 71.2 GiB on one GPU" in why
    assert "needs 10.0 GiB" in why
    assert "tensor_parallel: 2 (" in found
    assert "tensor_parallel: 4" not in found, "fewer do"
    assert "a checkpoint in 4-bit (" in found
    assert "FP8" not in found, "it is in FP8 already"
    assert "context_tokens" not in found, "no length would help"


def test_a_context_that_is_too_long() -> None:
    asked = load(QWEN, 32_768, gpu_memory_gib=19)
    found = advice(asked)
    length = int(re.match(r"context_tokens: (\d+)", found[0]).group(1))  # type: ignore[union-attr]
    assert length % 256 == 0
    assert plan(replace(asked, max_length=length)).fits
    assert not plan(replace(asked, max_length=length + 256)).fits
    assert any(text.startswith("kv_cache_dtype: fp8 (") for text in found)


def test_a_share_that_is_too_small() -> None:
    asked = load(QWEN, 16_384, accelerator_type="H100", gpu_share=0.3)
    why = why_not(asked, plan(asked))
    assert "it takes 71.7 GiB" in why
    assert "may take 23.7 GiB on one GPU" in why
    (found,) = advice(asked)
    assert found.startswith("gpu_memory_utilization: 0.29 (")


@pytest.mark.parametrize(("share", "kv_gib"), [(0.3, 20), (1.0, 90)])
def test_a_fixed_cache_that_is_too_large(share: float, kv_gib: int) -> None:
    asked = load(QWEN, 16_384, accelerator_type="H100", gpu_share=share, gpu_kv_cache_gib=kv_gib)
    assert not plan(asked).fits
    text = next(t for t in advice(asked) if t.startswith("gpu_kv_cache_gib: "))
    size = float(text.split()[1])
    assert plan(replace(asked, kv_bytes=round(size * GIB))).fits
    assert not plan(replace(asked, kv_bytes=round((size + 0.5) * GIB))).fits


def test_a_cpu_host_that_is_too_small() -> None:
    asked = load("Qwen/Qwen2.5-0.5B-Instruct", 4_096, Host(memory_gib=7.5), accelerator="cpu")
    assert "on this host" in why_not(asked, plan(asked))
    assert advice(asked) == ("cpu_kv_cache_gib: 0.5 (43,648 tokens)",)


def test_two_changes_where_one_does_not_do() -> None:
    asked = load("meta-llama/Llama-3.1-70B-Instruct", 8_192, accelerator_type="L40S")
    singles = advice(asked)
    assert singles[0].startswith("tensor_parallel: 4 (")
    asked = load("meta-llama/Llama-3.1-70B-Instruct", 8_192, accelerator_type="T4")
    both = advice(asked)
    assert all(" and " in text for text in both)
    assert any(text.startswith("tensor_parallel: 8 and a checkpoint in") for text in both)


def test_where_nothing_helps_nothing_is_advised() -> None:
    asked = load("meta-llama/Llama-3.1-70B-Instruct", 8_192, gpu_memory_gib=4)
    assert advice(asked) == ()
