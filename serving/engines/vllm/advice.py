"""What to change where a model doesn't fit: each change named was tried, and fits."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations

from serving.engines.vllm.memory import CONTEXT, GIB, Load, MemoryPlan, plan
from serving.engines.vllm.shapes import Weights

PIECE = 256  # advised lengths are multiples of it
HALF = GIB // 2  # and KV caches of it
MOST_UTILIZATION = 0.95
FEWER_BATCHED_TOKENS = 2_048
QUANTISED = (Weights(name="FP8", bits=8), Weights(name="4-bit", bits=4.15625))

Change = tuple[str, dict[str, object]]


def why_not(load: Load, found: MemoryPlan) -> str:
    """The reason in numbers why `found`, the plan of `load`, doesn't fit."""
    what = "this host" if load.cpu else "one GPU"
    mine = load.share * load.capacity
    needs = (
        f"weights {gib(found.weights)} and {gib(found.overhead)} of working memory"
        f" of {gib(found.budget)}"
    )
    if found.kv_pool <= 0:
        return f"{needs} on {what} leave {gib(found.kv_pool)} for the KV cache"
    if found.claim > mine:
        outside = f", CUDA's context {gib(found.outside)}" if found.outside else ""
        return (
            f"it takes {gib(found.claim)} (weights {gib(found.weights)}, working memory"
            f" {gib(found.overhead)}, KV cache {gib(found.kv_pool)}{outside}) and may take"
            f" {gib(mine)} on {what}"
        )
    return (
        f"{needs} on {what} leave {gib(found.kv_pool)}, room for {found.kv_tokens:,} tokens at"
        f" {found.kv_bytes_per_token / 1024:g} KiB; one request of context_tokens"
        f" {found.max_length:,} needs {gib(found.max_length * found.kv_bytes_per_token)}"
    )


def advice(load: Load) -> tuple[str, ...]:
    """Changes of settings that make it fit, one each, else two together; what they leave for the
    KV cache stands with each. Of several values of the same settings, the smallest change.
    """
    changes = list(_changes(load))
    for together in (1, 2):
        found: dict[frozenset[str], str] = {}
        for some in combinations(changes, together):
            text = _tried(load, some)
            if text is not None:
                found.setdefault(frozenset(name.split(":")[0] for name, _ in some), text)
        if found:
            return tuple(found.values())
    return ()


def gib(size: float) -> str:
    return f"{size / GIB:.1f} GiB"


def _tried(load: Load, changes: tuple[Change, ...]) -> str | None:
    fields = {name: value for _, change in changes for name, value in change.items()}
    if len(fields) < sum(len(change) for _, change in changes):
        return None  # two values of one setting
    found = plan(replace(load, **fields))  # type: ignore[arg-type]  # names stand in _changes
    if not found.fits:
        return None
    return f"{' and '.join(text for text, _ in changes)} ({found.kv_tokens:,} tokens)"


def _changes(load: Load) -> Iterator[Change]:
    """What could help, the smallest change first."""
    room = plan(load).kv_tokens // PIECE * PIECE
    if PIECE <= room < load.max_length:
        yield f"context_tokens: {room}", {"max_length": room}
    if load.batched_tokens > FEWER_BATCHED_TOKENS:
        few = FEWER_BATCHED_TOKENS
        yield f"engine_args.max_num_batched_tokens: {few}", {"batched_tokens": few}
    if load.value_bytes > 1 and not load.cpu:
        yield "kv_cache_dtype: fp8", {"value_bytes": 1}
    yield from _other_pools(load)
    if load.share == 1 and not load.cpu:
        for workers in (2, 4, 8):
            if workers > load.tensor_parallel and load.shape.splits(workers):
                yield f"tensor_parallel: {workers}", {"tensor_parallel": workers}
    stored = load.weights.linear_bytes(load.dtype_bytes)
    for weights in QUANTISED:
        if weights.linear_bytes(load.dtype_bytes) < stored and not load.cpu:
            yield f"a checkpoint in {weights.name}", {"weights": weights}


def _other_pools(load: Load) -> Iterator[Change]:
    """Another size of the KV cache."""
    if load.kv_bytes is None:
        most = min(MOST_UTILIZATION, (load.share * load.capacity - CONTEXT) / load.capacity)
        most = int(most * 100) / 100
        if most != load.utilization and most > 0:
            yield f"gpu_memory_utilization: {most:g}", {"utilization": most}
        return
    free = load.share * load.capacity - plan(replace(load, kv_bytes=0)).claim
    size = int(free // HALF) * HALF
    if size <= 0 or size == load.kv_bytes:
        return
    setting = "cpu_kv_cache_gib" if load.cpu else "gpu_kv_cache_gib"
    yield f"{setting}: {size / GIB:g}", {"kv_bytes": size}
