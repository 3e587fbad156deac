"""The servers of a measurement, each in a process of its own."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2

from tests.bench.gateway.processes import free_port

START_S = 90.0
STOP_S = 60.0
READY_EVERY_S = 0.05
KEY_ENV = "STEPWELL_BENCH_KEY"
KEY = "bench"


class NotRunning(Exception):
    """A server did not start, or did not end as it should."""


@dataclass(slots=True)
class Emulated:
    """An emulator at `url`. `account` is what it billed, once it has ended."""

    url: str
    account: "Account | None" = None


@dataclass(frozen=True, slots=True)
class Bill:
    """One request that the emulator billed. `tokens` by kind, as its account names them."""

    message_id: str
    model: str
    outcome: str
    batch: bool
    tokens: dict[str, int]
    usd: Decimal

    @property
    def prompt_tokens(self) -> int:
        return sum(self.tokens.values()) - self.tokens["output"]


@dataclass(frozen=True, slots=True)
class Account:
    """USD by outcome, and every single bill."""

    completed: Decimal
    aborted: Decimal
    bills: tuple[Bill, ...] = field(repr=False)


@asynccontextmanager
async def emulated(models: Sequence[str], folder: Path, *options: str) -> AsyncIterator[Emulated]:
    """An emulator of these models (see `emulator.py` for `options`), ended with the context."""
    bills = folder / "bills.json"
    command = ["-m", "tests.bench.hosted.emulator", *models, *options, "--bills", str(bills)]
    log = folder / "emulator.log"
    async with _process(command, log, stdout=asyncio.subprocess.PIPE) as process:
        assert process.stdout is not None
        async with asyncio.timeout(START_S):
            line = (await process.stdout.readline()).decode().strip()
        if not line:
            raise NotRunning(f"the emulator does not start: {_tail(log)}")
        found = Emulated(line)
        yield found
        await _end(process, "emulator")
        found.account = _account(json.loads(bills.read_text()))


@dataclass(frozen=True, slots=True)
class Served:
    """A gateway, the id of its process and its ledger's file."""

    url: str
    pid: int
    ledger: Path


@asynccontextmanager
async def served(config: Mapping[str, Any], folder: Path) -> AsyncIterator[Served]:
    """`stepwell serve` with this configuration, drained at the end of the context: its ledger is
    then complete.
    """
    port, ledger = free_port(), folder / "ledger.db"
    own = {
        "runtime": "inline",
        "server": {"port": port, "drain_s": 10},
        "log": {"level": "error"},
        "storage": {"url": f"sqlite:///{ledger}"},
    }
    path, log = folder / "stepwell.yaml", folder / "gateway.log"
    path.write_text(json.dumps({**config, **own}))  # JSON is YAML
    url = f"http://127.0.0.1:{port}"
    async with _process(["-m", "deploy.cli", "serve", str(path)], log) as process:
        await _ready(url, process, log)
        yield Served(url, process.pid, ledger)
        await _end(process, "gateway")


async def _ready(url: str, process: asyncio.subprocess.Process, log: Path) -> None:
    until = time.monotonic() + START_S
    async with httpx2.AsyncClient(trust_env=False) as http:
        while time.monotonic() < until and process.returncode is None:
            try:
                if (await http.get(f"{url}/ready")).status_code == 200:
                    return
            except httpx2.TransportError:
                pass
            await asyncio.sleep(READY_EVERY_S)
    raise NotRunning(f"the gateway does not serve: {_tail(log)}")


@asynccontextmanager
async def _process(
    arguments: Sequence[str], log: Path, *, stdout: int | None = None
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Python with these arguments, in `log` its errors and, if it has no `stdout`, its output;
    killed if it is still there at the end.
    """
    # A proxy must not stand between two loopback servers.
    env = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=stdout or out,
            stderr=out,
            env=env | {KEY_ENV: KEY},
            start_new_session=True,
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _end(process: asyncio.subprocess.Process, name: str) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(STOP_S):
            await process.wait()
    except TimeoutError:
        raise NotRunning(f"the {name} does not end") from None


def _account(found: dict[str, Any]) -> Account:
    bills = tuple(
        Bill(
            message_id=b["message_id"],
            model=b["model"],
            outcome=b["outcome"],
            batch="batch_id" in b,
            tokens=b["tokens"],
            usd=Decimal(b["usd"]),
        )
        for b in found["bills"]
    )
    completed, aborted = (Decimal(found[o]["usd"]) for o in ("completed", "aborted"))
    return Account(completed, aborted, bills)


def _tail(log: Path) -> str:
    return log.read_text("utf-8", "replace")[-2_000:]
