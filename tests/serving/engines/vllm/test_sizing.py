"""What a tier's settings and its host mean for memory."""

from typing import Any

import pytest

from serving.engines.vllm.checkpoint import Unknown
from serving.engines.vllm.llm_config import engine_kwargs
from serving.engines.vllm.memory import GIB, Load, plan
from serving.engines.vllm.sizing import HOST_RESERVE_GIB, Host, sized
from serving.settings.tiers import TierSettings
from serving.settings.vllm import VllmEngine


def tier(model: str = "Qwen/Qwen2.5-7B-Instruct", **backend: Any) -> TierSettings:
    given = {"name": "local", "model": model, "context_tokens": 16_384}
    return TierSettings.model_validate({**given, "backend": {"engine": "vllm", **backend}})


def load(*, host: Host | None = None, embeds: bool = False, **backend: Any) -> Load:
    found = sized(tier(**backend), host or Host(), embeds=embeds)
    assert not isinstance(found, Unknown), found
    return found.load


def unknown(*, host: Host | None = None, **backend: Any) -> str:
    found = sized(tier(**backend), host or Host())
    assert isinstance(found, Unknown)
    return found.reason


def test_the_gpu_is_the_one_that_is_named() -> None:
    assert load(accelerator_type="H200").capacity == round(139.8 * GIB)
    both = load(accelerator_type="A100", gpu_memory_gib=39.4)
    assert both.capacity == round(39.4 * GIB)
    assert load(gpu_memory_gib=22, host=Host(gpus=(79.0,))).capacity == 22 * GIB


def test_else_the_smallest_of_this_host() -> None:
    assert load(host=Host(gpus=(79.0, 40.0))).capacity == 40 * GIB


def test_else_nothing_is_guessed() -> None:
    assert "accelerator_type or gpu_memory_gib" in unknown()
    assert "type A100 has is not known: set gpu_memory_gib" in unknown(accelerator_type="A100")
    assert "its host" in unknown(accelerator="cpu")
    assert "acme/7b" in unknown(source="acme/7b", accelerator_type="H100")


def test_architecture_stands_in_for_a_model_that_is_not_known() -> None:
    found = load(source="acme/7b", architecture="Qwen2.5-7B", accelerator_type="H100")
    assert found.shape.name == "Qwen2.5-7B"


def test_settings_reach_the_arithmetic() -> None:
    found = load(
        accelerator_type="H100",
        tensor_parallel=2,
        pipeline_parallel=2,
        gpu_memory_utilization=0.8,
        gpu_kv_cache_gib=1.5,
        kv_cache_dtype="fp8",
        max_num_seqs=7,
        dtype="float32",
        adapters={"paths": {"a": "/a"}, "max_loaded": 3, "max_rank": 64},
        engine_args={"max_num_batched_tokens": 512, "enforce_eager": True},
    )
    assert (found.tensor_parallel, found.pipeline_parallel, found.workers) == (2, 2, 4)
    assert (found.utilization, found.kv_bytes) == (0.8, 3 * GIB // 2)
    assert (found.value_bytes, found.dtype_bytes, found.max_seqs) == (1, 4, 7)
    assert (found.batched_tokens, found.graphs, found.max_length) == (512, False, 16_384)
    assert (found.adapters, found.adapter_rank) == (3, 64)


@pytest.mark.parametrize(
    ("backend", "tokens"),
    [
        ({"accelerator_type": "L4"}, 2_048),
        ({"accelerator_type": "H100"}, 8_192),
        ({"accelerator_type": "A100-80G"}, 2_048),
        ({"accelerator_type": "B200"}, 16_384),
    ],
)
def test_a_forward_pass_is_as_large_as_vllm_makes_it(backend: dict[str, Any], tokens: int) -> None:
    assert load(**backend).batched_tokens == tokens


def test_a_cpu_host_keeps_some_memory_for_others() -> None:
    found = load(accelerator="cpu", cpu_kv_cache_gib=0.5, host=Host(memory_gib=16))
    assert found.capacity == (16 - HOST_RESERVE_GIB) * GIB
    assert (found.kv_bytes, found.graphs, found.share) == (GIB // 2, False, 1)
    halves = load(accelerator="cpu", tensor_parallel=2, host=Host(memory_gib=16))
    assert halves.share == 0.5


def test_an_embedder_has_no_output_layer() -> None:
    chat, vectors = (load(accelerator_type="L4", embeds=embeds) for embeds in (False, True))
    assert plan(vectors).weights == plan(chat).weights - 2 * 152_064 * 3_584
    assert plan(vectors).kv_pool > plan(chat).kv_pool


@pytest.mark.parametrize(
    "backend",
    [
        {"accelerator_type": "H200", "gpu_share": 0.5, "gpu_kv_cache_gib": 16},
        {"accelerator_type": "H100", "tensor_parallel": 2, "gpu_memory_utilization": 0.8},
        {"accelerator": "cpu", "cpu_kv_cache_gib": 0.5},
    ],
)
def test_the_plan_is_of_what_vllm_is_told(backend: dict[str, Any]) -> None:
    planned = load(**backend, host=Host(memory_gib=16))
    asked = tier(**backend)
    assert isinstance(asked.backend, VllmEngine)
    told = engine_kwargs(asked, asked.backend)
    assert told["max_model_len"] == planned.max_length
    assert told["max_num_seqs"] == planned.max_seqs
    assert told["tensor_parallel_size"] == planned.tensor_parallel
    assert told["pipeline_parallel_size"] == planned.pipeline_parallel
    assert told.get("kv_cache_memory_bytes") == planned.kv_bytes
    assert told.get("gpu_memory_utilization", 0.9) == planned.utilization
