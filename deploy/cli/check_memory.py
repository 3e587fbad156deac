"""What `check` says of the memory of vLLM tiers. Pure: what the host has is given."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from deploy.cli.findings import Finding
from serving.costs.breakeven import Mix
from serving.engines.vllm.advice import advice, gib, why_not
from serving.engines.vllm.checkpoint import Unknown
from serving.engines.vllm.memory import GIB, MemoryPlan, plan
from serving.engines.vllm.sizing import Host, Sized, sized
from serving.settings.root import Settings
from serving.settings.tiers import TierSettings
from serving.settings.vllm import VllmEngine

LONGER = "VLLM_ALLOW_LONG_MAX_MODEL_LEN"
NO_FIT = "take a smaller model or more memory"


@dataclass(frozen=True, slots=True)
class TierMemory:
    """One vLLM tier or embedder. `devices` are GPUs of all its replicas, shares added up; `plan` is
    of one GPU (or of one worker on a CPU), None with the reason in `unknown`. `at_length` and
    `at_typical` are the requests that run at once, all of them of the greatest or of the typical
    length.
    """

    tier: str
    model: str
    found: str | None
    weights: str | None
    hardware: str
    devices: float
    plan: MemoryPlan | None
    fits: bool | None
    at_length: int | None
    at_typical: int | None
    unknown: str | None


@dataclass(frozen=True, slots=True)
class Server:
    """A tier or embedder on vLLM; `where` is the path of its settings."""

    where: str
    tier: TierSettings
    engine: VllmEngine
    sized: Sized | Unknown

    @property
    def devices(self) -> float:
        return self.tier.most_replicas * self.engine.workers * self.engine.gpu_share


def memory_of(settings: Settings, host: Host, mix: Mix) -> tuple[TierMemory, ...]:
    """The plans of all that vLLM serves."""
    return tuple(_view(server, mix) for server in _servers(settings, host))


def memory_findings(settings: Settings, host: Host) -> Iterator[Finding]:
    """What can't fit, with the numbers and what to change; what could not be computed."""
    servers = list(_servers(settings, host))
    for server in servers:
        if isinstance(server.sized, Unknown):
            message = f"the memory plan can't be computed: {server.sized.reason}"
            yield Finding("warning", f"{server.where}.backend", message)
        else:
            yield from _fit(server, server.sized)
    yield from _together(servers)
    yield from _gpus(servers, host)


def _servers(settings: Settings, host: Host) -> Iterator[Server]:
    both = ((settings.tiers, "tiers", False), (settings.embedders, "embedders", True))
    for tiers, kind, embeds in both:
        for tier in tiers:
            if isinstance(tier.backend, VllmEngine):
                found = sized(tier, host, embeds=embeds)
                yield Server(f"{kind}.{tier.name}", tier, tier.backend, found)


def _view(server: Server, mix: Mix) -> TierMemory:
    tier, found = server.tier, server.sized
    known = found if isinstance(found, Sized) else None
    division = plan(known.load) if known is not None else None
    return TierMemory(
        tier=tier.name,
        model=server.engine.source or tier.model,
        found=known.model.found if known is not None else None,
        weights=known.model.weights.name if known is not None else None,
        hardware=_hardware(server.engine),
        devices=server.devices,
        plan=division,
        fits=division.fits if division is not None else None,
        at_length=division.requests_at(tier.context_tokens) if division is not None else None,
        at_typical=division.requests_at(mix.tokens) if division is not None else None,
        unknown=found.reason if isinstance(found, Unknown) else None,
    )


def _hardware(engine: VllmEngine) -> str:
    if engine.accelerator == "cpu":
        return "CPU"
    named = engine.accelerator_type or "GPU"
    if engine.gpu_memory_gib is not None:
        named += f" of {engine.gpu_memory_gib:g} GiB"
    return named if engine.gpu_share == 1 else f"{engine.gpu_share:g} of {named}"


def _fit(server: Server, found: Sized) -> Iterator[Finding]:
    engine, load, shape = server.engine, found.load, found.model.shape
    where = f"{server.where}.backend"
    if not shape.splits(engine.tensor_parallel):
        message = (
            f"{shape.heads} attention heads and {shape.kv_heads} key-value heads can't be shared"
            f" out among tensor_parallel {engine.tensor_parallel} GPUs"
        )
        yield Finding("error", where, message)
        return
    division = plan(load)
    if not division.fits:
        change = "; or ".join(advice(load)) or NO_FIT
        message = f"does not fit: {why_not(load, division)}. What would fit: {change}"
        yield Finding("error", where, message)
    elif engine.gpu_share < 1 and load.kv_bytes is None:
        message = (
            "shares its GPU: while it starts, vLLM counts what others take on it at that time as"
            " its own, so its KV cache may come out small; fix its size:"
            f" gpu_kv_cache_gib: {division.kv_pool // GIB}"
        )
        yield Finding("warning", where, message)
    elif engine.gpu_memory_utilization > engine.gpu_share:
        message = (
            f"starts only while {engine.gpu_memory_utilization:.0%} of its GPU is free, and"
            f" {engine.gpu_share:.0%} is its own: lower gpu_memory_utilization"
        )
        yield Finding("warning", where, message)
    if load.max_length > shape.positions:
        yield _too_long(server, load.max_length, shape.positions)


def _too_long(server: Server, asked: int, positions: int) -> Finding:
    longer = f"{asked:,} tokens are more than the {positions:,} the model was made for"
    where, engine = f"{server.where}.context_tokens", server.engine
    if "hf_overrides" in engine.engine_args or engine.environment.get(LONGER) == "1":
        return Finding("warning", where, f"{longer}: its answers may be worthless beyond them")
    return Finding("error", where, f"{longer}: vLLM refuses to start; lower it to {positions}")


def _together(servers: Sequence[Server]) -> Iterator[Finding]:
    """What runs on CPUs shares one memory."""
    taken: dict[str, int] = {}
    capacity = 0
    for server in servers:
        if isinstance(server.sized, Sized) and server.sized.load.cpu:
            load, capacity = server.sized.load, server.sized.load.capacity
            replicas = server.tier.most_replicas
            taken[server.tier.name] = plan(load).claim * load.workers * replicas
    if len(taken) > 1 and sum(taken.values()) > capacity:
        each = ", ".join(f"{name} {gib(size)}" for name, size in taken.items())
        message = f"together they need {gib(sum(taken.values()))} ({each}) of {gib(capacity)}"
        yield Finding("error", "tiers", f"{message} on this host's CPU: {NO_FIT}")


def _gpus(servers: Sequence[Server], host: Host) -> Iterator[Finding]:
    """How many GPUs Ray must find."""
    asked = {s.tier.name: s.devices for s in servers if s.engine.accelerator == "gpu"}
    if not asked:
        return
    each = ", ".join(f"{name} {number:g}" for name, number in asked.items())
    total = f"asks Ray for GPUs: {each}; {sum(asked.values()):g} in all"
    if host.gpus and sum(asked.values()) > len(host.gpus):
        message = f"{total}, and this host has {len(host.gpus)}: others must join the cluster"
        yield Finding("warning", "tiers", message)
    else:
        yield Finding("note", "tiers", total)
