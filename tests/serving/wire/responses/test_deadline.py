"""`metadata.deadline` in its two forms."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.errors import InvalidRequest
from serving.wire.responses.deadline import DEFAULT, LONGEST, deadline_of

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


def of(text: str) -> datetime:
    return deadline_of({"deadline": text}, NOW)


def test_both_forms_and_none() -> None:
    assert of("90") == NOW + timedelta(seconds=90)
    assert of("2026-01-31T13:00:00Z") == NOW + timedelta(hours=1)
    assert of("2026-01-31T15:00:00+02:00") == NOW + timedelta(hours=1)
    assert deadline_of(None, NOW) == NOW + DEFAULT


@given(st.text(max_size=40))
def test_anything_else_is_refused(text: str) -> None:
    with suppress(InvalidRequest):
        assert NOW < of(text) <= NOW + LONGEST


@pytest.mark.parametrize("text", ["0", "604801", "2026-01-31T11:59:59Z", "2026-01-31T13:00:00"])
def test_past_too_far_and_without_a_zone(text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        of(text)
    assert caught.value.param == "metadata.deadline"
