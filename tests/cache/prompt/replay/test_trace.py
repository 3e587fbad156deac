"""Traces from JSON Lines; what is wrong with a line is tested with the command."""

from pathlib import Path

import pytest

from cache.prompt.replay.trace import Trace, read
from serving.errors import ConfigError
from serving.wire.jsonl_file import MAX_LINE_BYTES


def keys(trace: Trace, number: int) -> list[bytes]:
    return [block.key for block in trace.chain(number)]


def test_blocks_are_equal_where_all_before_them_is() -> None:
    trace = Trace()
    trace.add(0.0, 1_536, 1, [1, 2, 3])
    trace.add(1.0, 1_536, 1, [1, 2, 4])
    trace.add(2.0, 1_536, 1, [2, 2, 3])
    first, second, third = (keys(trace, number) for number in range(3))
    assert first[:2] == second[:2]
    assert not set(first) & set(third)
    assert len({*first, *second, *third}) == 7


def test_numbers_and_texts_are_different_ids() -> None:
    trace = Trace()
    trace.add(0.0, 512, 1, [1])
    trace.add(1.0, 512, 1, ["1"])
    assert keys(trace, 0) != keys(trace, 1)


def test_a_partial_block_is_not_the_full_one() -> None:
    trace = Trace()
    trace.add(0.0, 600, 1, [1, 2])
    trace.add(1.0, 1_024, 1, [1, 2])
    assert [block.tokens for block in trace.chain(0)] == [512, 88]
    assert keys(trace, 0)[0] == keys(trace, 1)[0]
    assert keys(trace, 0)[1] != keys(trace, 1)[1]


def test_tokens_beyond_the_blocks_are_nobody_elses() -> None:
    trace = Trace()
    for t in (0.0, 1.0):
        trace.add(t, 1_000, 1, [1])
    assert keys(trace, 0)[0] == keys(trace, 1)[0]
    assert keys(trace, 0)[1] != keys(trace, 1)[1]
    assert [block.may_break for block in trace.chain(0)] == [True, False]
    assert sum(block.tokens for block in trace.chain(0)) == 1_000


def test_requests_come_by_time_and_equal_times_as_they_stand() -> None:
    trace = Trace()
    for t in (5.0, 1.0, 5.0, 0.0):
        trace.add(t, 512, 1, [1])
    assert list(trace) == [3, 1, 0, 2]
    assert list(reversed(trace)) == [2, 0, 1, 3]


def test_a_line_may_only_be_so_long(tmp_path: Path) -> None:
    file = tmp_path / "long.jsonl"
    file.write_bytes(b" " * (MAX_LINE_BYTES - 1) + b"\n" + b"x" * (MAX_LINE_BYTES + 5))
    with pytest.raises(ConfigError, match=r"long\.jsonl:2: longer than 16,000,000 bytes"):
        read(file)
