"""A tier's settings as vLLM and Ray get them."""

from typing import Any

import pytest
from pydantic import ValidationError

from serving.engines.vllm.llm_config import llm_config
from serving.settings.tiers import TierSettings


def tier(**engine: Any) -> TierSettings:
    return TierSettings.model_validate(
        {
            "name": "local",
            "model": "org/model",
            "context_tokens": 8_192,
            "backend": {"engine": "vllm", **engine},
        }
    )


def test_a_model_over_two_gpus() -> None:
    found = llm_config(
        tier(source="/weights", tensor_parallel=2, quantization="fp8", accelerator_type="H100")
    )
    assert found["model_loading_config"] == {"model_id": "org/model", "model_source": "/weights"}
    assert found["placement_group_config"] == {"bundle_per_worker": {"GPU": 1.0, "CPU": 1.0}}
    assert found["accelerator_type"] == "H100"
    engine = found["engine_kwargs"]
    assert engine["tensor_parallel_size"] == 2
    assert engine["quantization"] == "fp8"
    assert engine["max_model_len"] == 8_192
    assert engine["scheduling_policy"] == "priority"
    assert "kv_cache_memory_bytes" not in engine


def test_no_token_waits_for_another() -> None:
    assert llm_config(tier())["experimental_configs"] == {"stream_batching_interval_ms": 0}


def test_a_share_of_a_gpu() -> None:
    found = llm_config(tier(gpu_share=0.4, gpu_memory_utilization=0.35))
    assert found["placement_group_config"] == {"bundle_per_worker": {"GPU": 0.4, "CPU": 1.0}}
    assert found["engine_kwargs"]["gpu_memory_utilization"] == 0.35


def test_a_cpu() -> None:
    found = llm_config(tier(accelerator="cpu", cpu_kv_cache_gib=0.5, cpus=2))
    assert found["accelerator_config"] == {"kind": "cpu"}
    assert found["placement_group_config"] == {"bundles": [{"CPU": 2.0}]}
    assert found["engine_kwargs"]["kv_cache_memory_bytes"] == 2**29
    assert "gpu_memory_utilization" not in found["engine_kwargs"]


def test_images_of_some_hosts_without_redirects() -> None:
    found = llm_config(tier(images=True, image_hosts=["images.example.com"]))
    assert found["engine_kwargs"]["allowed_media_domains"] == ["images.example.com"]
    assert found["runtime_env"]["env_vars"]["VLLM_MEDIA_URL_ALLOW_REDIRECTS"] == "0"


def test_tools_need_a_parser() -> None:
    assert "enable_auto_tool_choice" not in llm_config(tier())["engine_kwargs"]
    found = llm_config(tier(tool_parser="hermes"))["engine_kwargs"]
    assert (found["enable_auto_tool_choice"], found["tool_call_parser"]) == (True, "hermes")


def test_adapters() -> None:
    adapters = {"paths": {"a": "/a", "b": "/b"}, "max_loaded": 1, "max_rank": 32}
    found = llm_config(tier(adapters=adapters))["engine_kwargs"]
    assert found["enable_lora"] is True
    assert (found["max_loras"], found["max_cpu_loras"], found["max_lora_rank"]) == (1, 2, 32)


def test_vllm_s_own_arguments_pass() -> None:
    found = llm_config(tier(engine_args={"enforce_eager": True}))
    assert found["engine_kwargs"]["enforce_eager"] is True


@pytest.mark.parametrize(
    ("engine", "said"),
    [
        ({"engine_args": {"max_model_len": 1}}, "max_model_len follows"),
        ({"image_hosts": ["a"]}, "without `images: true`"),
        ({"gpu_share": 0.5, "tensor_parallel": 2}, "may meet on one"),
        ({"accelerator": "cpu", "gpu_share": 0.5}, "not of a cpu"),
        ({"adapters": {"paths": {"a": "/a"}, "tasks": {"t": "b"}}}, "no adapter is called 'b'"),
        ({"autoscaling": {"min_replicas": 3, "max_replicas": 2}}, "must not exceed"),
    ],
)
def test_what_does_not_agree_is_refused(engine: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        tier(**engine)
