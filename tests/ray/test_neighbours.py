"""Two stacks on one machine."""

from pathlib import Path

import pytest

from tests.e2e.configs import mock_tier
from tests.ray.stack import RayStack, running

pytest.importorskip("ray", reason="these tests need the extra `ray`")

ASKED = 40


def tiers_seen(stack: RayStack) -> set[str]:
    """Each time on a connection of its own, so that each may meet another gateway."""
    seen = set()
    for _ in range(ASKED):
        with stack.client() as client:
            seen |= {model.id for model in client.models.list()}
    return seen - {"auto"}


def test_each_answers_its_own_requests_and_counts_them(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    with (
        running({"tiers": [mock_tier("one")]}, tmp_path / "one", gateways=2) as one,
        running({"tiers": [mock_tier("two")]}, tmp_path / "two", gateways=2) as two,
    ):
        assert tiers_seen(one) == {"one"}
        assert tiers_seen(two) == {"two"}
        for stack in (one, two):
            assert stack.metric("stepwell_requests_total", endpoint="/v1/models") == ASKED
