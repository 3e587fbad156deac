"""What keeps a stack from starting is one clear line, at once."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

CONFIG = """\
runtime: ray
server: {port: PORT}
tiers:
  - {name: only, model: m, backend: {engine: mock}}
"""
WITHOUT_RAY = """\
import sys
sys.modules["ray"] = None
sys.argv = ["stepwell", "serve", sys.argv[1]]
from deploy.cli.main import app
app()
"""


def refusal(folder: Path, command: list[str], port: int = 0, **env: str) -> str:
    path = folder / "stepwell.yaml"
    path.write_text(CONFIG.replace("PORT", str(port)))
    done = subprocess.run(
        [sys.executable, *command, str(path)],
        env={**os.environ, "STEPWELL_DATA_DIR": str(folder), **env},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 2
    lines = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    assert len(lines) == 1
    return lines[0]


def test_a_port_in_use(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        message = refusal(tmp_path, ["-m", "deploy.cli", "serve"], port)
    assert f"port {port} of 127.0.0.1 is in use" in message


def test_a_missing_extra(tmp_path: Path) -> None:
    message = refusal(tmp_path, ["-c", WITHOUT_RAY])
    assert "pip install 'stepwell[ray]'" in message


def test_an_unwritable_data_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    folder = str(tmp_path / "file" / "data")
    message = refusal(tmp_path, ["-m", "deploy.cli", "serve"], STEPWELL_DATA_DIR=folder)
    assert folder in message


def test_listening_elsewhere_needs_keys(tmp_path: Path) -> None:
    path = tmp_path / "stepwell.yaml"
    path.write_text(CONFIG.replace("{port: PORT}", "{host: 0.0.0.0}"))
    command = [sys.executable, "-m", "deploy.cli", "serve", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2
    assert "keys" in done.stderr


@pytest.fixture(autouse=True)
def _outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
