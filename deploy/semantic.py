"""The semantic cache's wiring: the memory in this process, and the wrapper around the cascade."""

import asyncio
import importlib.util
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial

from cache.decision import shipped
from cache.embedder.base import Model, TextEmbedder
from cache.embedder.batched import BatchedEmbedder
from cache.embedder.load import load_model
from cache.embedder.served import Remote
from cache.semantic.agree import Agreement, data
from cache.semantic.audit import Audits
from cache.semantic.cached import SemanticCached
from cache.semantic.cuts import Cuts
from cache.semantic.local import LocalMemory
from cache.semantic.memory import Memory
from cache.semantic.settings import ShelfSettings
from cache.semantic.shelf import Shelf
from cache.semantic.upkeep import Upkeep
from cache.semantic.verify import Verifier
from router.budget import DailyBudget
from router.compare import compare
from router.live import Tasks
from router.rung import Rung
from router.validators.base import Validators
from serving.backend import Backend, Embedder
from serving.costs.ledger import Ledger
from serving.costs.spent import spent_today
from serving.errors import ConfigError
from serving.settings.local import LocalEngine
from serving.settings.root import Settings
from serving.settings.semantic import SemanticSettings
from serving.settings.tasks import SpotCheckSettings, TaskSettings
from serving.storage.database import Database
from serving.storage.epochs import EpochStore
from serving.storage.semantic import SemanticEvidence, SemanticOrders
from serving.telemetry.metrics import Metrics
from serving.telemetry.semantic import SemanticMetrics
from serving.wire.chat import ChatRequest, Message
from serving.wire.completion import Choice

EXTRA = ("numpy", "faiss", "onnx", "onnxruntime", "safetensors", "tokenizers")
REMOTE_TIMEOUT_S = 10.0
PROBE = "How many numbers does a vector have?"

_NOBODY = ChatRequest(model="auto", messages=[Message(role="user", content="")])


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a memory needs of the stack around it. `on_purge` is called when entries were purged by
    another process.
    """

    settings: Settings
    database: Database
    embedders: Mapping[str, Embedder]
    metrics: SemanticMetrics
    stack: AsyncExitStack
    on_purge: list[Callable[[], None]] = field(default_factory=list)


MemorySource = Callable[[Surroundings], Awaitable[Memory]]
"""The stack closes it."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """The memory, and who else wants to hear of purges."""

    memory: Memory
    on_purge: list[Callable[[], None]]


async def memory_for(
    settings: Settings,
    database: Database,
    embedders: Mapping[str, Embedder],
    *,
    metrics: Metrics,
    source: MemorySource,
    stack: AsyncExitStack,
) -> Remembered | None:
    """None where no semantic cache is wanted."""
    if not settings.cache.semantic.enabled or settings.mode == "observe":
        return None
    around = Surroundings(settings, database, embedders, metrics.semantic, stack)
    return Remembered(await source(around), around.on_purge)


def check_extra() -> None:
    """`ConfigError` where the semantic cache is wanted and its packages are missing."""
    missing = [name for name in EXTRA if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"cache.semantic needs {', '.join(missing)}: pip install 'stepwell[cache]', or set"
            " cache.semantic.enabled to false"
        )


async def open_memory(around: Surroundings) -> LocalMemory:
    """In this process. `ConfigError` where the extra or the model is missing."""
    settings = around.settings.cache.semantic
    embedder, dimensions = await open_embedder(around.settings, around.embedders, around.stack)
    epochs, evidence = EpochStore(around.database), SemanticEvidence(around.database)
    newest = (await epochs.changes(None)).newest
    reopen = partial(
        Shelf.open,
        around.database,
        embedder=embedder.name,
        dimensions=dimensions,
        settings=shelf_settings(settings),
    )
    tasks = _tasks(around.settings)
    memory = LocalMemory(
        embedder=embedder,
        shelf=await reopen(),
        decision=shipped(),
        cuts=Cuts(tasks, await evidence.thresholds(), around.metrics),
        agreement=Agreement(compare_answers, embedder),
        evidence=evidence,
        tasks=tasks,
        metrics=around.metrics,
        verifies=settings.verifier is not None,
    )
    upkeep = Upkeep(
        memory,
        epochs=epochs,
        orders=SemanticOrders(around.database),
        evidence=evidence,
        reopen=reopen,
        on_purge=around.on_purge,
        metrics=around.metrics,
        poll_s=settings.poll_s,
        newest=newest,
    )
    upkeep.start()
    around.stack.push_async_callback(upkeep.close)
    return memory


async def open_embedder(
    settings: Settings, embedders: Mapping[str, Embedder], stack: AsyncExitStack
) -> tuple[TextEmbedder, int]:
    """With the length of its vectors. One of the configuration's own, asked where it is; else a
    model that runs here, which may have to be downloaded first.
    """
    check_extra()
    semantic = settings.cache.semantic
    source, threads = semantic.embedder, semantic.threads
    tier = settings.embedder(source)
    if tier is not None and isinstance(tier.backend, LocalEngine):
        # A copy of its own, so that a lookup is neither metered nor behind somebody's long list.
        source, threads = tier.backend.source or tier.model, tier.backend.threads
    elif tier is not None:
        remote = Remote(embedders[tier.name], name=tier.model, timeout_s=REMOTE_TIMEOUT_S)
        return remote, int((await remote.embed([PROBE])).shape[1])
    model: Model = await asyncio.to_thread(load_model, source, threads=threads)
    batched = BatchedEmbedder(model)
    stack.push_async_callback(batched.close)
    return batched, model.dimensions


def shelf_settings(settings: SemanticSettings) -> ShelfSettings:
    return ShelfSettings(
        max_bytes=settings.max_bytes,
        max_entry_bytes=settings.max_entry_bytes,
        index=settings.index,
    )


def semantic_cached(
    inner: Backend,
    memory: Memory,
    *,
    settings: Settings,
    rungs: Sequence[Rung],
    tasks: Tasks,
    database: Database,
    ledger: Ledger,
    metrics: SemanticMetrics,
    stack: AsyncExitStack,
) -> SemanticCached:
    """The wrapper around `inner`, which also answers its audits."""
    semantic = settings.cache.semantic
    audits = Audits(
        inner=inner,
        memory=memory,
        settings=semantic,
        budget=DailyBudget(
            semantic.audits.max_usd_per_day, partial(spent_today, database, kind="cache_check")
        ),
        most_usd=partial(most_usd, rungs),
        metrics=metrics,
    )
    cached = SemanticCached(
        inner,
        memory=memory,
        tasks=tasks,
        ledger=ledger,
        settings=semantic,
        audits=audits,
        metrics=metrics,
        max_entry_bytes=settings.cache.max_entry_bytes,
        verifier=_verifier(semantic, rungs),
    )
    stack.push_async_callback(cached.close)
    stack.push_async_callback(audits.close, settings.server.drain_s)
    return cached


def _verifier(settings: SemanticSettings, rungs: Sequence[Rung]) -> Verifier | None:
    if settings.verifier is None:
        return None
    rung = next(rung for rung in rungs if rung.name == settings.verifier)
    return Verifier(rung.name, rung.backend, partial(most_usd, [rung]))


def compare_answers(stored: Choice, fresh: Choice, task: TaskSettings) -> bool | None:
    """As spot checks compare; under `structured` only what has a structure."""
    semantic = task.cache.semantic
    if semantic.compare == "structured" and not (data(stored) and data(fresh)):
        return None
    words = semantic.compare == "similarity" and not data(stored)
    how = SpotCheckSettings(
        compare="similarity" if words else "exact", min_similarity=semantic.min_similarity
    )
    return compare(stored, fresh, how=how, validators=Validators(()), request=_NOBODY).agreed


def most_usd(rungs: Sequence[Rung], request: ChatRequest) -> Decimal | None:
    """What a request may cost if it climbs from the first tier to the last; None where one of them
    has no known price.
    """
    total = Decimal(0)
    for rung in rungs:
        usd = rung.most_usd(request)
        if usd is None:
            return None
        total += usd
    return total


def _tasks(settings: Settings) -> Callable[[str], TaskSettings]:
    known = {task.name: task for task in settings.tasks}
    return lambda name: known.get(name, settings.default_task)
