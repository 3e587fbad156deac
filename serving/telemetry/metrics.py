"""Prometheus metrics of this process, in a registry of their own, or of all processes on a node.
Labels are bounded by the configuration: tiers, endpoints, error classes, and tenants up to a cap. A
figure that a mock had a part in has `simulated="true"`.
"""

from collections.abc import Collection, Sequence
from functools import partial
from itertools import islice
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector
from prometheus_client.exposition import choose_encoder

from serving.backend import Attempt, Call, Trace
from serving.errors import StepwellError
from serving.telemetry.family import counter_of, histogram_of
from serving.telemetry.money import MoneyMetrics
from serving.telemetry.processes import Processes
from serving.telemetry.prompt_cache import PromptCacheMetrics
from serving.telemetry.semantic import SemanticMetrics

MAX_TENANTS = 100


class Metrics:
    """`observe_attempt` is an observer of the ledger, so that dashboards count what it counts.
    `tenants` are those of the configuration; beyond the first 100 they are "other".

    With a `multiprocess_dir`, all processes on this node that were given the same one answer for
    one another; `role` names what this one is in its `process_` figures. There may be one such
    object in a process. `ConfigError` where the directory cannot be written.
    """

    def __init__(
        self,
        tenants: Collection[str] = (),
        *,
        multiprocess_dir: Path | None = None,
        role: str = "gateway",
    ) -> None:
        self.registry = CollectorRegistry()
        self._processes = Processes(multiprocess_dir, role) if multiprocess_dir else None
        if self._processes is None:
            ProcessCollector(registry=self.registry)
        self.in_flight = Gauge(
            "stepwell_requests_in_flight",
            "Requests being answered.",
            registry=self.registry,
            multiprocess_mode="livesum",
        )
        self.tier_running = Gauge(
            "stepwell_tier_running",
            "Calls that a tier has in progress, open streams included.",
            ["tier"],
            registry=self.registry,
            multiprocess_mode="livesum",
        )
        errors = _codes()
        self._requests = _RequestMetrics(self.registry, errors)
        self._attempts = _AttemptMetrics(self.registry, errors, tenants)
        self.prompt_cache = PromptCacheMetrics(self.registry)
        self._semantic: SemanticMetrics | None = None

    @property
    def semantic(self) -> SemanticMetrics:
        """Exported from its first use on: most configurations have no semantic cache."""
        if self._semantic is None:
            self._semantic = SemanticMetrics(self.registry)
        return self._semantic

    def observe_attempt(self, attempt: Attempt, call: Call) -> None:
        """Called once per attempt, when it has been judged."""
        self._attempts.observe(attempt, call.tenant)

    def observe_request(
        self,
        endpoint: str,
        status: int,
        seconds: float,
        *,
        first_token_seconds: float | None = None,
        traces: Sequence[Trace] = (),
        stream_error: str | None = None,
    ) -> None:
        """Called once per request, when its response has left. `endpoint` is one of few routes."""
        requests = self._requests
        requests.answered.labels(endpoint, str(status)).inc()
        requests.seconds.labels(endpoint).observe(seconds)
        if first_token_seconds is not None:
            requests.first_token.labels(endpoint).observe(first_token_seconds)
        if stream_error is not None:
            requests.observe_stream_error(stream_error)
        for trace in traces:
            requests.observe_route(trace)

    def render(self, accept: str = "") -> tuple[bytes, str]:
        """The exposition that the scraper accepts, and its content type. With a directory it reads
        files and may wait for another scrape (`Overloaded` after 5 s), so call it in a thread.
        """
        encode, content_type = choose_encoder(accept)
        registry = self.registry if self._processes is None else self._processes.registry()
        return encode(registry), content_type

    def close(self) -> None:
        """This process ends; what it counts later goes nowhere, what it counted stays."""
        if self._processes is not None:
            self._processes.close()


class _RequestMetrics:
    """What a client sees."""

    def __init__(self, registry: CollectorRegistry, errors: frozenset[str]) -> None:
        counter = partial(counter_of, registry)
        histogram = partial(histogram_of, registry)
        self._errors = errors | {"client_gone"}
        self.answered = counter(
            "stepwell_requests",
            "Requests by endpoint and HTTP status; 499 is a client that left.",
            ["endpoint", "status"],
        )
        self.seconds = histogram(
            "stepwell_request_seconds",
            "From a request's arrival to the end of its answer.",
            ["endpoint"],
        )
        self.first_token = histogram(
            "stepwell_time_to_first_token_seconds",
            "From a request's arrival to the first token of its stream.",
            ["endpoint"],
        )
        self._stream_errors = counter(
            "stepwell_stream_errors",
            "Streams that failed or were left after they began, so under status 200.",
            ["code"],
        )
        self._cache = counter(
            "stepwell_cache_requests",
            "Requests by what the cache did: off, miss, exact, semantic.",
            ["state"],
        )
        self._best_effort = Counter(
            "stepwell_best_effort", "Answers that passed at no tier.", registry=registry
        )

    def observe_stream_error(self, code: str) -> None:
        self._stream_errors.labels(code if code in self._errors else "other").inc()

    def observe_route(self, trace: Trace) -> None:
        self._cache.labels(trace.cache).inc()
        if trace.best_effort is not None:
            self._best_effort.inc()


class _AttemptMetrics:
    """What the tiers did and cost."""

    def __init__(
        self, registry: CollectorRegistry, errors: frozenset[str], tenants: Collection[str]
    ) -> None:
        counter = partial(counter_of, registry)
        histogram = partial(histogram_of, registry)
        self._tenants = frozenset(islice(dict.fromkeys(tenants), MAX_TENANTS))
        self._errors = errors
        self._judged = counter(
            "stepwell_attempts",
            "Attempts, cache hits and spot checks by tier and outcome.",
            ["kind", "tier", "outcome", "simulated"],
        )
        self._failed = counter(
            "stepwell_attempt_errors",
            "Attempts that a tier failed, by class of error.",
            ["tier", "code"],
        )
        self._escalated = counter(
            "stepwell_escalations",
            "Answers of a tier that did not pass and sent the request up.",
            ["tier"],
        )
        self._seconds = histogram("stepwell_attempt_seconds", "Duration of attempts.", ["tier"])
        self._first_token = histogram(
            "stepwell_attempt_time_to_first_token_seconds",
            "Time to first token of attempts that were streamed.",
            ["tier"],
        )
        self._tokens = counter(
            "stepwell_tokens",
            "Tokens by direction; input holds cached and cache-written ones too.",
            ["tier", "direction", "simulated"],
        )
        self._money = MoneyMetrics(registry)

    def observe(self, attempt: Attempt, tenant: str) -> None:
        tier, simulated = attempt.tier, str(attempt.simulated).lower()
        self._judged.labels(attempt.kind, tier, attempt.outcome, simulated).inc()
        if attempt.error is not None:
            code = attempt.error if attempt.error in self._errors else "other"
            self._failed.labels(tier, code).inc()
        if attempt.kind == "attempt" and attempt.outcome == "escalated":
            self._escalated.labels(tier).inc()
        if attempt.latency_ms is not None:
            self._seconds.labels(tier).observe(attempt.latency_ms / 1_000)
        if attempt.ttft_ms is not None:
            self._first_token.labels(tier).observe(attempt.ttft_ms / 1_000)
        if attempt.kind != "cache_hit":  # a replayed answer's tokens were counted when they cost
            self._observe_tokens(attempt, simulated)
        self._money.observe(attempt, tenant if tenant in self._tenants else "other", simulated)

    def _observe_tokens(self, attempt: Attempt, simulated: str) -> None:
        usage = attempt.usage
        for direction, tokens in (
            ("input", usage.prompt_tokens),
            ("output", usage.completion_tokens),
            ("cached", usage.cached_tokens),
            ("cache_write", usage.cache_write_tokens),
            ("reasoning", usage.reasoning_tokens),
        ):
            if tokens:
                self._tokens.labels(attempt.tier, direction, simulated).inc(tokens)


def _codes() -> frozenset[str]:
    """Every code that the error tree has."""
    found: set[str] = set()
    stack: list[type[StepwellError]] = [StepwellError]
    while stack:
        error = stack.pop()
        if error.code is not None:
            found.add(error.code)
        stack += error.__subclasses__()
    return frozenset(found)
