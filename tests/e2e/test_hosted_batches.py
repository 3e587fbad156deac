"""Lines of batches that climb to Claude, through the whole stack: they go there in its batches."""

import json
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.e2e.configs import LADDER, ladder
from tests.e2e.stack import Stack, running

FAST = {
    "enabled": True,
    "poll_s": 0.1,
    "flush_s": 0.2,
    "hosted_poll_s": 0.1,
    "hosted_poll_max_s": 0.5,
}
AT_ONCE = {"delay_s": 0.05, "requests_per_s": 1_000}


def line(custom_id: str, text: str, model: str = "auto", **more: Any) -> str:
    body = {"model": model, "messages": [{"role": "user", "content": text}], **more}
    request = {"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions"}
    return json.dumps({**request, "body": body})


def config(**changes: Any) -> dict[str, Any]:
    made = ladder(batch=FAST, **changes)
    for tier in made["tiers"]:
        if tier["backend"]["engine"] == "anthropic":
            tier["backend"]["emulator_batches"] = AT_ONCE
    return made


def answered(stack: Stack, lines: list[str]) -> tuple[Any, dict[str, Any]]:
    """The batch at its end, and its answers by custom_id."""
    with stack.client(timeout=30) as client:
        file = client.files.create(file=("in.jsonl", "\n".join(lines).encode()), purpose="batch")
        batch = client.batches.create(
            input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
        )
        until = time.monotonic() + 60
        while batch.status != "completed":
            assert time.monotonic() < until, batch
            time.sleep(0.1)
            batch = client.batches.retrieve(batch.id)
        found: dict[str, Any] = {}
        for file_id in filter(None, (batch.output_file_id, batch.error_file_id)):
            for text in client.files.content(file_id).text.splitlines():
                one = json.loads(text)
                assert one["custom_id"] not in found
                found[one["custom_id"]] = one["response"]
        return batch, found


def test_what_is_asked_of_claude_goes_there_in_a_batch_at_half_the_price(tmp_path: Path) -> None:
    lines = [line(f"c{i}", f"What is {i} + 4?", "sonnet") for i in range(6)]
    lines += [line(f"l{i}", f"What is {i} + 5?") for i in range(3)]
    with running(config(), tmp_path) as stack:
        batch, found = answered(stack, lines)
        assert all(response["status_code"] == 200 for response in found.values())
        rows = stack.rows("SELECT * FROM attempts WHERE kind = 'attempt'", wait=1.0)
        hosted = stack.rows("SELECT * FROM hosted_batches")
    by_tier = {row["tier"]: row["service"] for row in rows}
    assert by_tier["sonnet"] == "batch"
    assert by_tier["small"] == "live"
    assert len([row for row in rows if row["tier"] == "sonnet"]) == 6
    assert [(row["state"], row["lines"]) for row in hosted] == [("done", 6)]
    for row in rows:
        if row["tier"] == "sonnet":  # 1 and 5 USD per million tokens
            tokens = row["prompt_tokens"] * 1 + row["completion_tokens"] * 5
            assert row["cost"] == int(Decimal(tokens) * Decimal(10) ** 6)
    assert batch.stepwell["tiers"] == {"small": 3, "sonnet": 6}


def test_what_fails_below_climbs_from_batch_to_batch(tmp_path: Path) -> None:
    """Every tier but the last answers what does not pass."""
    tiers = config()["tiers"]
    for tier in tiers[:3]:
        engine = tier["backend"]
        mock = engine if engine["engine"] == "mock" else engine["emulated"]
        mock["faults"] = {"garbage": 1.0}
    task = {**LADDER["default_task"], "validators": [{"kind": "json"}]}
    lines = [line(f"j{i}", f"Give item {i} as JSON.") for i in range(4)]
    with running(config(tiers=tiers, default_task=task), tmp_path) as stack:
        answered(stack, lines)
        hosted = stack.rows("SELECT tier, state, lines FROM hosted_batches ORDER BY created_at")
        rows = stack.rows("SELECT DISTINCT request_id FROM attempts", wait=1.0)
        twice = stack.rows(
            "SELECT request_id, tier, count(*) AS n FROM attempts GROUP BY request_id, tier"
            " HAVING n > 1"
        )
    assert [(row["tier"], row["state"]) for row in hosted] == [("sonnet", "done"), ("opus", "done")]
    assert [row["lines"] for row in hosted] == [4, 4]
    assert len(rows) == 4
    assert twice == []
