"""What a batch object says is read with care."""

from decimal import Decimal
from typing import Any

import pytest
from openai.types import Batch

from deploy.cli.batch.figures import figures
from deploy.cli.batch.follow import told


def batch(**more: Any) -> Batch:
    given = {
        "id": "batch_1",
        "object": "batch",
        "completion_window": "24h",
        "created_at": 1,
        "endpoint": "/v1/chat/completions",
        "input_file_id": "file-1",
        "status": "in_progress",
    }
    return Batch.model_validate({**given, **more})


def test_counts_money_tiers_and_waiting_lines_are_read() -> None:
    stepwell = {
        "cost_usd": "0.25",
        "baseline_cost_usd": "1",
        "tiers": {"small": 5, "sonnet": 2},
        "parked": {"sonnet": 3, "opus": 1},
        "hosted": 2,
    }
    counts = {"total": 20, "completed": 7, "failed": 1}
    now = figures(batch(request_counts=counts, stepwell=stepwell))
    assert (now.total, now.ended, now.failed) == (20, 8, 1)
    assert now.saved == Decimal("0.75")
    assert now.waiting == {"to be sent": 4, "sent": 2}
    assert told(now) == (
        "spent $0.250000, saved $0.750000 (75.0%), small 5, sonnet 2,"
        " 4 to be sent to providers' batches, 2 sent to providers' batches, 1 failed"
    )


@pytest.mark.parametrize(
    "stepwell",
    [
        None,
        3,
        {},
        {"cost_usd": 0.5, "baseline_cost_usd": "much", "tiers": [1], "parked": "x"},
        {"cost_usd": "NaN", "baseline_cost_usd": None, "tiers": {"a": "b"}, "hosted": {"x": None}},
    ],
)
def test_what_is_not_said_is_not_known(stepwell: Any) -> None:
    now = figures(batch(stepwell=stepwell))
    assert (now.total, now.cost, now.saved, now.tiers, now.waiting) == (0, None, None, {}, {})
    assert told(now) == ""


def test_a_server_s_text_is_shown_without_control_codes() -> None:
    now = figures(batch(stepwell={"tiers": {"small\x1b[31m\n": 1}}))
    assert list(now.tiers) == ["small?[31m"]
