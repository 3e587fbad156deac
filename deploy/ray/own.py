"""What a stack must have to itself where several share a machine."""

import os
import random
import signal
import socket
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from serving.errors import ConfigError

FIRST, BLOCK, BLOCKS = 20_000, 200, 60
"""Ports below those that systems give to outgoing connections."""


@contextmanager
def own_flags() -> Iterator[dict[str, str]]:
    """Ray's flags for ports and files that no other stack on this machine has, for as long as this
    is open.

    By default every stack's gateways listen from port 30000 on, and the proxy that stands in for
    them on port 8500, in a way that lets several processes listen on one port: two stacks then
    answer each other's requests, whatever their keys. The first port of a block is its claim;
    nothing else ever listens there. A block in which anything listens is passed over: HAProxy may
    outlive a stack that was killed.
    """
    # Short, for a socket's path may have 107 characters.
    with closing(_claimed()) as claim, _folder() as folder:
        first = claim.getsockname()[1]
        yield {
            "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(first + 1),
            "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(first + BLOCK - 4),
            "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(first + BLOCK - 3),
            "RAY_SERVE_HAPROXY_METRICS_PORT": str(first + BLOCK - 2),
            "RAY_SERVE_HAPROXY_STATS_PORT": str(first + BLOCK - 1),
            "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": f"{folder}/haproxy.cfg",
            "RAY_SERVE_HAPROXY_SOCKET_PATH": f"{folder}/admin.sock",
            "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": f"{folder}/metrics.sock",
            "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": folder,
            "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": f"{folder}/server-state",
        }


@contextmanager
def _folder() -> Iterator[str]:
    """For HAProxy's files. Whoever still runs on them at the end is killed: HAProxy outlives what
    started it where that was killed itself.
    """
    with tempfile.TemporaryDirectory(prefix="stepwell-") as folder:
        try:
            yield folder
        finally:
            for pid in _using(f"{folder}/"):
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)


def _using(start: str) -> list[int]:
    """The HAProxys with an argument that begins so; none where there is no `/proc`."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            program, *arguments = path.read_bytes().decode(errors="replace").split("\0")
            if Path(program).name == "haproxy" and any(a.startswith(start) for a in arguments):
                found.append(int(path.parent.name))
    return found


def _claimed() -> socket.socket:
    for block in random.sample(range(BLOCKS), BLOCKS):
        first = FIRST + block * BLOCK
        try:
            claim = socket.create_server(("127.0.0.1", first))
        except OSError:
            continue
        if all(_free(port) for port in range(first + 1, first + BLOCK)):
            return claim
        claim.close()
    raise ConfigError(
        f"no {BLOCK} ports from {FIRST} to {FIRST + BLOCK * BLOCKS - 1} are free for the gateways"
    )


def _free(port: int) -> bool:
    """Nobody listens, on any address."""
    try:
        with socket.create_server(("", port)):
            return True
    except OSError:
        return False
