from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.batches import (
    BatchHandle,
    BatchLimits,
    BatchStatus,
    PreparedLine,
    check_id,
    check_lines,
    could_be,
    may_have_arrived,
    parts,
)
from serving.errors import (
    InvalidRequest,
    StepwellError,
    TierMisconfigured,
    TierProtocolError,
    TierRateLimited,
    TierRejected,
    TierTimeout,
    TierUnavailable,
)

LIMITS = BatchLimits(lines=3, bytes=100)


def line(custom_id: str, size: int = 10) -> PreparedLine:
    return PreparedLine(custom_id, b"x" * size)


@given(st.lists(st.integers(1, 100), max_size=30))
def test_parts_hold_every_line_once_in_order_and_fit(sizes: list[int]) -> None:
    cut = parts(sizes, LIMITS)
    assert [i for part in cut for i in part] == list(range(len(sizes)))
    for part in cut:
        assert 1 <= len(part) <= LIMITS.lines
        assert sum(sizes[i] for i in part) <= LIMITS.bytes


@given(st.lists(st.integers(1, 100), min_size=1, max_size=30))
def test_no_part_could_have_held_the_next_line_too(sizes: list[int]) -> None:
    cut = parts(sizes, LIMITS)
    for part, following in pairwise(cut):
        grown = sum(sizes[i] for i in part) + sizes[following[0]]
        assert len(part) == LIMITS.lines or grown > LIMITS.bytes


def test_a_line_that_no_batch_can_hold_is_named() -> None:
    with pytest.raises(InvalidRequest, match="line 1 has 101 bytes") as caught:
        parts([5, 101], LIMITS)
    assert caught.value.code == "batch_line_too_large"


@pytest.mark.parametrize("custom_id", ["a", "A-b_9", "x" * 64])
def test_ids(custom_id: str) -> None:
    check_id(custom_id)


@pytest.mark.parametrize("custom_id", ["", "a b", "ü", "x" * 65, "a\n", "a/b"])
def test_what_is_no_id(custom_id: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check_id(custom_id)
    assert (caught.value.code, caught.value.param) == ("invalid_custom_id", "custom_id")


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        ([], "batch_empty"),
        ([line(str(i)) for i in range(4)], "batch_too_large"),
        ([line("a", 60), line("b", 41)], "batch_too_large"),
        ([line("a"), line("a")], "duplicate_custom_id"),
    ],
)
def test_lines_that_are_no_batch(lines: list[PreparedLine], code: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check_lines(lines, LIMITS)
    assert caught.value.code == code
    check_lines([line("a", 60), line("b", 40)], LIMITS)


@pytest.mark.parametrize(
    ("error", "may"),
    [
        (TierTimeout(""), True),
        (TierProtocolError(""), True),
        (TierUnavailable(""), True),
        (TierRejected(""), False),
        (TierRateLimited(""), False),
        (TierMisconfigured(""), False),
        (InvalidRequest(""), False),
    ],
)
def test_only_a_refusal_is_certain(error: StepwellError, may: bool) -> None:
    assert may_have_arrived(error) is may


def found(batch_id: str, lines: int, tag: str | None) -> BatchStatus:
    return BatchStatus(BatchHandle(batch_id, datetime.now(UTC), lines, tag), "running")


def test_a_lost_batch_is_recognised_by_its_tag_or_by_what_else_there_is() -> None:
    """OpenAI keeps marks, and counts late; Anthropic counts, and keeps none."""
    there = [
        found("tagged", 0, "job-1/0"),
        found("other-tag", 5, "job-1/1"),
        found("no-tag", 5, ""),
        found("counted", 5, None),
        found("other-count", 4, None),
        found("known", 5, None),
    ]
    wanted = could_be(there, lines=5, tag="job-1/0", known={"known"})
    assert [handle.id for handle in wanted] == ["tagged", "counted"]
