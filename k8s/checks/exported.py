"""The names of all metrics that Stepwell exports, from a scrape of the endpoint itself."""

import asyncio
import re
import tempfile
from pathlib import Path

import httpx2

from deploy.build import opened
from serving.api.app import create_app
from serving.settings.root import Settings
from serving.telemetry.engine import EngineMetrics

_TYPE = re.compile(r"^# TYPE (\S+) (\S+)$", re.MULTILINE)
SUFFIXES = {
    "histogram": ("_bucket", "_sum", "_count"),
    "summary": ("", "_sum", "_count"),
}


def exported() -> frozenset[str]:
    """Starts the stack with one simulated tier, in this process, and scrapes it: what gateways
    export, and what a pod with an engine or the semantic cache does. Runs an event loop.
    """
    with tempfile.TemporaryDirectory(prefix="stepwell-") as folder:
        return names(asyncio.run(_scrape(Path(folder))))


def names(scrape: str) -> frozenset[str]:
    """The names that queries may use, of a scrape in the text format."""
    return frozenset(
        name + suffix
        for name, kind in _TYPE.findall(scrape)
        for suffix in SUFFIXES.get(kind, ("",))
    )


async def _scrape(folder: Path) -> str:
    settings = Settings.model_validate(
        {
            "storage": {"url": f"sqlite:///{folder / 'ledger.db'}"},
            "tiers": [{"name": "tier", "model": "mock", "backend": {"engine": "mock"}}],
        }
    )
    async with opened(settings) as service:
        assert service.metrics.semantic  # exported from its first use on
        EngineMetrics(service.metrics.registry, "tier")
        transport = httpx2.ASGITransport(app=create_app(service))
        async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return (await client.get("/metrics")).raise_for_status().text
