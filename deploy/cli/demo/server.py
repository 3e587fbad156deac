"""`stepwell serve` as a process of its own, so that load and server don't share an event loop and
the demo's latencies are honest.
"""

import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.ports import claim
from serving.errors import StepwellError

PORT_HINT = "choose another with --port or STEPWELL_PORT"
READY_WITHIN_S = 180.0
POLL_S = 0.05
READY_TIMES = 5
LOG_TAIL_LINES = 25
EXTRA_DRAIN_S = 5.0  # what stopping takes beside draining
ANY_HOST = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  read from a config, not bound


class ServerFailed(StepwellError):
    """The server process ended or never got ready; the message has the end of its log."""


@dataclass(frozen=True, slots=True)
class Serving:
    """A server that is ready at `url`."""

    url: str
    log: Path
    process: "subprocess.Popen[bytes]"

    def wait(self) -> None:
        """Until the server ends by itself, which is a failure."""
        code = self.process.wait()
        raise ServerFailed(f"the server ended with exit code {code}\n{_tail(self.log)}")


@contextmanager
def server(config: Path, *, host: str, port: int, drain_s: float, log: Path) -> Iterator[Serving]:
    """The configuration served on `host` and `port` (0: a free one) until the block ends, or this
    process does, however it ends. `ConfigError` where the port is taken, `ServerFailed` where the
    server does not get ready.
    """
    port = claim(host, port, hint=PORT_HINT)
    command = [sys.executable, "-P", "-m", "deploy.cli", "serve", str(config)]
    command += ["--host", host, "--port", str(port), "--until-eof"]
    with log.open("wb") as sink:
        process = subprocess.Popen(  # noqa: S603  our own command line
            command,
            stdin=subprocess.PIPE,  # closes with this process: then the server ends too
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for this process, which then ends the server
        )
    shown = ANY_HOST.get(host, host)
    url = f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"
    try:
        _wait_ready(url, process, log)
        yield Serving(url, log, process)
    finally:
        _stop(process, drain_s + EXTRA_DRAIN_S)


def _wait_ready(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Ready several times in a row: HAProxy is reloaded as replicas come up, and a connection that
    it takes meanwhile may break off.
    """
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    good = 0
    until = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < until:
        if process.poll() is not None:
            ended = f"the server ended with exit code {process.returncode}"
            raise ServerFailed(f"{ended} before it was ready\n{_tail(log)}")
        try:
            with direct.open(f"{url}/ready", timeout=2):
                good += 1
        except (urllib.error.URLError, OSError):
            good = 0
        if good == READY_TIMES:
            return
        time.sleep(POLL_S)
    raise ServerFailed(f"the server was not ready within {READY_WITHIN_S:.0f} s\n{_tail(log)}")


def _stop(process: "subprocess.Popen[bytes]", patience_s: float) -> None:
    """SIGTERM drains; whoever does not heed it is killed."""
    process.terminate()
    try:
        process.wait(patience_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    finally:
        if process.stdin is not None:
            process.stdin.close()


def _tail(log: Path) -> str:
    return "\n".join(log.read_text("utf-8", "replace").splitlines()[-LOG_TAIL_LINES:])
