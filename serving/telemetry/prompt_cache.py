"""What became of planned prompt caching, in numbers."""

from collections.abc import Sequence
from functools import partial

from cachetools import LRUCache
from prometheus_client import CollectorRegistry, Counter

MAX_FEATURES = 50
MAX_PREFIXES = 200
OTHER = "other"


class _Names:
    """The first `most` names are labels, the others are "other": clients choose them."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: set[str] = set()

    def label(self, name: str) -> str:
        if name not in self._known:
            if len(self._known) >= self._most:
                return OTHER
            self._known.add(name)
        return name


class PromptCacheMetrics:
    """Counters of all tiers of one process. A hit rate is `read` tokens over all of them."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._features, self._prefixes = _Names(MAX_FEATURES), _Names(MAX_PREFIXES)
        self._seen: LRUCache[str, None] = LRUCache(10 * MAX_PREFIXES)
        self._calls, self._tokens = _plans(registry)
        counter = partial(_counter, registry)
        self._waits = counter(
            "waits",
            "Calls that waited for the first one of their prefix: released, or not in time.",
            ["tier", "result"],
        )
        self._invalidators = counter(
            "invalidators",
            "Calls whose prefix held bytes that change from call to call, by kind.",
            ["tier", "kind"],
        )
        self._lost = counter("lost_usd", "What such bytes have cost, in USD.", ["tier", "kind"])
        self._alerts = counter(
            "alerts", "Falls of a feature's hit rate below its own past.", ["tier", "feature"]
        )
        self._errors = counter(
            "errors", "Calls that left unplanned because the planner failed.", ["tier"]
        )

    def called(self, tier: str, feature: str, outcome: str) -> None:
        self._calls.labels(tier, self._features.label(feature), outcome).inc()

    def used(
        self, tier: str, feature: str, prefix: str, *, read: int, written: int, plain: int
    ) -> None:
        """`prefix` names what many calls share; one met for the first time has no label yet."""
        label = self._prefixes.label(prefix) if prefix in self._seen else OTHER
        self._seen[prefix] = None
        feature = self._features.label(feature)
        for billed, tokens in (("read", read), ("written", written), ("plain", plain)):
            if tokens > 0:
                self._tokens.labels(tier, feature, label, billed).inc(tokens)

    def waited(self, tier: str, *, released: bool) -> None:
        self._waits.labels(tier, "released" if released else "late").inc()

    def invalidated(self, tier: str, kind: str, lost_usd: float) -> None:
        self._invalidators.labels(tier, kind).inc()
        if lost_usd > 0:
            self._lost.labels(tier, kind).inc(lost_usd)

    def alerted(self, tier: str, feature: str) -> None:
        self._alerts.labels(tier, self._features.label(feature)).inc()

    def failed(self, tier: str) -> None:
        self._errors.labels(tier).inc()


def _counter(registry: CollectorRegistry, name: str, about: str, labels: Sequence[str]) -> Counter:
    return Counter(f"stepwell_prompt_cache_{name}", about, labels, registry=registry)


def _plans(registry: CollectorRegistry) -> tuple[Counter, Counter]:
    """What became of plans, in calls and in tokens."""
    calls = _counter(
        registry,
        "calls",
        "Calls by what became of their plan: hit, or why less was read.",
        ["tier", "feature", "outcome"],
    )
    tokens = _counter(
        registry,
        "tokens",
        "Prompt tokens by how they were billed: read, written, plain.",
        ["tier", "feature", "prefix", "billed"],
    )
    return calls, tokens
