"""The route trace as an answer carries it, read back: what the server says it did and spent.

A server that is not Stepwell sends none. Money stays exact: decimal strings in, `Decimal` out.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from typing import Any

MAX_CHARS = 300  # of any text of the server's


@dataclass(frozen=True, slots=True)
class AttemptSeen:
    """One attempt at a tier, or a cache hit (`kind`). Costs in USD, None where unknown."""

    tier: str
    kind: str
    outcome: str
    reason: str
    prompt_tokens: int
    completion_tokens: int
    cost_usd: Decimal | None
    baseline_cost_usd: Decimal | None
    ttft_ms: float | None
    simulated: bool

    @property
    def answered(self) -> bool:
        """The client got this attempt's answer."""
        return self.outcome in {"accepted", "best_effort"}


@dataclass(frozen=True, slots=True)
class RouteTrace:
    """All attempts of one request, in order; empty where no tier was asked."""

    attempts: tuple[AttemptSeen, ...] = ()

    @property
    def final(self) -> AttemptSeen | None:
        """The attempt whose answer the client got."""
        return next((a for a in reversed(self.attempts) if a.answered), None)


def parse_trace(value: object) -> RouteTrace | None:
    """The trace in a `stepwell` object, None where it is absent or not one."""
    if not isinstance(value, Mapping):
        return None
    attempts = value.get("attempts")
    if not isinstance(attempts, list) or not all(isinstance(a, Mapping) for a in attempts):
        return None
    try:
        trace = RouteTrace(tuple(_attempt(a) for a in attempts))
        return _with_baseline(trace, _money(value.get("baseline_cost_usd")))
    except (InvalidOperation, TypeError, ValueError):
        return None


def _with_baseline(trace: RouteTrace, baseline: Decimal | None) -> RouteTrace:
    """The baseline is one figure per answer; a route may say it once instead of per attempt."""
    final = trace.final
    if final is None or final.baseline_cost_usd is not None or baseline is None:
        return trace
    priced = replace(final, baseline_cost_usd=baseline)
    return RouteTrace(tuple(priced if a is final else a for a in trace.attempts))


def _attempt(value: Mapping[str, Any]) -> AttemptSeen:
    return AttemptSeen(
        tier=one_line(str(value.get("tier"))),
        kind=str(value.get("kind", "attempt")),
        outcome=str(value.get("outcome", "open")),
        reason=one_line(str(value.get("reason") or "")),
        prompt_tokens=int(value.get("prompt_tokens") or 0),
        completion_tokens=int(value.get("completion_tokens") or 0),
        cost_usd=_money(value.get("cost_usd")),
        baseline_cost_usd=_money(value.get("baseline_cost_usd")),
        ttft_ms=_milliseconds(value.get("ttft_ms")),
        simulated=bool(value.get("simulated", False)),
    )


def one_line(text: str) -> str:
    """A server's text as it may be shown: one line, bounded, without terminal control codes."""
    line = "".join(c if c.isprintable() else "?" for c in " ".join(text[:MAX_CHARS].split()))
    return line if len(text) <= MAX_CHARS else line + "…"


def _money(value: object) -> Decimal | None:
    """A JSON number would have been through a float already, so only strings count as exact."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise TypeError("money is not a decimal string")
    return Decimal(value)


def _milliseconds(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None
