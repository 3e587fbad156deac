"""A replay of real requests: none is lost, and the ledger adds up to the replay's own count."""

import json
import os
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner

from deploy.cli.main import app
from deploy.paths import default_config
from tests.e2e.stack import Stack, running

DATA = os.environ.get("STEPWELL_TEST_DATA")
LINES = 3_080
SETTLED_S = 60

pytestmark = pytest.mark.skipif(not DATA, reason="STEPWELL_TEST_DATA is unset")


def without_waiting(config: dict[str, Any]) -> dict[str, Any]:
    for tier in config["tiers"]:
        backend = tier["backend"]
        backend.get("emulated", backend)["time_scale"] = 0
    return config


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    config = YAML(typ="safe").load(default_config())
    with running(without_waiting(config), tmp_path_factory.mktemp("replay")) as stack:
        yield stack


def replay(stack: Stack, out: Path, *options: str) -> dict[str, Any]:
    source = Path(DATA or "") / "banking77_test.jsonl.gz"
    arguments = ["replay", str(source), "--url", stack.url, "--concurrency", "32", "--json"]
    result = CliRunner().invoke(app, [*arguments, str(out), *options])
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(out.read_text("utf-8"))
    return found


def test_nothing_is_lost_and_the_ledger_agrees(stack: Stack, tmp_path: Path) -> None:
    assert_nothing_is_lost(stack, tmp_path / "out.json")


def assert_nothing_is_lost(stack: Stack, out: Path) -> None:
    """All lines are answered, and attempts, tokens and money in the ledger are the replay's own."""
    counted = replay(stack, out)
    assert counted["requests"] == counted["answered"] == LINES
    assert counted["errors"] == 0
    (ledger,) = stack.rows(
        "SELECT count(*) AS rows, sum(kind = 'attempt') AS attempts,"
        " count(DISTINCT request_id) AS requests,"
        " sum((kind = 'attempt') * prompt_tokens) AS tokens_in,"
        " sum((kind = 'attempt') * completion_tokens) AS tokens_out,"
        " sum(cost) AS cost, sum(baseline_cost) AS baseline"
        " FROM attempts WHERE kind NOT IN ('spot_check', 'cache_check')",
        wait=1,
    )
    assert ledger["requests"] == LINES
    assert ledger["attempts"] == counted["attempts"]
    assert ledger["tokens_in"] == counted["prompt_tokens"]
    assert ledger["tokens_out"] == counted["completion_tokens"]
    assert Decimal(ledger["cost"]) == Decimal(counted["cost_usd"]) * 10**12
    assert Decimal(ledger["baseline"]) == Decimal(counted["baseline_cost_usd"]) * 10**12
    unsettled = "SELECT id FROM attempts WHERE outcome IN ('open', 'intent')"
    until = time.monotonic() + SETTLED_S
    while stack.rows(unsettled) and time.monotonic() < until:
        pass  # checks go on behind the answers
    assert stack.rows(unsettled) == []


def test_repeats_come_from_the_cache(stack: Stack, tmp_path: Path) -> None:
    first = replay(stack, tmp_path / "a.json", "--limit", "50")
    again = replay(stack, tmp_path / "b.json", "--limit", "50")
    assert first["answered"] == again["answered"] == 50
    assert again["attempts"] == 0
    assert Decimal(again["cost_usd"]) == 0
    assert Decimal(again["baseline_cost_usd"]) > 0


def test_streams_add_up_too(stack: Stack, tmp_path: Path) -> None:
    before = stack.rows("SELECT coalesce(max(rowid), 0) AS last FROM attempts", wait=1)[0]["last"]
    counted = replay(stack, tmp_path / "s.json", "--limit", "200", "--stream", "--task", "tools")
    (ledger,) = stack.rows(
        "SELECT sum(prompt_tokens) AS tokens_in, sum(completion_tokens) AS tokens_out,"
        " sum(cost) AS cost FROM attempts WHERE kind != 'spot_check' AND task = 'tools'",
        wait=1,
    )
    assert before > 0
    assert counted["answered"] == 200
    assert ledger["tokens_in"] == counted["prompt_tokens"]
    assert ledger["tokens_out"] == counted["completion_tokens"]
    assert Decimal(ledger["cost"]) == Decimal(counted["cost_usd"]) * 10**12
