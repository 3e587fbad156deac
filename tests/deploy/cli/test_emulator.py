"""`stepwell emulator` as a process, spoken to by the real SDK."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import pytest
from typer.testing import CliRunner

from deploy.cli.main import app
from serving.hosted.emulator.core import workspace_of
from tests.e2e.configs import claude_tier
from tests.e2e.stack import running

REQUEST: Any = {
    "custom_id": "a",
    "params": {
        "model": "claude-sonnet-5-5",
        "max_tokens": 2_000,
        "messages": [{"role": "user", "content": "Where is my order?"}],
    },
}


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


@pytest.mark.parametrize(("ending", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, -15)])
def test_it_answers_the_real_sdk_and_ends_on_a_signal_with_its_account(
    ending: signal.Signals, code: int
) -> None:
    with emulating() as (url, process):
        message = ask(url)
        process.send_signal(ending)
        assert process.stdout is not None
        said = process.stdout.read()
        assert process.wait(20) == code
    usage = message.usage
    cost = (Decimal(2) * usage.input_tokens + Decimal(10) * usage.output_tokens) / 1_000_000
    assert "Billed 1 requests" in said
    assert f"claude-sonnet-5-5 global completed: 1 requests, input {usage.input_tokens}" in said
    assert str(cost) in said


def test_the_clock_is_moved_and_the_account_read_over_http() -> None:
    with emulating("--clock", "movable", "--batch", "delay_s=3000") as (url, _):
        with anthropic.Anthropic(base_url=url, api_key="any", max_retries=0) as client:
            made = client.messages.batches.create(requests=[REQUEST])
            moved = httpx2.post(f"{url}/emulator/clock", json={"advance_s": 3_001})
            assert moved.status_code == 200
            assert client.messages.batches.retrieve(made.id).processing_status == "ended"
        account = httpx2.get(f"{url}/emulator/account").json()
    assert account["completed"]["requests"] == 1
    assert account["lines"][0]["batch"] is True


def test_the_clock_is_not_moved_unless_asked_for() -> None:
    with emulating() as (url, _):
        assert httpx2.post(f"{url}/emulator/clock", json={"advance_s": 1}).status_code == 403


def test_a_cap_on_spending() -> None:
    with emulating("--spend-limit", "0.000001") as (url, _):
        ask(url)
        with pytest.raises(anthropic.RateLimitError) as caught:
            ask(url)
    assert caught.value.error_code == "enforced_spend_limit_reached"


def test_a_tier_reaches_it_by_its_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One emulator for several tiers, with a key from the environment: all of it is one account,
    and that is the ledger's.
    """
    monkeypatch.setenv("EMULATED_KEY", "sk-of-the-tiers")
    tiers = [claude_tier("sonnet", "claude-sonnet-5-5"), claude_tier("opus", "claude-opus-5-5")]
    with emulating("--keep-all") as (url, _):
        for tier in tiers:
            backend = {"engine": "anthropic", "base_url": url, "api_key_env": "EMULATED_KEY"}
            tier["backend"] = backend
        config = {"tiers": tiers, "default_task": {"name": "default", "gate": "off"}}
        with running(config, tmp_path) as stack, stack.client() as client:
            for name in ("sonnet", "opus", "sonnet"):
                answered = client.chat.completions.create(
                    model=name, messages=[{"role": "user", "content": f"Where is {name}?"}]
                )
                assert answered.choices[0].message.content
            booked = stack.rows("SELECT model, cost FROM attempts ORDER BY created_at")
        account = httpx2.get(f"{url}/emulator/account").json()
    assert [row["model"] for row in booked] == [
        "claude-sonnet-5-5", "claude-opus-5-5", "claude-sonnet-5-5",
    ]  # fmt: skip
    pico = sum(row["cost"] for row in booked)
    assert Decimal(pico).scaleb(-12) == Decimal(account["completed"]["usd"])
    assert {line["workspace"] for line in account["lines"]} == {workspace_of("sk-of-the-tiers")}


@pytest.mark.parametrize("rule", ["speed=1", "delay_s", "delay_s=x", "cache_share=2"])
def test_a_wrong_rule_for_batches_is_refused(rule: str) -> None:
    done = CliRunner().invoke(app, ["emulator", "--batch", rule])
    assert done.exit_code == 2
    assert "--batch" in done.stderr


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
