"""The mock stack beside an emulator of Claude that outlives it: the gateway may be killed and
started again, the provider's batches and bills stay.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2
import openai
from ruamel.yaml import YAML

from deploy.paths import default_config
from deploy.ports import claim

START_S = 90.0
STOP_S = 60.0
KEY_ENV = "STEPWELL_BENCH_KEY"


@dataclass
class Gateway:
    """`stepwell serve` of the configuration at `path`; `url` is the same however often it is
    started.
    """

    path: Path
    port: int
    log: Path
    process: "subprocess.Popen[bytes] | None" = None
    starts: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ledger(self) -> Path:
        return self.path.parent / "ledger.db"

    def client(self) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key="unused", timeout=60)

    def start(self) -> None:
        self.process = _python(["-m", "deploy.cli", "serve", str(self.path)], self.log)
        self.starts += 1
        _wait(f"{self.url}/ready", self.process, self.log)

    def kill(self) -> None:
        """As `kill -9`, with every process that it started."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        assert self.process is not None
        self.process.terminate()
        self.process.wait(STOP_S)


@dataclass(frozen=True)
class Provider:
    """The emulator at `url`."""

    url: str
    log: Path = field(repr=False)

    def bills(self) -> list[dict[str, Any]]:
        """Every bill, whoever it went to."""
        found: list[dict[str, Any]] = []
        with httpx2.Client(base_url=self.url, timeout=60, trust_env=False) as http:
            after: dict[str, Any] = {}
            while True:
                asked = http.get("/emulator/account/requests", params={"limit": 1_000, **after})
                page = asked.raise_for_status().json()
                found += page["data"]
                if not page["has_more"]:
                    return found
                after = {"after_id": found[-1]["id"]}


@contextmanager
def provider(folder: Path, *options: str) -> Iterator[Provider]:
    port, log = claim("127.0.0.1", 0, hint=""), folder / "emulator.log"
    command = ["-m", "deploy.cli", "emulator", "--port", str(port), "--keep-all", *options]
    process = _python(command, log)
    try:
        url = f"http://127.0.0.1:{port}"
        _wait(f"{url}/emulator/account", process, log)
        yield Provider(url, log)
    finally:
        process.kill()
        process.wait()


@contextmanager
def gateway(
    folder: Path, hosted: Provider, *, time_scale: float, **changes: Any
) -> Iterator[Gateway]:
    """The packaged mock configuration in one process, its Claude at `hosted`."""
    port = claim("127.0.0.1", 0, hint="")
    config = configured(hosted.url, time_scale=time_scale)
    config |= {
        "runtime": "inline",
        "server": {"port": port, "drain_s": 10},
        "log": {"level": "error"},
        "storage": {"url": f"sqlite:///{folder / 'ledger.db'}"},
        **changes,
    }
    path = folder / "stepwell.yaml"
    path.write_text(json.dumps(config))  # JSON is YAML
    found = Gateway(path, port, folder / "gateway.log")
    found.start()
    try:
        yield found
    finally:
        if found.process is not None and found.process.poll() is None:
            found.stop()


def configured(url: str, *, time_scale: float) -> dict[str, Any]:
    config: dict[str, Any] = YAML(typ="safe").load(default_config())
    for tier in config["tiers"]:
        backend = tier["backend"]
        if backend["engine"] == "mock":
            backend["time_scale"] = time_scale
        else:
            tier["backend"] = {"engine": "anthropic", "base_url": url, "api_key_env": KEY_ENV}
    return config


def usd(amount: int | None) -> Decimal:
    """Of the ledger's whole numbers of 10^-12 USD."""
    return Decimal(amount or 0).scaleb(-12)


def _python(arguments: list[str], log: Path) -> "subprocess.Popen[bytes]":
    # A proxy must not stand between loopback servers.
    env = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    with log.open("ab") as out:
        return subprocess.Popen(
            [sys.executable, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            env=env | {KEY_ENV: "bench", "STEPWELL_DATA_DIR": str(log.parent / "data")},
            start_new_session=True,
        )


def _wait(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    until = time.monotonic() + START_S
    while time.monotonic() < until and process.poll() is None:
        try:
            if httpx2.get(url, timeout=5).status_code == 200:
                return
        except httpx2.TransportError:
            pass
        time.sleep(0.1)
    raise SystemExit(f"it does not serve: {log.read_text('utf-8', 'replace')[-2_000:]}")
