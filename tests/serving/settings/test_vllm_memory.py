"""Settings of a vLLM tier that say which memory is its own."""

from typing import Any

import pytest
from pydantic import ValidationError

from serving.settings.vllm import VllmEngine


def engine(**given: Any) -> VllmEngine:
    return VllmEngine.model_validate({"engine": "vllm", **given})


def test_a_model_over_several_gpus_needs_more_than_half_of_each() -> None:
    assert engine(tensor_parallel=2, gpu_share=0.6).workers == 2
    assert engine(gpu_share=0.1).gpu_share == 0.1
    with pytest.raises(ValidationError, match="two workers may meet on one"):
        engine(tensor_parallel=2, gpu_share=0.5)


def test_a_cpu_has_no_share_of_a_gpu() -> None:
    for given in ({"gpu_share": 0.5}, {"gpu_kv_cache_gib": 2}):
        with pytest.raises(ValidationError, match="of a GPU, not of a cpu"):
            engine(accelerator="cpu", **given)


def test_the_size_of_the_cache_has_settings_of_its_own() -> None:
    with pytest.raises(ValidationError, match="kv_cache_memory_bytes follows from other settings"):
        engine(engine_args={"kv_cache_memory_bytes": 1})
