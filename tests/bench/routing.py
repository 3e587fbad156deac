"""How long the whole routing decision takes: classify, plan and the cascade's first step.

    STEPWELL_TEST_DATA=… python -m tests.bench.routing

Real customer requests, a config with four tiers and several task classes, one core. No tier is
called. The budget is 100 µs at the median; the exit code is 1 above it.
"""

import gzip
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from router.cascade import next_step
from router.planner import Planner
from router.rung import Rung
from router.steps import State
from router.task import TaskClassifier
from serving.backend import Ability, Call, ChunkStream
from serving.costs.rate_card import RateCard, tier_price
from serving.settings.root import Settings
from serving.wire.chat import ChatRequest
from serving.wire.completion import Completion

FILE = "banking77_test.jsonl.gz"
BUDGET_US = 100.0
ROUNDS = 3
LONG_REPEATS = 40

GPU = {"kind": "gpu", "gpu_hour": "2.50", "prefill_tokens_per_s": 9000, "decode_tokens_per_s": 2500}
MOCK = {"engine": "mock"}
CONFIG = {
    "tiers": [
        {"name": "local-7b", "model": "qwen-7b", "backend": MOCK, "price": GPU, "gate": {}},
        {
            "name": "local-70b",
            "model": "llama-70b",
            "backend": MOCK,
            "price": {**GPU, "gpus": 4},
            "gate": {},
        },
        {"name": "sonnet", "model": "claude-sonnet-5", "backend": MOCK},
        {"name": "opus", "model": "claude-opus-4-8", "backend": MOCK},
    ],
    "tasks": [
        {"name": "fraud", "critical": True, "match": {"words": ["stolen", "fraud", "scam"]}},
        {"name": "code", "start": "local-70b", "match": {"code": True}},
        {"name": "extraction", "match": {"json_output": True}},
        {"name": "agent", "match": {"tools": True}},
        {"name": "cards", "max": "sonnet", "match": {"words": ["card", "PIN", "contactless"]}},
        {"name": "long", "start": "sonnet", "match": {"min_prompt_tokens": 4000}},
    ],
}


class Nobody:
    """No tier is called here."""

    async def complete(self, request: ChatRequest, call: Call) -> Completion:
        raise NotImplementedError

    def stream(self, request: ChatRequest, call: Call) -> ChunkStream:
        raise NotImplementedError


def router() -> Callable[[ChatRequest, Call], object]:
    """The whole decision, as the running service makes it."""
    settings = Settings.model_validate(CONFIG)
    card = RateCard.load()
    rungs = [
        Rung(tier, Nobody(), Ability(logprobs=tier.gate is not None), tier_price(tier, card))
        for tier in settings.tiers
    ]
    classifier, planner = TaskClassifier(settings), Planner(rungs)

    def decide(request: ChatRequest, call: Call) -> object:
        task = classifier.classify(request, call).task
        plan = planner.plan(request, replace(call, task=task.name), task)
        return next_step(State(plan, time.monotonic()))

    return decide


def texts(folder: Path) -> list[str]:
    with gzip.open(folder / FILE, "rt", encoding="utf-8") as lines:
        return [json.loads(line)["text"] for line in lines]


def requests(found: list[str]) -> dict[str, list[ChatRequest]]:
    """The texts as short requests, and as long conversations of many of them."""

    def body(*messages: str) -> ChatRequest:
        listed = [{"role": "user", "content": text} for text in messages]
        return ChatRequest.model_validate({"model": "auto", "messages": listed})

    chunks = [found[i : i + LONG_REPEATS] for i in range(0, len(found), LONG_REPEATS)]
    return {
        "one message": [body(text) for text in found],
        f"{LONG_REPEATS} messages": [body(*chunk) for chunk in chunks if len(chunk) > 1],
    }


def timings(
    decide: Callable[[ChatRequest, Call], object], of: list[ChatRequest]
) -> Iterator[float]:
    """Microseconds per decision."""
    for number, request in enumerate(of):
        call = Call(f"r{number}", "bench", time.monotonic() + 60)
        started = time.perf_counter_ns()
        decide(request, call)
        yield (time.perf_counter_ns() - started) / 1_000


def main() -> int:
    console = Console()
    folder = os.environ.get("STEPWELL_TEST_DATA")
    if folder is None:
        console.print(f"skipped: STEPWELL_TEST_DATA is not set (it holds {FILE})")
        return 0
    decide = router()
    slow = False
    for name, of in requests(texts(Path(folder))).items():
        list(timings(decide, of[:200]))  # warm up
        taken = [us for _ in range(ROUNDS) for us in timings(decide, of)]
        median, p99 = statistics.median(taken), statistics.quantiles(taken, n=100)[98]
        console.print(f"{name}: median {median:.1f} µs, p99 {p99:.1f} µs ({len(taken)} decisions)")
        slow = slow or (name == "one message" and median > BUDGET_US)
    return int(slow)


if __name__ == "__main__":
    sys.exit(main())
