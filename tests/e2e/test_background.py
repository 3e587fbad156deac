"""Responses in the background through the whole stack, as the unmodified `openai` SDK asks."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import openai
import pytest
from openai.types.responses import Response

from tests.e2e.configs import claude_tier, ladder, mock_tier
from tests.e2e.stack import Stack, running

BATCH = {"enabled": True, "poll_s": 0.1}


def until(client: openai.OpenAI, id_: str, *wanted: str) -> Response:
    """The response once it has one of these statuses."""
    give_up = time.monotonic() + 30
    while True:
        found = client.responses.retrieve(id_)
        if found.status in wanted:
            return found
        assert time.monotonic() < give_up, found.status
        time.sleep(0.05)


def left(stack: Stack) -> list[Any]:
    """Lines that are still there after a while."""
    give_up = time.monotonic() + 20
    while rows := stack.rows("SELECT * FROM batch_lines", wait=0.1):
        if time.monotonic() > give_up:
            break
    return rows


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    config = ladder(batch=BATCH)
    with running(config, tmp_path_factory.mktemp("background")) as running_stack:
        yield running_stack


def test_it_is_queued_then_answered(stack: Stack) -> None:
    with stack.client(timeout=30) as client:
        made = client.responses.create(
            model="auto", input="What is 2 + 7?", background=True, metadata={"deadline": "3600"}
        )
        assert made.status == "queued"
        assert made.background is True
        done = until(client, made.id, "completed")
        assert done.output_text
        assert done.created_at == made.created_at
        assert done.model == "small"
        assert done.usage is not None
        assert done.usage.output_tokens > 0
        again = client.responses.create(
            model="auto",
            input="And one more?",
            previous_response_id=made.id,
            background=True,
        )
        later = until(client, again.id, "completed")
        assert later.usage is not None
        assert later.usage.input_tokens > done.usage.input_tokens
        assert client.responses.cancel(again.id).status == "completed"
        assert not list(client.batches.list())
        assert not list(client.files.list())
        rows = stack.rows("SELECT status FROM batches WHERE hidden")
        assert [row["status"] for row in rows] == ["completed", "completed"]
        assert not left(stack)
        assert stack.rows("SELECT * FROM responses WHERE request IS NOT NULL") == []


def test_a_refusal_by_the_tiers_is_a_failed_response(stack: Stack) -> None:
    with stack.client(timeout=30) as client:
        made = client.responses.create(
            model="auto",
            input="What is 2 + 8?",
            background=True,
            extra_body={"stepwell": {"max_tier": "small", "deadline_ms": 1}},
        )
        assert made.status == "queued"
        client.responses.cancel(made.id)
        assert until(client, made.id, "cancelled", "failed").status == "cancelled"


@pytest.mark.parametrize(
    "deadline", ["soon", "0", "9999999999", "2020-01-01T00:00:00Z", "without a zone"]
)
def test_a_deadline_is_seconds_or_a_time_to_come(stack: Stack, deadline: str) -> None:
    if deadline == "without a zone":
        deadline = (datetime.now(UTC) + timedelta(hours=1)).replace(tzinfo=None).isoformat()
    with (
        stack.client(timeout=30) as client,
        pytest.raises(openai.BadRequestError, match=r"metadata\.deadline"),
    ):
        client.responses.create(
            model="auto", input="Hi", background=True, metadata={"deadline": deadline}
        )


@pytest.mark.parametrize("more", [{"stream": True}, {"store": False}])
def test_what_does_not_go_with_the_background(stack: Stack, more: dict[str, Any]) -> None:
    with (
        stack.client(timeout=30) as client,
        pytest.raises(openai.BadRequestError, match="background"),
    ):
        client.responses.create(model="auto", input="Hi", background=True, **more)


def test_one_in_progress_is_cancelled_at_once(tmp_path: Path) -> None:
    slow = mock_tier("small", time_scale=60)
    config = ladder(tiers=[{**slow, "deadline_s": 60}], batch=BATCH)
    with running(config, tmp_path) as stack, stack.client(timeout=30) as client:
        made = client.responses.create(model="auto", input="Take your time.", background=True)
        until(client, made.id, "in_progress")
        assert client.responses.cancel(made.id).status == "cancelled"
        assert client.responses.retrieve(made.id).status == "cancelled"
        assert not left(stack)
        (row,) = stack.rows("SELECT status FROM batches")
        assert row["status"] == "cancelled"


def test_one_that_is_not_answered_by_its_deadline_has_failed(tmp_path: Path) -> None:
    slow = mock_tier("small", time_scale=60)
    config = ladder(tiers=[{**slow, "deadline_s": 60}], batch=BATCH)
    with running(config, tmp_path) as stack, stack.client(timeout=30) as client:
        made = client.responses.create(
            model="auto", input="Take your time.", background=True, metadata={"deadline": "1"}
        )
        failed = until(client, made.id, "failed")
        assert failed.error is not None
        assert failed.error.code == "server_error"


def test_it_survives_a_restart(tmp_path: Path) -> None:
    idle = ladder(batch={**BATCH, "worker": False})
    with running(idle, tmp_path) as stack, stack.client(timeout=30) as client:
        made = client.responses.create(model="auto", input="Survive.", background=True)
        assert client.responses.retrieve(made.id).status == "queued"
    with running(ladder(batch=BATCH), tmp_path) as stack, stack.client(timeout=30) as client:
        assert until(client, made.id, "completed").output_text


def test_with_time_to_spare_it_goes_to_a_providers_batch(tmp_path: Path) -> None:
    """The emulator's batches begin at once."""
    sonnet = claude_tier("sonnet", "claude-sonnet-5-5")
    batch = {**BATCH, "flush_s": 0.2, "hosted_poll_s": 0.2}
    sonnet["backend"]["emulator_batches"] = {"delay_s": 0, "requests_per_s": 1_000}
    config = ladder(tiers=[sonnet], batch=batch, cache={"max_bytes": 0})
    with running(config, tmp_path) as stack, stack.client(timeout=30) as client:
        asked: Any = {"model": "auto", "input": "There is time.", "background": True}
        made = client.responses.create(**asked)
        hurried = client.responses.create(**asked, metadata={"deadline": "600"})
        later = until(client, made.id, "completed")
        sooner = until(client, hurried.id, "completed")
        assert later.model == sooner.model == "sonnet"
        rows = stack.rows("SELECT service, outcome FROM attempts ORDER BY service", wait=1)
        assert [tuple(row.values()) for row in rows] == [
            ("batch", "accepted"),
            ("live", "accepted"),
        ]
