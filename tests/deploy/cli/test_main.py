"""The command as a process: it starts fast, and its errors are lines, not tracebacks."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deploy.cli.main import app
from serving.errors import NoTierAnswered

HEAVY = ["openai", "sqlalchemy", "fastapi", "pydantic_core", "rich.console", "uvicorn", "alembic"]


def stepwell(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "deploy.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_help_names_every_command() -> None:
    done = stepwell("--help")
    assert done.returncode == 0
    for name in (
        "serve",
        "batch",
        "check",
        "hash-key",
        "replay",
        "demo",
        "report",
        "outcomes",
        "emulator",
        "prompt-cache",
    ):
        assert name in done.stdout


def test_the_command_imports_nothing_heavy_to_start() -> None:
    code = f"import sys, deploy.cli.main; print([m for m in {HEAVY!r} if m in sys.modules])"
    started = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert time.perf_counter() - started < 5  # a shared machine; alone it takes a tenth of that
    assert done.stdout.strip() == "[]"


def test_version() -> None:
    done = stepwell("version")
    assert done.returncode == 0
    assert done.stdout.strip().count(".") == 2


@pytest.mark.parametrize("command", ["serve", "check", "demo"])
def test_a_wrong_configuration_is_a_line_and_exit_code_2(command: str, tmp_path: Path) -> None:
    config = tmp_path / "wrong.yaml"
    config.write_text("tires:\n  - name: small\n", "utf-8")
    done = stepwell(command, str(config))
    assert done.returncode == 2
    assert f"{config}:1: tires: unknown key; did you mean 'tiers'?" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_other_errors_of_ours_exit_with_1(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise NoTierAnswered("nobody is there")

    monkeypatch.setattr("deploy.cli.check.examine", fail)
    done = CliRunner().invoke(app, ["check", "deploy/configs/mock.yaml"])
    assert done.exit_code == 1
    assert done.stderr == "error: nobody is there\n"
