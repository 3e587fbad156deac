"""What became of tries to deliver webhooks, in numbers."""

from prometheus_client import CollectorRegistry, Counter


class WebhookMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self._tries = Counter(
            "stepwell_webhook_tries",
            "Tries to deliver a webhook: delivered, again (one more follows), failed (for good).",
            ["result"],
            registry=registry,
        )

    def tried(self, result: str) -> None:
        self._tries.labels(result).inc()
