"""From a tier's settings and what its host has to the arithmetic of its memory."""

from dataclasses import dataclass, replace
from typing import Any

from serving.engines.vllm.checkpoint import Model, Unknown, find_model
from serving.engines.vllm.known import gpu_gib
from serving.engines.vllm.memory import GIB, Load
from serving.settings.tiers import TierSettings
from serving.settings.vllm import VllmEngine

HOST_RESERVE_GIB = 3.0
"""Of a CPU host's memory, what the system, Ray and the gateway take."""


@dataclass(frozen=True, slots=True)
class Host:
    """What one machine has: GiB that CUDA gives on each GPU, and GiB of memory that this process
    and its children may take; None where it can't be read or doesn't count.
    """

    gpus: tuple[float, ...] = ()
    memory_gib: float | None = None


@dataclass(frozen=True, slots=True)
class Sized:
    """A tier with all that its memory depends on."""

    model: Model
    load: Load


def sized(tier: TierSettings, host: Host, *, embeds: bool = False) -> Sized | Unknown:
    """What the tier loads and onto what, or what of it is not known. `embeds`: it is an embedder's
    model, which has no output layer and samples nothing.
    """
    engine = tier.backend
    assert isinstance(engine, VllmEngine)
    model = find_model(
        engine.source or tier.model,
        revision=engine.revision,
        quantization=engine.quantization,
        like=engine.architecture,
    )
    if isinstance(model, Unknown):
        return model
    capacity = _capacity(engine, host)
    if isinstance(capacity, Unknown):
        return capacity
    if embeds:
        model = replace(model, shape=model.shape.model_copy(update={"head": False}))
    return Sized(model, _load(tier, engine, model, round(capacity * GIB)))


def _capacity(engine: VllmEngine, host: Host) -> float | Unknown:
    """GiB of one GPU, or of the host."""
    if engine.accelerator == "cpu":
        if host.memory_gib is None:
            return Unknown("how much memory its host has is not known here")
        return host.memory_gib - HOST_RESERVE_GIB
    if engine.gpu_memory_gib is not None:
        return engine.gpu_memory_gib
    if engine.accelerator_type is not None:
        found = gpu_gib(engine.accelerator_type)
        missing = f"how much memory a GPU of type {engine.accelerator_type} has is not known"
        return found if found is not None else Unknown(f"{missing}: set gpu_memory_gib")
    if host.gpus:
        return min(host.gpus)
    return Unknown("its GPU is not known here: set accelerator_type or gpu_memory_gib")


def _load(tier: TierSettings, engine: VllmEngine, model: Model, capacity: int) -> Load:
    cpu = engine.accelerator == "cpu"
    args = engine.engine_args
    number = 4 if engine.dtype == "float32" else 2  # `auto` serves wider checkpoints in half
    kv_gib = engine.cpu_kv_cache_gib if cpu else engine.gpu_kv_cache_gib
    adapters = engine.adapters
    return Load(
        shape=model.shape,
        weights=model.weights,
        dtype_bytes=number,
        value_bytes=1 if engine.kv_cache_dtype == "fp8" else number,
        capacity=capacity,
        max_length=tier.context_tokens,
        max_seqs=engine.max_num_seqs,
        batched_tokens=_whole(args, "max_num_batched_tokens") or _batched_tokens(engine, capacity),
        tensor_parallel=engine.tensor_parallel,
        pipeline_parallel=engine.pipeline_parallel,
        utilization=engine.gpu_memory_utilization,
        share=1 / engine.workers if cpu else engine.gpu_share,
        kv_bytes=None if kv_gib is None else int(kv_gib * GIB),
        graphs=not cpu and not args.get("enforce_eager", False),
        adapters=adapters.max_loaded if adapters is not None else 0,
        adapter_rank=adapters.max_rank if adapters is not None else 16,
        cpu=cpu,
    )


def _batched_tokens(engine: VllmEngine, capacity: int) -> int:
    """The tokens of one forward pass that a vLLM server takes by default: more on large GPUs."""
    if engine.accelerator == "cpu":
        return 2_048 * engine.workers
    if capacity >= 160 * GIB:
        return 16_384
    a100 = (engine.accelerator_type or "").startswith("A100")
    return 8_192 if capacity >= 70 * GIB and not a100 else 2_048


def _whole(args: dict[str, Any], name: str) -> int | None:
    value = args.get(name)
    return value if isinstance(value, int) and value > 0 else None
