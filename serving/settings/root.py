"""The whole configuration: one frozen tree, checked as a whole."""

import ipaddress
from collections import Counter
from typing import Literal

from pydantic import Field, model_validator

from serving.settings.base import EnvName, Frozen, Name, Seconds
from serving.settings.batch import BatchSettings
from serving.settings.conversations import ConversationSettings
from serving.settings.embedders import check_embedder, check_tier
from serving.settings.keys import KeySettings
from serving.settings.responses import ResponseSettings
from serving.settings.semantic import SemanticSettings
from serving.settings.tasks import SpotCheckBudget, TaskSettings
from serving.settings.tiers import TierSettings
from serving.settings.vllm import VllmEngine


class ServerSettings(Frozen):
    """Where the endpoint listens. Listening beyond loopback needs API keys."""

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65_535)
    drain_s: Seconds = 30.0

    @property
    def loopback(self) -> bool:
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


class LimitSettings(Frozen):
    """Limits on a request, enforced before parsing costs memory. `max_json_nodes` bounds the
    number of JSON values in a body, `max_depth` its nesting.
    """

    max_body_bytes: int = Field(default=4_000_000, ge=1_024)
    max_depth: int = Field(default=64, ge=8, le=200)
    max_json_nodes: int = Field(default=200_000, ge=100)
    max_messages: int = Field(default=1_000, ge=1)
    max_tools: int = Field(default=128, ge=1)
    max_choices: int = Field(default=8, ge=1)
    max_concurrent: int = Field(default=512, ge=1)


class StreamSettings(Frozen):
    """A held stream sends nothing for `hold_s`, so that errors can still be HTTP errors; then 200
    and a comment every `heartbeat_s`.
    """

    hold_s: Seconds = 10.0
    heartbeat_s: Seconds = 10.0


class StorageSettings(Frozen):
    """`url` is a SQLAlchemy URL (sqlite:///… or postgresql://…); default: a SQLite file in the data
    directory. `url_env` names an environment variable that holds it instead.
    """

    url: str | None = None
    url_env: EnvName | None = None
    flush_interval_s: Seconds = 0.5
    max_buffered_rows: int = Field(default=10_000, ge=1)

    @model_validator(mode="after")
    def _one_url(self) -> "StorageSettings":
        if self.url and self.url_env:
            raise ValueError("give url or url_env, not both")
        return self


class CacheSettings(Frozen):
    """The exact cache of each gateway: bytes of all its entries together, 0 switches it off.

    `shared`: other processes keep caches for the same clients, so each asks the database every
    `l1_poll_s` what the others evicted, and keeps no entry longer than `l1_ttl_s`. Default: shared
    under `runtime: ray`, not under `inline`. `semantic` is the cache behind it.
    """

    max_bytes: int = Field(default=64_000_000, ge=0)
    max_entry_bytes: int = Field(default=1_000_000, ge=1)
    shared: bool | None = None
    l1_ttl_s: Seconds = 60.0
    l1_poll_s: Seconds = 1.0
    semantic: SemanticSettings = SemanticSettings()

    @model_validator(mode="after")
    def _polls(self) -> "CacheSettings":
        if 2 * self.l1_poll_s > self.l1_ttl_s:
            raise ValueError("l1_poll_s may be half of l1_ttl_s at most")
        return self


class RaySettings(Frozen):
    """How `runtime: ray` is laid out: numbers of replicas. Those of a local tier stand with it."""

    gateways: int = Field(default=1, ge=1, le=64)
    egress: int = Field(default=1, ge=1, le=64)


class LogSettings(Frozen):
    """Prompts and answers stay out of logs unless `prompts` is set."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "console"] = "json"
    prompts: bool = False


class Settings(Frozen):
    """One configuration file. `tiers` are cheapest first; `baseline` names the tier that a team
    without Stepwell would have called (default: the last one). `mode: observe` sends everything
    to the baseline and only measures. `embedders` serve `/v1/embeddings`, each by its name or its
    model.
    """

    runtime: Literal["inline", "ray"] = "inline"
    ray: RaySettings = RaySettings()
    mode: Literal["cascade", "observe"] = "cascade"
    server: ServerSettings = ServerSettings()
    limits: LimitSettings = LimitSettings()
    stream: StreamSettings = StreamSettings()
    storage: StorageSettings = StorageSettings()
    cache: CacheSettings = CacheSettings()
    conversations: ConversationSettings = ConversationSettings()
    batch: BatchSettings = BatchSettings()
    responses: ResponseSettings = ResponseSettings()
    log: LogSettings = LogSettings()
    rates: str | None = Field(default=None, description="a rate card YAML beside the built-in one")
    request_deadline_s: Seconds = 120.0
    flex_deadline_s: Seconds = Field(default=900.0, description="of requests that can wait")
    tiers: tuple[TierSettings, ...] = Field(min_length=1, max_length=32)
    embedders: tuple[TierSettings, ...] = Field(default=(), max_length=32)
    baseline: Name | None = None
    aliases: dict[str, Name] = Field(
        default_factory=dict,
        description="model names that clients send, to `auto`, a tier or an embedder",
    )
    tasks: tuple[TaskSettings, ...] = Field(default=(), max_length=200)
    default_task: TaskSettings = TaskSettings(name="default")
    spot_checks: SpotCheckBudget = SpotCheckBudget()
    keys: tuple[KeySettings, ...] = Field(default=(), max_length=10_000)

    @property
    def baseline_tier(self) -> TierSettings:
        return self.tier(self.baseline) if self.baseline else self.tiers[-1]

    @property
    def shares_cache(self) -> bool:
        """Whether other processes keep caches for the same clients."""
        return self.runtime == "ray" if self.cache.shared is None else self.cache.shared

    def tier(self, name: str) -> TierSettings:
        """The tier of that name; `KeyError` where there is none."""
        return next(t for t in self.tiers if t.name == name)

    def embedder(self, name: str) -> TierSettings | None:
        """The embedder of that name, else the first one of that model; None where there is none."""
        named = (e for e in self.embedders if e.name == name)
        return next(named, next((e for e in self.embedders if e.model == name), None))

    def task(self, name: str) -> TaskSettings | None:
        """The task class of that name, None where there is none."""
        return next((t for t in (*self.tasks, self.default_task) if t.name == name), None)

    @model_validator(mode="after")
    def _names(self) -> "Settings":
        tiers = [t.name for t in self.tiers]
        embedders = [e.name for e in self.embedders]
        _unique("tiers and embedders", [*tiers, *embedders])
        _unique("tasks", [t.name for t in (*self.tasks, self.default_task)])
        _unique("keys", [k.id for k in self.keys])
        if "auto" in (*tiers, *embedders):
            raise ValueError("tiers: 'auto' is the name of the cascade, not of a tier")
        for where, name in self._references():
            if where.startswith("aliases.") and name in {"auto", *embedders}:
                continue
            if name is not None and name not in tiers:
                raise ValueError(f"{where}: no tier {name!r}; known: {', '.join(tiers)}")
        for task in (*self.tasks, self.default_task):
            if task.start and task.max and tiers.index(task.start) > tiers.index(task.max):
                raise ValueError(f"tasks.{task.name}: start stands above max")
        if not self.keys and not self.server.loopback:
            raise ValueError(
                f"server.host: {self.server.host} is not loopback; listening there needs `keys`"
            )
        return self

    @model_validator(mode="after")
    def _backends(self) -> "Settings":
        for tier in self.tiers:
            check_tier(tier)
        for embedder in self.embedders:
            check_embedder(embedder)
        for where, some in (("tiers", self.tiers), ("embedders", self.embedders)):
            for one in some:
                if isinstance(one.backend, VllmEngine) and self.runtime != "ray":
                    raise ValueError(f"{where}.{one.name}: vLLM runs on Ray; set `runtime: ray`")
        return self

    def _references(self) -> list[tuple[str, str | None]]:
        found: list[tuple[str, str | None]] = [("baseline", self.baseline)]
        found.append(("cache.semantic.verifier", self.cache.semantic.verifier))
        found += [(f"aliases.{alias}", name) for alias, name in self.aliases.items()]
        for task in (*self.tasks, self.default_task):
            where = f"tasks.{task.name}"
            found += [(f"{where}.start", task.start), (f"{where}.max", task.max)]
            found.append((f"{where}.spot_check.reference", task.spot_check.reference))
            found += [(f"{where}.gates", name) for name in task.gates]
        found += [(f"keys.{k.id}.limits.max_tier", k.limits.max_tier) for k in self.keys]
        return found


def _unique(where: str, names: list[str]) -> None:
    twice = sorted(name for name, times in Counter(names).items() if times > 1)
    if twice:
        raise ValueError(f"{where}: {', '.join(twice)} stands twice")
