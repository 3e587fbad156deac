"""A tier's settings as the arguments of `ray.serve.llm.LLMConfig`. Pure."""

from typing import Any

from serving.settings.tiers import TierSettings
from serving.settings.vllm import VllmEngine

NO_REDIRECTS = {"VLLM_MEDIA_URL_ALLOW_REDIRECTS": "0"}
"""An allowed host could else send vLLM on to any other."""


GIB = 2**30


def llm_config(tier: TierSettings, *, embeds: bool = False) -> dict[str, Any]:
    """What `LLMConfig` is made of. How many calls a replica takes is said where it is deployed.
    `embeds`: the model makes vectors, not texts.
    """
    engine = tier.backend
    assert isinstance(engine, VllmEngine)
    loading = {
        "model_id": tier.model,
        "model_source": engine.source,
        "tokenizer_source": engine.tokenizer,
    }
    found: dict[str, Any] = {
        "model_loading_config": {k: v for k, v in loading.items() if v is not None},
        "engine_kwargs": engine_kwargs(tier, engine, embeds=embeds),
        "experimental_configs": {"stream_batching_interval_ms": 0},
        "runtime_env": {"env_vars": _environment(engine)},
        "deployment_config": {"ray_actor_options": {"num_cpus": 0}},
        "log_engine_metrics": True,
        **_placement(engine),
    }
    if engine.accelerator_type is not None:
        found["accelerator_type"] = engine.accelerator_type
    return found


def engine_kwargs(
    tier: TierSettings, engine: VllmEngine, *, embeds: bool = False
) -> dict[str, Any]:
    """vLLM's engine and front-end arguments."""
    given: dict[str, Any] = {
        "max_model_len": tier.context_tokens,
        "max_num_seqs": engine.max_num_seqs,
        "tensor_parallel_size": engine.tensor_parallel,
        "pipeline_parallel_size": engine.pipeline_parallel,
        "dtype": engine.dtype,
        "load_format": engine.load_format,
        "revision": engine.revision,
        "quantization": engine.quantization,
        "kv_cache_dtype": engine.kv_cache_dtype,
        "scheduling_policy": "priority",
        "enable_prefix_caching": None if embeds else True,
        "enable_prompt_tokens_details": True,
        "tool_call_parser": engine.tool_parser,
        "enable_auto_tool_choice": True if engine.tool_parser else None,
        "reasoning_parser": engine.reasoning_parser,
        "chat_template": engine.chat_template,
        "allowed_media_domains": list(engine.image_hosts) or None,
        "runner": "pooling" if embeds else None,
    }
    if engine.accelerator == "gpu":
        given["gpu_memory_utilization"] = engine.gpu_memory_utilization
        if engine.gpu_kv_cache_gib is not None:
            given["kv_cache_memory_bytes"] = int(engine.gpu_kv_cache_gib * GIB)
    else:  # else vLLM takes a share of all memory, and refuses to start where others use some
        given["kv_cache_memory_bytes"] = int(engine.cpu_kv_cache_gib * GIB)
    if engine.adapters is not None:
        given |= {
            "enable_lora": True,
            "max_loras": engine.adapters.max_loaded,
            "max_cpu_loras": max(len(engine.adapters.paths), engine.adapters.max_loaded),
            "max_lora_rank": engine.adapters.max_rank,
        }
    return {k: v for k, v in given.items() if v is not None} | engine.engine_args


def _environment(engine: VllmEngine) -> dict[str, str]:
    return NO_REDIRECTS | engine.environment


def _placement(engine: VllmEngine) -> dict[str, Any]:
    """Where the workers go: each on its own GPU, or its share of one."""
    if engine.accelerator == "cpu":
        return {
            "accelerator_config": {"kind": "cpu"},
            "placement_group_config": {"bundles": [{"CPU": engine.cpus}]},
        }
    worker = {"GPU": engine.gpu_share, "CPU": engine.cpus}
    return {"placement_group_config": {"bundle_per_worker": worker}}
