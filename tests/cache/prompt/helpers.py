"""Requests, chains and planners for the tests of prompt planning."""

import time
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from cache.prompt.blocks import Chainer, PromptChain
from cache.prompt.calls import Model
from cache.prompt.canonical import Canonicaliser
from cache.prompt.chain import Block, Breakpoint, Plan, Ttl
from cache.prompt.economics import CachePrices
from cache.prompt.losses import InputPrices
from cache.prompt.pieces import pieces
from cache.prompt.planner import PromptCachePlanner
from cache.prompt.ratio import TokenRatio
from serving.backend import Call
from serving.settings.prompt_cache import PromptCacheSettings
from serving.telemetry.metrics import Metrics
from serving.wire.chat import ChatRequest

OPUS = "claude-opus-5-5"
RULES = "Answer politely and name the paragraph of the rule book that applies. "


class Clock:
    """Seconds that a test moves."""

    def __init__(self, now: float = 1_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


CACHE_PRICES = CachePrices(*(Decimal(usd).scaleb(-6) for usd in ("4", "0.2", "5", "8")))
PRICES = InputPrices(input=4e-6, read=0.2e-6)
"""Opus 5.5's, in USD per token."""


class EndOfSystem:
    """A policy that marks the end of the system prompt, and the end of a conversation."""

    def __init__(self, ttl: Ttl = "5m", *, history: bool = False) -> None:
        self.ttl: Ttl = ttl
        self.history = history
        self.observed: list[tuple[Plan, float]] = []
        self.corrected: list[int] = []

    def plan(self, chain: Sequence[Block], now: float, *, scope: str = "") -> Plan:
        can = [i for i, block in enumerate(chain) if block.may_break]
        points = {can[0]} if can else set()
        if self.history and can:
            points.add(can[-1])
        return Plan(tuple(Breakpoint(i, self.ttl) for i in sorted(points)), "the end of the system")

    def observe(self, chain: Sequence[Block], plan: Plan, now: float, *, scope: str = "") -> None:
        self.observed.append((plan, now))

    def correct(self, chain: Sequence[Block], read_tokens: int) -> None:
        self.corrected.append(read_tokens)


def chat(*messages: Mapping[str, Any] | str, **fields: Any) -> ChatRequest:
    """A chat request; a plain text is a user message."""
    made = [{"role": "user", "content": m} if isinstance(m, str) else dict(m) for m in messages]
    return ChatRequest.model_validate({"model": "auto", "messages": made, **fields})


def system(text: str | list[dict[str, Any]]) -> dict[str, Any]:
    return {"role": "system", "content": text}


def rules(paragraphs: int = 60) -> str:
    """A system prompt of some 15 tokens a paragraph."""
    return "You help the customers of a bank.\n" + "\n".join([RULES] * paragraphs)


def tool(name: str, **function: Any) -> dict[str, Any]:
    parameters = {"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"]}
    made = {"name": name, "description": f"Looks up {name}.", "parameters": parameters}
    return {"type": "function", "function": made | function}


def call(feature: str | None = "support", tenant: str = "acme", seconds: float = 60.0) -> Call:
    return Call("req-1", tenant, time.monotonic() + seconds, feature=feature)


def chain_of(
    request: ChatRequest, *, tenant: str = "acme", model: str = OPUS, mid_system: bool = True
) -> PromptChain:
    canonical = Canonicaliser()(request)
    row = pieces(canonical.request, mid_system=mid_system, tool_order=canonical.tool_order)
    return Chainer(model, TokenRatio(1.0))(tenant, canonical.request, row)


def planner(
    policy: Any = None,
    *,
    clock: Callable[[], float] | None = None,
    minimum: int = 512,
    metrics: Metrics | None = None,
    diagnose: bool = False,
    **settings: Any,
) -> PromptCachePlanner:
    return PromptCachePlanner(
        tier="opus",
        model=Model(OPUS, minimum, 1.0, mid_system=True),
        policy=policy or EndOfSystem(),
        prices=PRICES,
        settings=PromptCacheSettings(**settings),
        metrics=(metrics or Metrics()).prompt_cache,
        clock=clock or Clock(),
        diagnose=diagnose,
    )


def notes(to: Call) -> list[tuple[str, str]]:
    """What the planner said in the trace."""
    return [(d.decision, d.reason) for d in to.trace.decisions if d.stage == "prompt_cache"]
