"""What a request came to, for the client: the figures of its answer and its whole route."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from serving.backend import Attempt, CacheState, Trace

CACHE_ORDER: tuple[CacheState, ...] = ("miss", "off", "semantic", "exact")


@dataclass(frozen=True, slots=True)
class Figures:
    """The final figures of one answer. Costs are USD, None where a price is unknown; `tier` is None
    where none answered. `best_effort` and `degraded` are reasons. `simulated`: a mock had a part in
    it.
    """

    tier: str | None
    cost_usd: Decimal | None
    baseline_cost_usd: Decimal | None
    escalations: int
    cache: CacheState
    best_effort: str | None
    degraded: str | None
    simulated: bool
    dropped_params: tuple[str, ...]

    @classmethod
    def of(cls, traces: Sequence[Trace]) -> "Figures":
        """Of an answer that took one route per prompt: sums, every tier named, the least of the
        cache states.
        """
        attempts = [a for t in traces for a in t.attempts]
        return cls(
            tier=",".join(dict.fromkeys(t.tier for t in traces if t.tier)) or None,
            cost_usd=_total([t.cost_usd for t in traces]),
            baseline_cost_usd=_total([t.baseline_cost_usd for t in traces]),
            escalations=sum(t.escalations for t in traces),
            cache=min((t.cache for t in traces), key=CACHE_ORDER.index, default="off"),
            best_effort=next((t.best_effort for t in traces if t.best_effort), None),
            degraded=next((t.degraded for t in traces if t.degraded), None),
            simulated=any(a.simulated for a in attempts),
            dropped_params=tuple(dict.fromkeys(p for t in traces for p in t.dropped)),
        )

    def wire(self) -> dict[str, Any]:
        """What stands under `usage.stepwell`."""
        return {
            "tier": self.tier,
            "cost_usd": money(self.cost_usd),
            "baseline_cost_usd": money(self.baseline_cost_usd),
            "escalations": self.escalations,
            "cache": self.cache,
            "best_effort": self.best_effort,
            "degraded": self.degraded,
            "simulated": self.simulated,
            "dropped_params": list(self.dropped_params),
        }


def money(amount: Decimal | None) -> str | None:
    """Plain digits, as exact as the amount: never `1E-7`."""
    return None if amount is None else format(amount.normalize() if amount else Decimal(0), "f")


def trace_wire(request_id: str, traces: Sequence[Trace]) -> dict[str, Any]:
    """The whole route: every decision with its reason, every attempt with its tokens and cost.
    Where several prompts took routes of their own, they stand in `routes`.
    """
    head = {"request_id": request_id, **Figures.of(traces).wire()}
    if len(traces) == 1:
        return head | _route(traces[0])
    return head | {"routes": [{"tier": t.tier, **_route(t)} for t in traces]}


def _route(trace: Trace) -> dict[str, Any]:
    return {
        "decisions": [
            {"stage": d.stage, "decision": d.decision, "reason": d.reason, "at_ms": d.at_ms}
            for d in trace.decisions
        ],
        "attempts": [_attempt(a) for a in trace.attempts],
    }


def _attempt(attempt: Attempt) -> dict[str, Any]:
    usage = attempt.usage
    return {
        "id": attempt.id,
        "kind": attempt.kind,
        "tier": attempt.tier,
        "model": attempt.model,
        "service": attempt.service,
        "outcome": attempt.outcome,
        "reason": attempt.reason,
        "error": attempt.error,
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "cached_tokens": usage.cached_tokens,
        "cache_write_tokens": usage.cache_write_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
        "usage_estimated": usage.estimated,
        "cost_usd": money(attempt.cost_usd),
        "latency_ms": _rounded(attempt.latency_ms),
        "ttft_ms": _rounded(attempt.ttft_ms),
        "simulated": attempt.simulated,
    }


def _rounded(ms: float | None) -> float | None:
    return None if ms is None else round(ms, 3)


def _total(amounts: list[Decimal | None]) -> Decimal | None:
    known = [a for a in amounts if a is not None]
    return sum(known, Decimal(0)) if known and len(known) == len(amounts) else None
