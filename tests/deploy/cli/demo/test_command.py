"""`stepwell demo` as a process: by itself in a pipe, until Ctrl-C on a terminal."""

import os
import pty
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner

from deploy.cli.main import app
from tests.e2e.configs import ladder

COMMAND = [sys.executable, "-m", "deploy.cli", "demo"]


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STEPWELL_DATA_DIR", str(tmp_path / "data"))
    path = tmp_path / "stepwell.yaml"
    YAML(typ="safe").dump(ladder(server={"port": 0, "drain_s": 2}), path)
    return path


def test_in_a_pipe_it_ends_by_itself(config: Path, tmp_path: Path) -> None:
    command = [*COMMAND, str(config), "--requests", "30"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "requests 30: 30 answered, 0 errors" in done.stdout
    for said in ("simulated", "small ~", "curl http", "/v1/models", "/metrics"):
        assert said in done.stdout
    assert f"stepwell report {config}" in done.stdout
    assert "\x1b[" not in done.stdout
    with sqlite3.connect(tmp_path / "data" / "stepwell.db") as ledger:
        (count,) = ledger.execute("SELECT count(DISTINCT request_id) FROM attempts").fetchone()
    ledger.close()
    assert count == 30


@contextmanager
def on_a_terminal(command: list[str]) -> Iterator[tuple["subprocess.Popen[bytes]", int]]:
    """The process with a terminal as its stdout, and the descriptor to read it from."""
    screen, terminal = pty.openpty()
    try:
        with subprocess.Popen(command, stdout=terminal, stderr=subprocess.DEVNULL) as process:
            os.close(terminal)
            try:
                yield process, screen
            finally:
                process.kill()
    finally:
        os.close(screen)


def test_on_a_terminal_it_stays_until_ctrl_c(config: Path) -> None:
    with on_a_terminal([*COMMAND, str(config), "--requests", "5"]) as (process, screen):
        shown = b""
        while b"Serving until Ctrl-C" not in shown:
            shown += os.read(screen, 65_536)
        found = re.search(rb"models +(http://\S+)", shown)
        assert found is not None
        with urllib.request.urlopen(found[1].decode(), timeout=20) as response:
            assert response.status == 200
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(found[1].decode(), timeout=5)


def test_it_refuses_to_spend_real_money(config: Path) -> None:
    claude = {"name": "real", "model": "claude-opus-5-5", "backend": {"engine": "anthropic"}}
    YAML(typ="safe").dump({"tiers": [claude]}, config)
    done = CliRunner().invoke(app, ["demo", str(config)])
    assert done.exit_code == 2
    assert "real answers for real" in done.stderr


def test_keys_need_one(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STEPWELL_API_KEY", raising=False)
    key = {"id": "k", "tenant": "t", "hash": "sha256:" + "0" * 64}
    YAML(typ="safe").dump(ladder(keys=[key]), config)
    done = CliRunner().invoke(app, ["demo", str(config)])
    assert done.exit_code == 2
    assert "STEPWELL_API_KEY" in done.stderr


def test_a_busy_port_is_named(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        monkeypatch.setenv("STEPWELL_PORT", str(port))
        done = CliRunner().invoke(app, ["demo", str(config)])
    assert done.exit_code == 2
    assert f"port {port} of 127.0.0.1 is in use" in done.stderr
    assert "STEPWELL_PORT" in done.stderr
