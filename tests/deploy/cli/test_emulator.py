"""`stepwell emulator` as a process, spoken to by the real SDK."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anthropic
import pytest
from typer.testing import CliRunner

from deploy.cli.main import app


@contextmanager
def emulating(*options: str) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    command = [sys.executable, "-u", "-m", "deploy.cli", "emulator", "--port", "0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            first = process.stdout.readline()
            assert "simulated" in first
            found = re.search(r"http://\S+", first)
            assert found is not None, first
            yield found[0], process
        finally:
            process.kill()


def ask(url: str) -> anthropic.types.Message:
    with anthropic.Anthropic(base_url=url, api_key="any", max_retries=0, timeout=20) as client:
        return client.messages.create(
            model="claude-sonnet-5-5",
            max_tokens=2_000,
            messages=[{"role": "user", "content": "Where is my order?"}],
        )


def test_it_answers_the_real_sdk_and_ends_on_ctrl_c() -> None:
    with emulating() as (url, process):
        assert ask(url).content
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130


def test_faults_are_the_callers() -> None:
    with emulating("--fault", "spend_limit=1") as (url, _), pytest.raises(anthropic.RateLimitError):
        anthropic.Anthropic(base_url=url, api_key="any", max_retries=0).messages.create(
            model="claude-sonnet-5-5",
            max_tokens=2_000,
            messages=[{"role": "user", "content": "Where is my order?"}],
        )


@pytest.mark.parametrize("fault", ["529", "529=many", "529=1.5", "flood=0.1"])
def test_a_wrong_fault_is_refused(fault: str) -> None:
    done = CliRunner().invoke(app, ["emulator", "--fault", fault])
    assert done.exit_code == 2
    assert "--fault" in done.stderr


def test_a_configuration_without_emulated_tiers_is_refused(tmp_path: Path) -> None:
    config = tmp_path / "stepwell.yaml"
    config.write_text("tiers: [{name: a, model: m, backend: {engine: mock}}]\n", "utf-8")
    done = CliRunner().invoke(app, ["emulator", str(config)])
    assert done.exit_code == 2
    assert "base_url: emulator" in done.stderr
