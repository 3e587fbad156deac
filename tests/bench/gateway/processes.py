"""Servers under measurement, each a process of its own."""

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from deploy.ports import claim
from tests.bench.gateway import client

READY_S = 120.0
READY_EVERY_S = 0.25
READY_ANSWERS = 8
DRAIN_S = 45.0


class NotReady(Exception):
    """A server that was to be measured does not run."""


def free_port() -> int:
    return claim("127.0.0.1", 0, hint="")


class Process:
    """A command in its own session, its output in `log`."""

    def __init__(self, command: Sequence[str | Path], log: Path, env: Mapping[str, str]) -> None:
        self.log = log
        # A proxy between two loopback servers would be measured with them.
        kept = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
        with log.open("wb") as out:
            self._process = subprocess.Popen(
                [str(c) for c in command],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=kept | dict(env),
                start_new_session=True,
            )

    async def ready(self, port: int, path: str, body: bytes, *, within_s: float = READY_S) -> None:
        """Waits until it answers `body` with 200 for a while, since what stands in front of a
        gateway may be replaced when its replicas come up. `NotReady` with the end of its log.
        """
        deadline = asyncio.get_running_loop().time() + within_s
        in_a_row = 0
        while asyncio.get_running_loop().time() < deadline and self._process.poll() is None:
            in_a_row = in_a_row + 1 if await _answers(port, path, body) else 0
            if in_a_row == READY_ANSWERS:
                return
            await asyncio.sleep(READY_EVERY_S)
        raise NotReady(f"{self._process.args!s} is not ready; its last lines:\n{self.tail()}")

    def tail(self, lines: int = 15) -> str:
        return "\n".join(self.log.read_text("utf-8", "replace").splitlines()[-lines:])

    async def stop(self) -> None:
        """Lets it drain, then ends what is left of its session."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                await asyncio.to_thread(self._process.wait, DRAIN_S)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


async def _answers(port: int, path: str, body: bytes) -> bool:
    try:
        found = await client.load(port, path, [body], clients=1, seconds=0, stream=False)
    except OSError:
        return False
    return not found.errors
