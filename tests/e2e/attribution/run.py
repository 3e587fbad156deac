"""The stream through the whole stack, with any set of levers switched on.

Everything is drawn from a seed and goes by one clock that stands still between requests, and what a
request leaves behind (its check, an answer to be kept) is over before the next one comes, so that
two runs differ only in what their levers do. Lines of batches come last, in one file. The local
tier counts prompts as Claude does where `one_tokenizer` says so: then all tiers bill the same
tokens, and a baseline is no estimate.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from deploy.adapters import Adapter, open_adapters
from deploy.build import opened
from serving.api.app import create_app
from serving.backend import Backend, Call, ChunkStream
from serving.costs.report import Line, compute
from serving.engines.mock.engine import MockBackend
from serving.hosted.emulator.app import Emulator, create_emulator
from serving.hosted.emulator.clock import Clock
from serving.hosted.emulator.positions import positions
from serving.hosted.emulator.server import EmulatorServer
from serving.hosted.emulator.wire import MessagesRequest
from serving.hosted.models import catalog
from serving.hosted.translate.request import Target, to_anthropic
from serving.settings.emulator import EmulatorBatches
from serving.settings.root import Settings
from serving.settings.tiers import MockEngine, TierSettings
from serving.storage.database import Database
from serving.storage.work import hosted_batches
from serving.telemetry.metrics import Metrics
from serving.wire.chat import ChatRequest
from serving.wire.completion import Completion
from tests.e2e.attribution.lines import answered
from tests.e2e.attribution.workload import (
    BATCH,
    EXACT,
    FLEX,
    PROMPT_CACHING,
    ROUTING,
    SEMANTIC,
    Ask,
)

OPUS, SONNET = "claude-opus-4-8", "claude-sonnet-5"
GAP_S = 2.0
SETTLES_S = 60.0
LASTING = frozenset({"embedder"})
"""Tasks that a request may begin and that go on for good."""
AT_ONCE = {
    "enabled": True,
    "concurrency": 1,  # so that lines are asked in their order
    "poll_s": 0.1,
    "flush_s": 0.05,
    "hosted_poll_s": 0.1,
    "hosted_poll_max_s": 0.2,
}


@dataclass(frozen=True, slots=True)
class Replayed:
    """What the ledger says of a run, and what the emulator billed, USD. `in_batches`: lines that
    were answered by providers' batches, in as many turns as they needed.
    """

    on: frozenset[str]
    line: Line
    billed: Decimal
    hosted: Decimal
    in_batches: int

    @property
    def spend(self) -> Decimal:
        return self.line.spend_usd

    def part(self, lever: str) -> Decimal:
        usd: Decimal = getattr(self.line.parts, lever)
        return usd

    @property
    def overhead(self) -> Decimal:
        """Checks, and what came to nothing: never positive."""
        return self.line.parts.checks + self.line.parts.unanswered


async def replay(
    asks: Sequence[Ask], on: frozenset[str], folder: Path, *, one_tokenizer: bool = True
) -> Replayed:
    """The stream with these levers on, its state under `folder`, which must be empty."""
    async with AsyncExitStack() as stack:
        run = _Run(asks, on, folder, one_tokenizer=one_tokenizer)
        emulator = await run.start(stack)
        await run.ask_all()
        await stack.aclose()  # what checks and the ledger still have to say is written
    database = await Database.open(run.url)
    try:
        report = await compute(database, [], by=["tier"])
        in_batches = await _in_batches(database)
    finally:
        await database.close()
    tiers = {line.name: line.spend_usd for line in report.breakdowns[0].lines}
    hosted = tiers.get("sonnet", Decimal(0)) + tiers.get("opus", Decimal(0))
    return Replayed(on, report.total, emulator.account.total().usd, hosted, in_batches)


async def _in_batches(database: Database) -> int:
    async with database.read() as connection:
        query = select(func.sum(hosted_batches.c.lines)).where(hosted_batches.c.state == "done")
        return int((await connection.execute(query)).scalar_one() or 0)


class _Run:
    def __init__(
        self, asks: Sequence[Ask], on: frozenset[str], folder: Path, *, one_tokenizer: bool
    ) -> None:
        self._asks, self._on, self._folder = asks, on, folder
        self._one_tokenizer = one_tokenizer
        self._clock = Clock(movable=True, running=False)
        self.url = f"sqlite:///{folder / 'ledger.db'}"

    async def start(self, stack: AsyncExitStack) -> Emulator:
        emulator = create_emulator(
            {model: _claude(model) for model in (OPUS, SONNET)},
            batches=EmulatorBatches(delay_s=0.0, requests_per_s=100_000.0),
            clock=self._clock,
        )
        server = EmulatorServer(emulator)
        url = await server.start()
        stack.push_async_callback(server.stop)
        settings = Settings.model_validate(self._config(url))
        service = await stack.enter_async_context(opened(settings, self._adapters))
        self._backend = service.backend
        gateway = EmulatorServer(create_app(service))
        self._url = await gateway.start()
        stack.push_async_callback(gateway.stop)
        return emulator

    async def ask_all(self) -> None:
        pinned = ROUTING not in self._on
        for ask in self._asks:
            if ask.how != "batch":
                await self._clock.advance(GAP_S)
                async with settled():
                    await self._live(ask, ask.body(pinned=pinned))
        lines = {f"ask-{a.number}": a.body(pinned=pinned) for a in self._asks if a.how == "batch"}
        await answered(self._url, lines)

    async def _live(self, ask: Ask, body: Mapping[str, Any]) -> None:
        flex = ask.how == "flex" and FLEX in self._on
        call = Call(
            request_id=f"req_{ask.number}",  # from which it follows what is checked
            tenant="default",
            deadline=time.monotonic() + 60,
            task="desk",
            feature="desk",
            urgency="offline" if flex else "interactive",
            service="flex" if flex else "live",
        )
        await self._backend.complete(ChatRequest.model_validate(body), call)

    async def _adapters(
        self, tiers: Sequence[TierSettings], stack: AsyncExitStack, metrics: Metrics
    ) -> Mapping[str, Adapter]:
        found = await open_adapters(tiers, stack, metrics, clock=self._clock)
        if self._one_tokenizer:
            local = found["local"]
            found["local"] = replace(local, backend=_Recounted(local.backend))
        return found

    def _config(self, url: str) -> dict[str, Any]:
        desk = {
            "name": "desk",
            "cache": {
                "enabled": EXACT in self._on,  # the semantic cache needs it
                "semantic": {"delta": 0.1, "audit": 0.0},
            },
            "spot_check": {"share": 0.2, "reference": "opus"},
        }
        return {
            "tiers": self._tiers(url),
            "tasks": [desk, {"name": "nightly"}],
            "spot_checks": {"max_usd_per_day": 1_000, "max_concurrent": 1},
            "cache": {"semantic": {"enabled": SEMANTIC in self._on, "deadline_ms": 10_000}},
            "batch": {
                **AT_ONCE,
                "files_dir": str(self._folder / "files"),
                "hosted": BATCH in self._on,
            },
            "conversations": {"enabled": False},
            "storage": {"url": self.url, "flush_interval_s": 0.05},
            "log": {"level": "error"},
        }

    def _tiers(self, url: str) -> list[dict[str, Any]]:
        (self._folder / "key").write_text("sk-ant-a-test")
        claude = {
            "engine": "anthropic",
            "base_url": url,
            "api_key_file": str(self._folder / "key"),
            "prompt_cache": {"mode": "auto" if PROMPT_CACHING in self._on else "off"},
        }
        local = {
            "name": "local",
            "model": "mock-local",
            "backend": {
                "engine": "mock",
                "ability": 0.3,
                "signal": 1.0,
                "time_scale": 0,
                "seed": 3,
            },
            "price": {"kind": "tokens", "input_per_mtok": 0.1, "output_per_mtok": 0.4},
            "gate": {"min_mean": -0.2, "min_window": -4.0},
            "retries": 0,
        }
        sonnet = {"name": "sonnet", "model": SONNET, "backend": claude, "effort": "none"}
        return [local, sonnet, {"name": "opus", "model": OPUS, "backend": claude}]


@asynccontextmanager
async def settled() -> AsyncIterator[None]:
    """What was begun within has ended, too."""
    before = asyncio.all_tasks()
    yield
    begun = {t for t in asyncio.all_tasks() - before if t.get_name() not in LASTING}
    if begun:
        _, left = await asyncio.wait(begun, timeout=SETTLES_S)
        assert not left, left


class _Recounted:
    """A local tier whose model splits text as Claude's does."""

    def __init__(self, inner: Backend) -> None:
        self._inner = inner

    async def complete(self, request: ChatRequest, call: Call) -> Completion:
        completion = await self._inner.complete(request, call)
        usage = replace(completion.usage, prompt_tokens=claude_tokens(request))
        return replace(completion, usage=usage)

    def stream(self, request: ChatRequest, call: Call) -> ChunkStream:
        raise NotImplementedError("nothing is streamed here")


def claude_tokens(request: ChatRequest) -> int:
    """Of the prompt, as the emulator counts them for the baseline's model."""
    found = to_anthropic(request, Target(OPUS, 1_024), catalog())
    prompt = MessagesRequest.model_validate(found.kwargs)
    return positions(prompt, catalog().ability(OPUS))[-1].tokens


def _claude(model: str) -> MockBackend:
    engine = MockEngine(engine="mock", ability=20.0, time_scale=0, logprobs=False, seed=3)
    return MockBackend(TierSettings(name="claude", model=model, backend=engine), engine)
