"""What the replay counts is what the ledger holds, to the last token and picodollar."""

import json
from decimal import Decimal
from pathlib import Path

from typer.testing import CliRunner

from deploy.cli.demo.requests import demo_requests
from deploy.cli.main import app
from tests.e2e.configs import ladder
from tests.e2e.stack import running

SUMS = """
SELECT count(*) AS attempts, sum(prompt_tokens) AS prompt_tokens,
       sum(completion_tokens) AS completion_tokens, sum(cost) AS cost
FROM attempts WHERE kind = 'attempt'
"""
FAULTS = {"error": 0.05, "garbage": 0.05, "refuse": 0.1, "truncate": 0.05, "repeat": 0.05}


def test_the_replay_and_the_ledger_agree(tmp_path: Path) -> None:
    """Mixed traffic, streams, cached repeats and a tier that fails in every way that ends."""
    config = ladder()
    for tier in config["tiers"]:
        tier["deadline_s"] = 60  # of a machine that does much else
    config["tiers"][0] |= {"retries": 0, "gate": {}}
    config["tiers"][0]["backend"] |= {"ability": 0.0, "faults": FAULTS}
    config["default_task"] = {"name": "default", "cache": {"enabled": True}}
    requests, figures_file = tmp_path / "requests.jsonl", tmp_path / "figures.json"
    bodies = [json.dumps(body) for body in demo_requests(200)]
    requests.write_text("\n".join(bodies), "utf-8")

    with running(config, tmp_path) as stack:
        options = ["--url", stack.url, "--json", str(figures_file), "--concurrency", "16"]
        done = CliRunner().invoke(app, ["replay", str(requests), *options])
        (sums,) = stack.rows(SUMS, wait=1)
        (hits,) = stack.rows("SELECT count(*) AS n FROM attempts WHERE kind = 'cache_hit'")
        (whole,) = stack.rows("SELECT sum(baseline_cost) AS usd FROM attempts")
    assert done.exit_code == 0, done.output
    figures = json.loads(figures_file.read_text("utf-8"))

    assert (figures["requests"], figures["answered"]) == (200, 200)
    for name in ("attempts", "prompt_tokens", "completion_tokens"):
        assert figures[name] == sums[name] > 0, name
    assert Decimal(figures["cost_usd"]) == Decimal(sums["cost"]).scaleb(-12)
    assert Decimal(figures["baseline_cost_usd"]) == Decimal(whole["usd"]).scaleb(-12)
    assert figures["cache_hits"] == hits["n"] > 0
    assert figures["by_tier"]["small"]["escalated"]
    assert sum(tier["answered"] for tier in figures["by_tier"].values()) == 200
