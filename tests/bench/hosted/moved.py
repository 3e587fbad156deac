"""A gateway in this process whose clock, and whose emulator's clock, are moved together."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from deploy.adapters import AdapterSource
from deploy.build import opened
from serving.api.app import create_app
from serving.hosted.emulator.server import EmulatorServer
from serving.settings.load import load_settings
from serving.settings.root import Settings
from serving.telemetry.metrics import Metrics


class Moved:
    """Seconds that pass when told: here, and at the emulator at `url`, whose clock stands still
    otherwise. `http` is the caller's.
    """

    def __init__(self, url: str, http: httpx2.AsyncClient) -> None:
        self._url, self._http = f"{url}/emulator/clock", http
        self._now = 0.0

    def __call__(self) -> float:
        return self._now

    async def advance(self, seconds: float) -> None:
        """What is due by then at the emulator has happened when this returns."""
        answer = await self._http.post(self._url, json={"advance_s": seconds})
        answer.raise_for_status()
        self._now += seconds


@dataclass(frozen=True, slots=True)
class Gateway:
    url: str
    settings: Settings
    metrics: Metrics

    def planned(self, tier: str, outcome: str, feature: str) -> int:
        """Calls of which the prompt-cache planner says that this became of them."""
        labels = {"tier": tier, "outcome": outcome, "feature": feature}
        name = "stepwell_prompt_cache_calls_total"
        return int(self.metrics.registry.get_sample_value(name, labels) or 0)


@asynccontextmanager
async def gateway(
    config: Mapping[str, Any], folder: Path, adapters_of: AdapterSource
) -> AsyncIterator[Gateway]:
    """The gateway of `config` behind real HTTP; its ledger is complete when the context ends."""
    path = folder / "stepwell.yaml"
    path.write_text(json.dumps(config))  # JSON is YAML
    settings = load_settings(path)
    async with opened(settings, adapters_of=adapters_of) as service:
        server = EmulatorServer(create_app(service))  # serves any app on a free loopback port
        url = await server.start()
        try:
            yield Gateway(url, settings, service.metrics)
        finally:
            await server.stop()
