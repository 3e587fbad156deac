"""Money in floats, for graphs; the ledger has the exact sums."""

from dataclasses import fields
from decimal import Decimal
from functools import partial

from prometheus_client import CollectorRegistry

from serving.backend import Attempt
from serving.costs.attribution import Parts, Row, attribute
from serving.telemetry.family import counter_of

PARTS = tuple(field.name for field in fields(Parts))


class MoneyMetrics:
    """USD as floats, for graphs; the ledger has the exact sums."""

    def __init__(self, registry: CollectorRegistry) -> None:
        counter = partial(counter_of, registry)
        self._cost = counter(
            "stepwell_cost_usd",
            "Marginal cost of attempts with a known price, in USD.",
            ["tier", "simulated"],
        )
        self._tenant_cost = counter(
            "stepwell_tenant_cost_usd", "The same cost by tenant.", ["tenant", "simulated"]
        )
        self._unpriced = counter(
            "stepwell_unpriced_attempts",
            "Attempts whose cost is unknown, and in no other figure.",
            ["tier"],
        )
        self._baseline_cost = counter(
            "stepwell_baseline_cost_usd",
            "What the baseline tier would have cost for the same answers, in USD.",
            ["simulated"],
        )

        self._parts = counter(
            "stepwell_savings_usd",
            "What each lever saved, and what it cost more than it saved, in USD.",
            ["lever", "sign", "simulated"],
        )

    def observe(self, attempt: Attempt, tenant: str, simulated: str) -> None:
        self._observe_parts(attempt, simulated)
        if attempt.baseline_cost_usd is not None:
            self._baseline_cost.labels(simulated).inc(float(attempt.baseline_cost_usd))
        if attempt.cost_usd is None:
            self._unpriced.labels(attempt.tier).inc()
            return
        cost = float(attempt.cost_usd)
        if not cost:
            return
        self._cost.labels(attempt.tier, simulated).inc(cost)
        self._tenant_cost.labels(tenant, simulated).inc(cost)

    def _observe_parts(self, attempt: Attempt, simulated: str) -> None:
        """A counter cannot fall, so that losses have a sign of their own."""
        parts = attribute(Row.of(attempt))
        for lever in PARTS:
            usd: Decimal = getattr(parts, lever)
            if usd:
                sign = "saved" if usd > 0 else "lost"
                self._parts.labels(lever, sign, simulated).inc(float(abs(usd)))
