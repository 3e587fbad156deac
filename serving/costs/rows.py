"""An attempt as a row of the ledger."""

from datetime import timedelta
from typing import Any

from serving.backend import Attempt, Call
from serving.storage.types import EPOCH, MAX_INT

INTENT = "intent"


def attempt_row(attempt: Attempt, call: Call, *, outcome: str | None = None) -> dict[str, Any]:
    """The row of table `attempts` for `attempt` as it stands now; `outcome` replaces its own."""
    usage = attempt.usage
    return {
        "id": attempt.id,
        "request_id": call.request_id,
        "kind": attempt.kind,
        "created_at": EPOCH + timedelta(seconds=attempt.started_at),
        "tenant": call.tenant,
        "key_id": call.key_id,
        "feature": call.feature,
        "task": call.task,
        "session": call.session,
        "step": call.step,
        "tier": attempt.tier,
        "model": attempt.model,
        "simulated": attempt.simulated,
        "service": attempt.service,
        "prompt_tokens": _count(usage.prompt_tokens),
        "completion_tokens": _count(usage.completion_tokens),
        "cached_tokens": _count(usage.cached_tokens),
        "cache_write_tokens": _count(usage.cache_write_tokens),
        "cache_write_1h_tokens": _count(usage.cache_write_1h_tokens),
        "reasoning_tokens": _count(usage.reasoning_tokens),
        "usage_estimated": usage.estimated,
        "cost": attempt.cost_usd,
        "list_cost": attempt.list_cost_usd,
        "live_cost": attempt.live_cost_usd,
        "above_cost": attempt.above_cost_usd,
        "baseline_cost": attempt.baseline_cost_usd,
        "latency_ms": attempt.latency_ms,
        "ttft_ms": attempt.ttft_ms,
        "outcome": outcome or attempt.outcome,
        "reason": attempt.reason[:2_000],
        "error": attempt.error,
        "conversation": call.trace.conversation if attempt.kind == "attempt" else None,
    }


def _count(tokens: int) -> int:
    """A count that a server reported, within what the column holds."""
    return min(max(0, tokens), MAX_INT)
