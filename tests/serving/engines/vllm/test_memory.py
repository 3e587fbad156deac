"""How a GPU's memory is divided, against what vLLM itself reported."""

from dataclasses import replace

import pytest

from serving.engines.vllm.known import known_models
from serving.engines.vllm.memory import CONTEXT, GIB, Load, MemoryPlan, plan
from serving.engines.vllm.shapes import PLAIN, Weights

FP8 = Weights(name="fp8", bits=8)


def load(name: str = "Llama-3.1-70B", weights: Weights = FP8, capacity_gib: float = 139.8) -> Load:
    shape = known_models().shape(name)
    assert shape is not None
    return Load(
        shape=shape,
        weights=weights,
        dtype_bytes=2,
        value_bytes=2,
        capacity=round(capacity_gib * GIB),
        max_length=8_192,
        max_seqs=128,
        batched_tokens=8_192,
    )


def parts(found: MemoryPlan) -> int:
    return found.weights + found.overhead + found.kv_pool


def test_a_70b_in_fp8_fits_an_h200_and_no_h100() -> None:
    on_h200 = plan(load())
    assert on_h200.fits
    assert 170_000 < on_h200.kv_tokens < 190_000
    on_h100 = plan(load(capacity_gib=79.1))
    assert not on_h100.fits
    assert on_h100.kv_tokens < 8_192
    over_two = plan(replace(load(capacity_gib=79.1), tensor_parallel=2))
    assert over_two.fits
    assert over_two.kv_bytes_per_token == on_h200.kv_bytes_per_token / 2
    assert over_two.kv_tokens > on_h200.kv_tokens


def test_the_parts_are_the_budget() -> None:
    for found in (plan(load()), plan(replace(load(), adapters=4)), plan(load(capacity_gib=50))):
        assert parts(found) == found.budget
        assert found.budget == pytest.approx(0.9 * found.capacity, rel=1e-9)
    assert plan(load(capacity_gib=50)).kv_pool < 0
    assert plan(load(capacity_gib=50)).kv_tokens == 0


def test_a_cache_that_vllm_measured_on_a_gpu() -> None:
    """A public report: Qwen2.5-0.5B on an A100 of 39.49 GiB at 0.92, eager: weights 0.93 GiB,
    activations 0.59, KV cache 34.70.
    """
    small = load("Qwen2.5-0.5B", PLAIN, 39.49)
    small = replace(small, utilization=0.92, graphs=False, max_seqs=256, batched_tokens=8_192)
    found = plan(small)
    assert found.weights / GIB == pytest.approx(0.93, abs=0.02)
    assert found.activations / GIB == pytest.approx(0.59, abs=0.02)
    assert found.kv_pool / GIB == pytest.approx(34.70, abs=0.5)
    assert found.kv_pool / GIB < 34.70, "the estimate errs towards less"


def test_a_cache_that_vllm_measured_on_a_cpu() -> None:
    """vLLM 0.29 with 1 GiB: "KV cache size: 87,296 tokens"; its processes took 4.6 GiB in all."""
    small = replace(
        load("Qwen2.5-0.5B", PLAIN, 20),
        kv_bytes=GIB,
        max_seqs=8,
        batched_tokens=2_048,
        graphs=False,
        cpu=True,
    )
    found = plan(small)
    assert found.kv_tokens == 87_296
    assert found.claim / GIB == pytest.approx(4.6, abs=0.2)


def test_a_fixed_cache_is_as_large_as_asked_whatever_the_budget() -> None:
    fixed = plan(replace(load(), kv_bytes=31 * GIB, utilization=0.1))
    assert fixed.kv_pool == 31 * GIB
    assert fixed.budget == parts(fixed)
    assert fixed.kv_tokens == 101_568, "whole blocks of 16 tokens"


def test_a_tier_keeps_to_its_share_of_a_gpu() -> None:
    shared = replace(load("Qwen2.5-7B", PLAIN), share=0.25)
    assert not plan(replace(shared, utilization=0.9)).fits, "it would take all"
    assert plan(replace(shared, utilization=0.24)).fits
    assert not plan(replace(shared, utilization=0.25)).fits, "CUDA's own context comes on top"
    assert plan(replace(shared, utilization=0.24)).claim <= 0.25 * shared.capacity
    assert not plan(replace(shared, kv_bytes=20 * GIB)).fits
    assert plan(replace(shared, kv_bytes=16 * GIB)).fits


def test_the_context_lies_outside_of_the_budget() -> None:
    assert plan(load()).claim == plan(load()).budget + CONTEXT
    assert not plan(replace(load(capacity_gib=24), utilization=0.99)).fits


def test_one_request_of_the_greatest_length_must_fit() -> None:
    most = plan(load()).kv_tokens
    assert plan(replace(load(), max_length=most)).fits
    assert not plan(replace(load(), max_length=most + 1)).fits


def test_requests_at_once_are_bounded_by_the_cache_and_the_scheduler() -> None:
    found = plan(load())
    assert found.requests_at(8_192) == found.kv_tokens // 8_192
    assert found.requests_at(16) == 128
    assert found.requests_at(0) == 128


def test_what_each_choice_costs() -> None:
    base = plan(load())
    assert plan(replace(load(), value_bytes=1)).kv_tokens == pytest.approx(
        2 * base.kv_tokens, rel=1e-3
    )
    assert plan(replace(load(), graphs=False)).kv_pool > base.kv_pool
    assert plan(replace(load(), batched_tokens=2_048)).kv_pool > base.kv_pool
    assert plan(replace(load(), max_seqs=2_048)).activations > base.activations
    adapted = plan(replace(load(), adapters=4, adapter_rank=16))
    assert adapted.adapters == 4 * 414_187_520
    assert plan(replace(load(), adapters=4, adapter_rank=32)).adapters == 2 * adapted.adapters
    headless = load().shape.model_copy(update={"head": False})
    assert plan(replace(load(), shape=headless, max_seqs=2_048)).activations == base.activations
