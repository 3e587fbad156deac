"""The demo's server process: ports, failures, and that it never outlives the demo."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from deploy.cli.demo.server import ServerFailed, server
from deploy.ports import claim
from serving.errors import ConfigError
from tests.e2e.configs import ladder


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        yield holder.getsockname()[1]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "stepwell.yaml"
    url = f"sqlite:///{tmp_path / 'stepwell.db'}"
    YAML(typ="safe").dump(ladder(storage={"url": url}, server={"port": 0, "drain_s": 2}), path)
    return path


def test_a_port_in_use_is_named(taken: int, config: Path, tmp_path: Path) -> None:
    log = tmp_path / "demo.log"
    with (
        pytest.raises(ConfigError, match=f"port {taken} of 127.0.0.1 is in use.*STEPWELL_PORT"),
        server(config, host="127.0.0.1", port=taken, drain_s=1, log=log),
    ):
        pass
    assert not log.exists(), "nothing was started"


def test_a_server_that_does_not_start_tells_why(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("tires: []\n", "utf-8")
    log = tmp_path / "demo.log"
    with (
        pytest.raises(ServerFailed, match="did you mean 'tiers'"),
        server(wrong, host="127.0.0.1", port=0, drain_s=1, log=log),
    ):
        pass


def test_a_server_serves_until_the_block_ends(config: Path, tmp_path: Path) -> None:
    log = tmp_path / "demo.log"
    with server(config, host="127.0.0.1", port=0, drain_s=2, log=log) as serving:
        assert serving.process.poll() is None
        port = int(serving.url.rpartition(":")[2])
    assert serving.process.poll() == 128 + signal.SIGTERM, log.read_text("utf-8")
    assert claim("127.0.0.1", port, hint="") == port


def test_a_server_dies_with_a_demo_that_is_killed(config: Path, tmp_path: Path) -> None:
    """The demo's process gets SIGKILL, so nothing of it can clean up."""
    code = (
        "import pathlib, time\n"
        "from deploy.cli.demo.server import server\n"
        f"with server(pathlib.Path({str(config)!r}), host='127.0.0.1', port=0, drain_s=2,"
        f" log=pathlib.Path({str(tmp_path / 'demo.log')!r})) as serving:\n"
        "    print(serving.url, flush=True)\n"
        "    time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as demo:
        assert demo.stdout is not None
        url = demo.stdout.readline().strip()
        demo.kill()
    assert url
    port = int(url.rpartition(":")[2])
    until = time.monotonic() + 20
    while not _free(port):
        assert time.monotonic() < until, "the server outlived its demo"
        time.sleep(0.05)


def _free(port: int) -> bool:
    try:
        return claim("127.0.0.1", port, hint="") == port
    except ConfigError:
        return False
