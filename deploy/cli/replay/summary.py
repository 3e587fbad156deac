"""The tally as plain JSON. Money is a decimal string in USD, null where no price is known; times
are milliseconds. `cost_usd` sums the known prices, `unpriced_attempts` says how many it lacks.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from decimal import Decimal
from typing import Any

from deploy.cli.replay.sums import Money, percentiles
from deploy.cli.replay.tally import Tally, TierTally


def summary(tally: Tally) -> dict[str, Any]:
    """`requests` = `answered` + `errors`; attempts, tokens and cost are those of the route traces,
    failed requests included where the server sent theirs.
    """
    return {
        "requests": tally.requests,
        "answered": tally.answered,
        "errors": tally.errors,
        "untraced": tally.untraced,
        "cut_off": tally.cut_off,
        "simulated": tally.simulated,
        "attempts": tally.attempts,
        "cache_hits": tally.cache_hits,
        "semantic_hits": tally.semantic_hits,
        "prompt_tokens": tally.prompt_tokens,
        "completion_tokens": tally.completion_tokens,
        **_money(tally.cost, tally.baseline),
        "saved_usd": decimal_text(tally.saved_usd),
        "elapsed_s": round(tally.elapsed_s, 3),
        "latency_ms": _spread(tally.latency_ms),
        "cached_latency_ms": _spread(tally.cached_latency_ms),
        "ttft_ms": _spread(tally.ttft_ms),
        "by_tier": {name: _tier(tier) for name, tier in tally.tiers.items()},
        "failures": {
            kind: {"count": count, **asdict(tally.samples[kind])}
            for kind, count in tally.failures.most_common()
        },
    }


def decimal_text(usd: Decimal | None) -> str | None:
    """Exact, without exponent."""
    return None if usd is None else f"{usd:f}"


def _tier(tier: TierTally) -> dict[str, Any]:
    return {
        "answered": tier.answered,
        "attempts": tier.count.attempts,
        "cache_hits": tier.hits.attempts,
        "semantic_hits": tier.semantic,
        "accepted": tier.outcomes["accepted"],
        "best_effort": tier.outcomes["best_effort"],
        "escalated": _counted(tier.escalated),
        "outcomes": _counted(tier.outcomes),
        "prompt_tokens": tier.count.prompt_tokens,
        "completion_tokens": tier.count.completion_tokens,
        **_money(tier.cost, tier.baseline),
        "latency_ms": _spread(tier.latency_ms),
        "ttft_ms": _spread(tier.ttft_ms),
        "tier_ttft_ms": _spread(tier.tier_ttft_ms),
        "simulated": tier.simulated,
    }


def _money(cost: Money, baseline: Money) -> dict[str, Any]:
    return {
        "cost_usd": decimal_text(cost.usd),
        "baseline_cost_usd": decimal_text(baseline.usd),
        "unpriced_attempts": cost.unknown,
    }


def _counted(counter: Counter[str]) -> dict[str, int]:
    return dict(counter.most_common())


def _spread(values: Sequence[float]) -> dict[str, float] | None:
    spread = percentiles(values)
    if spread is None:
        return None
    return {"p50": round(spread.p50, 3), "p95": round(spread.p95, 3), "p99": round(spread.p99, 3)}
