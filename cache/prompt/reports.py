"""Tells users what the planner found: in the trace, as events and as metrics. Positions, kinds and
lengths only; no text of a prompt.
"""

from collections.abc import Callable, Sequence

import structlog
from cachetools import TTLCache

from cache.prompt.hit_rate import Fall
from cache.prompt.invalidators import Found
from cache.prompt.losses import Loss
from cache.prompt.verify import Verdict
from serving.backend import Call
from serving.telemetry.prompt_cache import PromptCacheMetrics

STAGE = "prompt_cache"
MOST_NOTES = 5
AGAIN_S = 3_600.0

_log = structlog.get_logger("stepwell.prompt_cache")


class Reports:
    """`clock` counts seconds: the same invalidator is an event once an hour, and in every trace."""

    def __init__(self, tier: str, metrics: PromptCacheMetrics, clock: Callable[[], float]) -> None:
        self._tier, self._metrics = tier, metrics
        self._told: TTLCache[tuple[str, str, str, str], None] = TTLCache(1_000, AGAIN_S, clock)

    def invalidators(
        self, found: Sequence[tuple[Found, Loss | None]], feature: str, call: Call, moved: set[str]
    ) -> None:
        """`moved`: paths of texts whose volatile lines were moved, so that nothing is lost. What
        several of them cost together is counted once, at the first.
        """
        told, counted = 0, False
        for what, loss in found:
            saved = what.repaired or what.path in moved
            cost = None if saved else loss
            if what.now:
                usd = 0.0 if cost is None or counted else cost.per_call
                counted = counted or usd > 0
                self._metrics.invalidated(self._tier, what.kind, usd)
                self._tell(what, cost, feature, call, saved=saved)
            if (what.now or saved) and told < MOST_NOTES:
                told += 1
                call.trace.note(STAGE, what.kind, in_words(what, cost, saved=saved))

    def _tell(
        self, what: Found, loss: Loss | None, feature: str, call: Call, *, saved: bool
    ) -> None:
        key = (call.tenant, feature, what.kind, what.path)
        if key in self._told:
            return
        self._told[key] = None
        _log.warning(
            "prompt_cache_invalidator",
            tier=self._tier,
            tenant=call.tenant,
            feature=feature,
            kind=what.kind,
            path=what.path,
            offset=what.offset,
            length=what.length,
            changed=what.changes,
            seen=what.seen,
            saved=saved,
            lost_usd_per_day=None if loss is None else round(loss.per_day, 6),
        )

    def fell(self, fall: Fall, feature: str, call: Call, verdict: Verdict) -> None:
        self._metrics.alerted(self._tier, feature)
        _log.warning(
            "prompt_cache_hit_rate_fell",
            tier=self._tier,
            tenant=call.tenant,
            feature=feature,
            before=round(fall.before, 4),
            now=round(fall.now, 4),
            lowest_before=round(fall.lowest_before, 4),
            highest_now=round(fall.highest_now, 4),
            calls_before=fall.calls_before,
            calls_now=fall.calls_now,
            latest=verdict.outcome,
        )
        reason = f"of {feature}: {fall.before:.0%} before, {fall.now:.0%} now"
        call.trace.note(STAGE, "hit rate fell", reason)

    def failed(self, error: Exception, call: Call) -> None:
        """The planner is at fault; its message may quote the prompt, so only its kind is told."""
        self._metrics.failed(self._tier)
        _log.error("prompt_cache_failed", tier=self._tier, error=type(error).__name__)
        call.trace.note(STAGE, "not planned", f"the planner failed ({type(error).__name__})")


def in_words(what: Found, loss: Loss | None, *, saved: bool) -> str:
    place = f"{what.path}, character {what.offset:,} ({what.length:,} long)"
    text = f"{place}: changed in {what.changes:,} of the last {what.seen:,} calls"
    if what.repaired:
        return f"{text}; sent in one order, so nothing is lost"
    if saved:
        return f"{text}; moved to the end of the system prompt"
    if loss is None:
        return f"{text}; what it costs is not known without a price"
    return f"{text}; it costs ${loss.per_call:.6f} a call, ${loss.per_day:,.2f} a day"
