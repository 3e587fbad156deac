"""How long the whole routing decision takes: classify, identify the conversation, plan and the
cascade's first step.

    STEPWELL_TEST_DATA=… python -m tests.bench.routing

Real customer requests, a config with four tiers and several task classes, one core: as single
turns, as long prompts of many messages, and as turns of conversations whose last turn this gateway
served. No tier is called. The budget is 100 µs at the median; the exit code is 1 above it.
"""

import gzip
import json
import os
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from rich.console import Console

from router.cascade import next_step
from router.conversations import FIRST_TURN, Conversations, Recalled
from router.identity import key_of
from router.planner import Planner
from router.rung import Rung
from router.steps import State
from router.task import TaskClassifier
from serving.backend import Ability, Attempt, Call, ChunkStream
from serving.costs.past import PastTurns
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
    """A tier that must not be called."""

    async def complete(self, request: ChatRequest, call: Call) -> Completion:
        raise AssertionError("a decision alone calls no tier")

    def stream(self, request: ChatRequest, call: Call) -> ChunkStream:
        raise AssertionError("a decision alone calls no tier")


class NoLedger:
    """A ledger that must not be asked."""

    async def __call__(
        self, turns: Sequence[str], *, tenant: str, session: str | None, since: datetime
    ) -> PastTurns:
        raise AssertionError("the gateway served all of these conversations itself")


class Router:
    """The whole decision, as the running service makes it."""

    def __init__(self) -> None:
        settings = Settings.model_validate(CONFIG)
        card = RateCard.load()
        rungs = [
            Rung(tier, Nobody(), Ability(logprobs=tier.gate is not None), tier_price(tier, card))
            for tier in settings.tiers
        ]
        self._classifier, self._planner = TaskClassifier(settings), Planner(rungs)
        self._conversations = Conversations(
            settings.conversations, read=NoLedger(), key=key_of(None)
        )

    def decide(self, request: ChatRequest, call: Call) -> object:
        task = self._classifier.classify(request, call).task
        call = replace(call, task=task.name)
        recalled = FIRST_TURN if task.critical else self._recall(request, call)
        plan = self._planner.plan(request, call, task, recalled.past)
        return next_step(State(plan, time.monotonic()))

    def answered(self, request: ChatRequest, call: Call) -> None:
        """The first tier has answered, and its answer passed."""
        self._recall(request, call)
        attempt = Attempt(call.request_id, "attempt", "local-7b", "qwen-7b", time.time())
        attempt.judge("accepted", "passed")
        self._conversations.observe(attempt, call)

    def _recall(self, request: ChatRequest, call: Call) -> Recalled:
        """Without a loop, since it waits for nothing here."""
        steps = self._conversations.recall(request, call)
        try:
            steps.send(None)
        except StopIteration as done:
            found: Recalled = done.value
            return found
        raise AssertionError("a conversation was not known")


def texts(folder: Path) -> list[str]:
    with gzip.open(folder / FILE, "rt", encoding="utf-8") as lines:
        return [json.loads(line)["text"] for line in lines]


def body(*messages: str, answer: str | None = None) -> ChatRequest:
    """User messages, with an answer before the last one where it is given."""
    listed = [{"role": "user", "content": text} for text in messages]
    if answer is not None:
        listed.insert(-1, {"role": "assistant", "content": answer})
    return ChatRequest.model_validate({"model": "auto", "messages": listed})


def requests(found: list[str]) -> dict[str, list[ChatRequest]]:
    """The texts as short requests, as long prompts of many of them, and as second turns."""
    chunks = [found[i : i + LONG_REPEATS] for i in range(0, len(found), LONG_REPEATS)]
    return {
        "one message": [body(text) for text in found],
        f"{LONG_REPEATS} messages": [body(*chunk) for chunk in chunks if len(chunk) > 1],
        "a second turn": [body(text, text, answer=f"{text} Yes.") for text in found],
    }


def call_of(number: int) -> Call:
    return Call(f"r{number}", "bench", time.monotonic() + 60)


def timings(router: Router, of: list[ChatRequest]) -> Iterator[float]:
    """Microseconds per decision."""
    for number, request in enumerate(of):
        call = call_of(number)
        started = time.perf_counter_ns()
        router.decide(request, call)
        yield (time.perf_counter_ns() - started) / 1_000


def main() -> int:
    console = Console()
    folder = os.environ.get("STEPWELL_TEST_DATA")
    if folder is None:
        console.print(f"skipped: STEPWELL_TEST_DATA is not set (it holds {FILE})")
        return 0
    router, found, slow = Router(), texts(Path(folder)), False
    for number, text in enumerate(found):
        router.answered(body(text), call_of(number))
    for name, of in requests(found).items():
        list(timings(router, of[:200]))  # warm up
        taken = [us for _ in range(ROUNDS) for us in timings(router, of)]
        median, p99 = statistics.median(taken), statistics.quantiles(taken, n=100)[98]
        console.print(f"{name}: median {median:.1f} µs, p99 {p99:.1f} µs ({len(taken)} decisions)")
        slow = slow or (name == "one message" and median > BUDGET_US)
    return int(slow)


if __name__ == "__main__":
    sys.exit(main())
