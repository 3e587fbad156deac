"""Runs one stage of the worked example: real calls through a real gateway, at the true rate."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import openai

from deploy.adapters import open_adapters
from serving.costs.rate_card import RateCard
from tests.bench.hosted.arithmetic import (
    ANSWER,
    GAP_S,
    HAIKU,
    OPUS,
    SONNET,
    Stage,
    Work,
    work,
)
from tests.bench.hosted.batched import Batches
from tests.bench.hosted.ledger import LedgerRow, ledger_rows
from tests.bench.hosted.moved import Gateway, Moved, gateway
from tests.bench.hosted.processes import KEY, Account, emulated
from tests.bench.hosted.prompts import Prompts

FEATURE = "worked-example"
TIERS = {HAIKU: "haiku", SONNET: "sonnet", OPUS: "opus"}
IN_FLIGHT = 4
BATCHES = 6
"""A tier's lines are sent so many times: every twelve minutes of the whole example."""
PATIENCE_S = 1_800
"""What is measured is money: a machine that has a bad minute must not cost an answer."""


@dataclass(frozen=True, slots=True)
class Said:
    """What the prompt-cache planner said in the trace of one call."""

    model: str
    number: int
    decision: str
    reason: str


@dataclass(frozen=True, slots=True)
class Ran:
    """What became of a stage. `outcomes` has the planner's own count of its calls by tier."""

    stage: Stage
    calls: list[Work]
    rows: list[LedgerRow]
    account: Account
    said: list[Said] = field(default_factory=list)
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)


async def run(stage: Stage, calls: int, folder: Path) -> Ran:
    """The stage as so many calls, its state under `folder`, which must be empty."""
    todo = work(stage, calls)
    models = sorted(stage.shares)
    options = ("--tokens", str(ANSWER), "--stopped")
    async with emulated(models, folder, *options) as emulator, AsyncExitStack() as stack:
        http = await stack.enter_async_context(httpx2.AsyncClient(trust_env=False))
        clock = Moved(emulator.url, http)
        config = _config(stage, emulator.url, folder)
        adapters = partial(open_adapters, clock=clock)
        running = await stack.enter_async_context(gateway(config, folder, adapters))
        example = _Example(stage, running, clock, stack)
        await example.run(todo)
        outcomes = example.outcomes()
        await stack.aclose()  # the gateway's rows are written
        await example.book(config["storage"]["url"])
    assert emulator.account is not None
    rows = ledger_rows(folder / "ledger.db")
    return Ran(stage, todo, rows, emulator.account, example.said, outcomes)


def _config(stage: Stage, url: str, folder: Path) -> dict[str, Any]:
    key = folder / "key"
    key.write_text(KEY)
    backend = {
        "engine": "anthropic",
        "base_url": url,
        "api_key_file": str(key),
        "prompt_cache": {"mode": "auto" if stage.cached else "off"},
    }
    wanted = [model for model in TIERS if model in stage.shares]
    patient = {"backend": backend, "deadline_s": PATIENCE_S}
    return {
        "tiers": [{"name": TIERS[m], "model": m, **patient} for m in wanted],
        "request_deadline_s": PATIENCE_S,
        "baseline": TIERS[OPUS],
        "cache": {"max_bytes": 0},
        "log": {"level": "error"},
        "storage": {"url": f"sqlite:///{folder / 'ledger.db'}"},
    }


class _Example:
    """The client's side: who asks what when."""

    def __init__(self, stage: Stage, running: Gateway, clock: Moved, stack: AsyncExitStack) -> None:
        self._stage, self._gateway, self._clock = stage, running, clock
        self._client = openai.AsyncOpenAI(
            base_url=f"{running.url}/v1", api_key="unused", max_retries=0, timeout=PATIENCE_S
        )
        stack.push_async_callback(self._client.close)
        self._batches = Batches(running.settings, RateCard.load(), stack)
        self._prompts = Prompts()
        self._slots = asyncio.Semaphore(IN_FLIGHT)
        self._results: Any = {}
        self.said: list[Said] = []

    async def run(self, todo: Sequence[Work]) -> None:
        """A call every 0.864 s of the clock, each answered completely."""
        explained = _first_and_last(todo)
        every = max(1, len(todo) // BATCHES)
        async with asyncio.TaskGroup() as group:
            for call in todo:
                await self._clock.advance(GAP_S)
                body = self._prompts.body(call, TIERS[call.model])
                if call.batch:
                    self._batches.add(TIERS[call.model], f"call-{call.number}", body)
                else:
                    await self._slots.acquire()
                    explain = call.number in explained
                    group.create_task(self._ask(call, body, explain=explain))
                if (call.number + 1) % every == 0:
                    await self._batches.submit()
        await self._batches.submit()
        self._results = await self._batches.results(self._clock)

    async def book(self, url: str) -> None:
        await self._batches.book(self._results, url)

    def outcomes(self) -> Counter[tuple[str, str]]:
        tiers = [TIERS[model] for model in self._stage.shares]
        words = ("hit", "first_write", "unplanned", "too_short")
        return Counter({(t, w): self._gateway.planned(t, w, FEATURE) for t in tiers for w in words})

    async def _ask(self, call: Work, body: dict[str, Any], *, explain: bool) -> None:
        own = {"feature": FEATURE, "step": str(call.number), "explain": explain}
        try:
            answer = await self._client.chat.completions.create(
                **body, extra_body={"stepwell": own}
            )
        finally:
            self._slots.release()
        if explain:
            decisions = (answer.model_extra or {})["stepwell"]["decisions"]
            self.said += [
                Said(call.model, call.number, d["decision"], d["reason"])
                for d in decisions
                if d["stage"] == "prompt_cache"
            ]


def _first_and_last(todo: Sequence[Work]) -> set[int]:
    """The numbers of each model's first and last live call."""
    live = [call for call in todo if not call.batch]
    last = {call.model: call.number for call in live}
    first = {call.model: call.number for call in reversed(live)}
    return {*first.values(), *last.values()}
