"""A tier on the user's own hardware: vLLM through `ray.serve.llm`."""

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from serving.settings.base import EnvName, Frozen, Name, Seconds, Share

OWN_ENGINE_ARGS = frozenset(
    {
        "model",
        "served_model_name",
        "max_model_len",
        "tensor_parallel_size",
        "pipeline_parallel_size",
        "tokenizer",
        "revision",
        "quantization",
        "kv_cache_dtype",
        "gpu_memory_utilization",
        "kv_cache_memory_bytes",
        "max_num_seqs",
        "scheduling_policy",
        "allowed_media_domains",
        "enable_lora",
        "lora_modules",
        "tool_call_parser",
        "reasoning_parser",
        "distributed_executor_backend",
    }
)
"""What other settings decide, so it can't stand in `engine_args`."""


class Autoscaling(Frozen):
    """The number of replicas follows the calls that are going on. A replica is added while each has
    more than `target_ongoing` (null: the engine's `max_num_seqs`), for `upscale_delay_s`; one is
    taken away after `downscale_delay_s` below it. `min_replicas: 0` frees the GPUs of an idle tier,
    whose next request then waits for the model to load.
    """

    min_replicas: int = Field(default=1, ge=0, le=64)
    max_replicas: int = Field(default=2, ge=1, le=64)
    target_ongoing: int | None = Field(default=None, ge=1, le=100_000)
    upscale_delay_s: Seconds = 30.0
    downscale_delay_s: Seconds = 600.0

    @model_validator(mode="after")
    def _ordered(self) -> "Autoscaling":
        if self.min_replicas > self.max_replicas:
            raise ValueError("min_replicas must not exceed max_replicas")
        return self


class Adapters(Frozen):
    """LoRA adapters that ride on the tier's model: `paths` by their names (a folder or a Hugging
    Face repository), `tasks` says which task's requests use which; all others use the model as it
    is. `max_loaded` of them are in the engine's memory at a time.
    """

    paths: dict[Name, str] = Field(min_length=1)
    tasks: dict[Name, Name] = Field(default_factory=dict)
    max_loaded: int = Field(default=4, ge=1, le=64)
    max_rank: Literal[8, 16, 32, 64, 128, 256] = 16

    @model_validator(mode="after")
    def _known(self) -> "Adapters":
        for task, name in self.tasks.items():
            if name not in self.paths:
                raise ValueError(f"tasks.{task}: no adapter is called {name!r}")
        return self


class VllmEngine(Frozen):
    """An open-weight model in vLLM, one Ray Serve deployment, on Ray alone.

    `source` is a Hugging Face repository, a folder, or a bucket's URI (default: the tier's model);
    the longest sequence is the tier's `context_tokens`. A replica takes `tensor_parallel` times
    `pipeline_parallel` GPUs, each `gpu_share` of one, and of each GPU's memory
    `gpu_memory_utilization`; `accelerator_type` is Ray's name of it (`H100`, `L4`) and
    `gpu_memory_gib` its memory where the name says nothing. What weights and working memory leave
    becomes the KV cache, unless `gpu_kv_cache_gib` fixes it, as it should where tiers share a GPU.
    `architecture` names the known model, or a folder with the config.json, that has the dimensions
    of one that is not known by name: `stepwell check` computes memory from it. `images` lets
    requests carry images: inline, or by URL from `image_hosts` only. `adapters` are LoRA. Up to
    `max_num_seqs` sequences run at once. `tool_parser` and `reasoning_parser` are vLLM's names for
    the model's own formats. `warm_up` answers a few requests before the replica is ready.
    `engine_args` are passed to vLLM as they are, `environment` to the engine's processes.
    """

    engine: Literal["vllm"]
    source: str | None = None
    revision: str | None = None
    tokenizer: str | None = None
    architecture: str | None = None
    accelerator: Literal["gpu", "cpu"] = "gpu"
    accelerator_type: str | None = None
    gpu_memory_gib: float | None = Field(default=None, gt=0)
    gpu_share: float = Field(default=1.0, gt=0, le=1)
    gpu_memory_utilization: Share = 0.9
    gpu_kv_cache_gib: float | None = Field(default=None, gt=0, le=1_024)
    cpu_kv_cache_gib: float = Field(default=2.0, gt=0, le=1_024)
    cpus: float = Field(default=1.0, gt=0, le=256, description="that Ray sets aside for a worker")
    tensor_parallel: int = Field(default=1, ge=1, le=64)
    pipeline_parallel: int = Field(default=1, ge=1, le=64)
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    quantization: str | None = None
    kv_cache_dtype: Literal["auto", "fp8"] = "auto"
    load_format: str = "auto"
    max_num_seqs: int = Field(default=128, ge=1, le=4_096)
    adapters: Adapters | None = None
    autoscaling: Autoscaling | None = None
    tool_parser: str | None = None
    reasoning_parser: str | None = None
    chat_template: str | None = None
    images: bool = False
    image_hosts: tuple[str, ...] = ()
    warm_up: bool = True
    engine_args: dict[str, Any] = Field(default_factory=dict)
    environment: dict[EnvName, str] = Field(default_factory=dict)

    @field_validator("engine_args")
    @classmethod
    def _not_ours(cls, given: dict[str, Any]) -> dict[str, Any]:
        for name in sorted(OWN_ENGINE_ARGS & given.keys()):
            raise ValueError(f"{name} follows from other settings of the tier")
        return given

    @model_validator(mode="after")
    def _agree(self) -> "VllmEngine":
        if self.image_hosts and not self.images:
            raise ValueError("image_hosts without `images: true`")
        if self.accelerator == "cpu" and (self.gpu_share != 1.0 or self.gpu_kv_cache_gib):
            raise ValueError("gpu_share and gpu_kv_cache_gib are of a GPU, not of a cpu")
        if self.gpu_share <= 0.5 and self.workers > 1:
            raise ValueError("with at most half of each GPU, two workers may meet on one")
        return self

    @property
    def workers(self) -> int:
        """Processes, each with its own GPU, that hold one replica's model."""
        return self.tensor_parallel * self.pipeline_parallel
