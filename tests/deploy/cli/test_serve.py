"""`stepwell serve` as a process: however it is ended, the ledger has what was answered."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner

from deploy.cli.main import app
from deploy.ports import claim
from tests.e2e.configs import ladder

BODY = {"model": "small", "messages": [{"role": "user", "content": "Where is my order?"}]}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "stepwell.yaml"
    storage = {"url": f"sqlite:///{tmp_path / 'stepwell.db'}", "flush_interval_s": 60}
    server = {"port": 1, "drain_s": 2}  # replaced by each test
    YAML(typ="safe").dump(ladder(storage=storage, server=server), path)
    return path


@contextmanager
def serving(config: Path, *options: str) -> Iterator[tuple["subprocess.Popen[bytes]", str]]:
    """The process, once it is ready, and its URL; the port comes from the environment."""
    port = claim("127.0.0.1", 0, hint="")
    command = [sys.executable, "-m", "deploy.cli", "serve", str(config), *options]
    with subprocess.Popen(
        command,
        env={**os.environ, "STEPWELL_PORT": str(port)},
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            until = time.monotonic() + 60
            while not _ready(url):
                assert process.poll() is None
                assert time.monotonic() < until
                time.sleep(0.05)
            yield process, url
        finally:
            process.kill()


def _ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/ready", timeout=5):
            return True
    except (urllib.error.URLError, OSError):
        return False


def ask(url: str) -> None:
    headers = {"content-type": "application/json"}
    data = json.dumps(BODY).encode()
    request = urllib.request.Request(f"{url}/v1/chat/completions", data, headers)
    with urllib.request.urlopen(request, timeout=20) as response:
        assert response.status == 200


def rows(config: Path) -> int:
    with closing(sqlite3.connect(config.parent / "stepwell.db")) as ledger:
        (count,) = ledger.execute("SELECT count(*) FROM attempts").fetchone()
    return int(count)


@pytest.mark.parametrize(
    ("how", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), ("eof", 143)]
)
def test_nothing_answered_is_missing_from_the_ledger(
    how: signal.Signals | str, code: int, config: Path
) -> None:
    """The flush interval is a minute, so only the flush at the end can have written the row."""
    with serving(config, *(["--until-eof"] if how == "eof" else [])) as (process, url):
        ask(url)
        if isinstance(how, signal.Signals):
            process.send_signal(how)
        elif process.stdin is not None:
            process.stdin.close()
        assert process.wait(30) == code
    assert rows(config) == 1


def test_listening_beyond_loopback_needs_keys(config: Path) -> None:
    done = CliRunner().invoke(app, ["serve", str(config), "--host", "0.0.0.0"])
    assert done.exit_code == 2
    assert "needs `keys`" in done.stderr
