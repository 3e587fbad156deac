"""The stream through the whole stack, with any set of levers switched on.

Everything is drawn from a seed and goes by one clock that stands still between requests, so that
two runs differ only in what their levers do. The local tier counts prompts as Claude does where
`one_tokenizer` says so: then all tiers bill the same tokens, and a baseline is no estimate.
"""

import json
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from deploy.adapters import Adapter, open_adapters
from deploy.build import opened
from serving.api.batch_lines import ChatLines
from serving.backend import Backend, Call, ChunkStream
from serving.batch.values import LineAnswer, Owner, Parked, Resumed
from serving.batches import BatchResult
from serving.costs.report import Line, compute
from serving.engines.mock.engine import MockBackend
from serving.hosted.batches import AnthropicBatches
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
from serving.telemetry.metrics import Metrics
from serving.wire.chat import ChatRequest
from serving.wire.completion import Completion
from tests.e2e.attribution.workload import (
    BATCH,
    CACHE,
    FLEX,
    PROMPT_CACHING,
    ROUTING,
    Ask,
)

OPUS, SONNET = "claude-opus-4-8", "claude-sonnet-5"
ENDPOINT = "/v1/chat/completions"
OWNER = Owner("default", None)
GAP_S = 2.0


@dataclass(frozen=True, slots=True)
class Replayed:
    """What the ledger says of a run, and what the emulator billed, USD."""

    on: frozenset[str]
    line: Line
    billed: Decimal
    hosted: Decimal

    @property
    def spend(self) -> Decimal:
        return self.line.spend_usd

    def part(self, lever: str) -> Decimal:
        parts = self.line.parts
        if lever == CACHE:
            return parts.exact_cache + parts.semantic_cache
        usd: Decimal = getattr(parts, lever)
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
    finally:
        await database.close()
    tiers = {line.name: line.spend_usd for line in report.breakdowns[0].lines}
    hosted = tiers.get("sonnet", Decimal(0)) + tiers.get("opus", Decimal(0))
    return Replayed(on, report.total, emulator.account.total().usd, hosted)


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
            batches=EmulatorBatches(delay_s=60.0, requests_per_s=1_000.0),
            clock=self._clock,
        )
        server = EmulatorServer(emulator)
        url = await server.start()
        stack.push_async_callback(server.stop)
        self._settings = Settings.model_validate(self._config(url))
        service = await stack.enter_async_context(opened(self._settings, self._adapters))
        self._backend = service.backend
        self._lines = ChatLines(service.backend, self._settings)
        return emulator

    async def ask_all(self) -> None:
        parked: dict[bytes, Parked] = {}
        for ask in self._asks:
            await self._clock.advance(GAP_S)
            body = ask.body(pinned=ROUTING not in self._on)
            if ask.how == "batch":
                line = _line(ask, body)
                if (found := await self._answer(line)) is not None:
                    parked[line] = found
            else:
                await self._live(ask, body)
        while parked:
            parked = await self._collect(parked)

    async def _live(self, ask: Ask, body: Mapping[str, Any]) -> None:
        flex = ask.how == "flex" and FLEX in self._on
        call = Call(
            request_id=f"req_{ask.number}",
            tenant="default",
            deadline=time.monotonic() + 60,
            task="desk",
            feature="desk",
            urgency="offline" if flex else "interactive",
            service="flex" if flex else "live",
        )
        await self._backend.complete(ChatRequest.model_validate(body), call)

    async def _answer(self, line: bytes, resumed: Resumed | None = None) -> Parked | None:
        parks = frozenset({"sonnet", "opus"} if BATCH in self._on else ())
        found = await self._lines.answer(
            line, ENDPOINT, OWNER, deadline_s=60.0, parks=parks, resumed=resumed
        )
        if isinstance(found, LineAnswer):
            assert found.status == 200, found.body
            return None
        return found

    async def _collect(self, parked: Mapping[bytes, Parked]) -> dict[bytes, Parked]:
        """Sends what is parked, a batch for each tier, and goes on with what comes back."""
        by_tier: dict[str, list[tuple[bytes, Parked]]] = defaultdict(list)
        for line, one in parked.items():
            by_tier[one.tier].append((line, one))
        again: dict[bytes, Parked] = {}
        for tier, waiting in by_tier.items():
            results = await self._batch(tier, [one.request for _, one in waiting])
            for (line, one), result in zip(waiting, results, strict=True):
                resumed = Resumed(one.journal, result)
                if (found := await self._answer(line, resumed)) is not None:
                    again[line] = found
        return again

    async def _batch(self, tier: str, requests: Sequence[ChatRequest]) -> list[BatchResult]:
        backend = AnthropicBatches(self._settings.tier(tier))
        try:
            lines = [backend.prepare(f"line-{i}", r) for i, r in enumerate(requests)]
            handle = await backend.submit(lines, tag="")
            while (await backend.poll(handle.id)).state != "ended":
                await self._clock.advance(60.0)
            found = {result.custom_id: result async for result in backend.collect(handle.id)}
        finally:
            await backend.aclose()
        return [found[line.custom_id] for line in lines]

    async def _adapters(
        self, tiers: Sequence[TierSettings], stack: AsyncExitStack, metrics: Metrics
    ) -> Mapping[str, Adapter]:
        found = await open_adapters(tiers, stack, metrics, clock=self._clock)
        if self._one_tokenizer:
            local = found["local"]
            found["local"] = replace(local, backend=_Recounted(local.backend))
        return found

    def _config(self, url: str) -> dict[str, Any]:
        (self._folder / "key").write_text("sk-ant-a-test")
        mode = "auto" if PROMPT_CACHING in self._on else "off"
        claude = {
            "engine": "anthropic",
            "base_url": url,
            "api_key_file": str(self._folder / "key"),
            "prompt_cache": {"mode": mode},
        }
        local = {"engine": "mock", "ability": 0.3, "signal": 1.0, "time_scale": 0, "seed": 3}
        return {
            "tiers": [
                {
                    "name": "local",
                    "model": "mock-local",
                    "backend": local,
                    "price": {"kind": "tokens", "input_per_mtok": 0.1, "output_per_mtok": 0.4},
                    "gate": {"min_mean": -0.2, "min_window": -4.0},
                    "retries": 0,
                },
                {"name": "sonnet", "model": SONNET, "backend": claude, "effort": "none"},
                {"name": "opus", "model": OPUS, "backend": claude},
            ],
            "tasks": [
                {
                    "name": "desk",
                    "cache": {"enabled": True},
                    "spot_check": {"share": 0.2, "reference": "opus"},
                },
                {"name": "nightly"},
            ],
            "spot_checks": {"max_usd_per_day": 1_000, "max_concurrent": 1},
            "cache": {"max_bytes": 64_000_000 if CACHE in self._on else 0},
            "conversations": {"enabled": False},
            "storage": {"url": self.url, "flush_interval_s": 0.05},
            "log": {"level": "error"},
        }


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


def _line(ask: Ask, body: Mapping[str, Any]) -> bytes:
    named = {"custom_id": f"ask-{ask.number}", "method": "POST", "url": ENDPOINT}
    return json.dumps({**named, "body": body}).encode()
