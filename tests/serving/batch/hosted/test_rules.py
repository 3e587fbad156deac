"""The rules of the hosted half, without a database."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.batch.hosted.packed import pack, unpack
from serving.batch.hosted.rules import (
    Arranged,
    after_result,
    arrange,
    may_park,
    pause,
    promoted_below,
)
from serving.batch.hosted.values import Alike, ParkedRow
from serving.batches import BatchLimits, BatchResult, LineState, cancelled, expired
from serving.errors import (
    StepwellError,
    TierError,
    TierProtocolError,
    TierRateLimited,
    TierRejected,
    TierUnavailable,
)
from serving.settings.batch import BatchSettings
from tests.serving.hosted.fakes import answer

SETTINGS = BatchSettings(hosted_s=3_600, live_s=1_800, hosted_tries=3)
LIMITS = BatchLimits(lines=100, bytes=10_000)
NOW = datetime(2026, 11, 22, tzinfo=UTC)


def row(number: int, prefix: str, *, tokens: int = 1_000, warm: bool = False) -> ParkedRow:
    return ParkedRow("batch", number, f"sw-{number}", prefix, tokens, 50, warm, NOW)


def test_a_line_is_parked_only_where_there_is_time_for_a_batch_and_a_live_call() -> None:
    assert may_park(5_400, SETTINGS)
    assert not may_park(5_399, SETTINGS)


def test_what_has_not_been_sent_is_promoted_sooner_than_what_has() -> None:
    assert promoted_below(SETTINGS, sent=False) == timedelta(seconds=3_600)
    assert promoted_below(SETTINGS, sent=True) == timedelta(seconds=1_800)
    # What was parked at the last moment has half the time of a hosted batch to be sent.
    assert may_park(promoted_below(SETTINGS, sent=False).total_seconds() + 1_800, SETTINGS)


DOWN, LIMITED = TierUnavailable("down"), TierRateLimited("busy")


@pytest.mark.parametrize(
    ("state", "error", "tries", "left_s", "follows"),
    [
        ("succeeded", None, 9, 0, "resume"),
        ("errored", TierRejected("no"), 1, 80_000, "resume"),
        ("errored", DOWN, 1, 80_000, "again"),
        ("errored", LIMITED, 2, 80_000, "again"),
        ("errored", DOWN, 3, 80_000, "resume"),
        ("errored", DOWN, 1, 4_000, "resume"),
        ("expired", expired("t"), 1, 80_000, "again"),
        ("expired", expired("t"), 1, 4_000, "live"),
        ("cancelled", cancelled("t"), 3, 80_000, "live"),
        (None, None, 1, 80_000, "again"),
        (None, None, 3, 80_000, "live"),
    ],
)
def test_what_follows_a_result(
    state: LineState | None, error: StepwellError | None, tries: int, left_s: float, follows: str
) -> None:
    found = after_result(state, error, tries=tries, left_s=left_s, settings=SETTINGS)
    assert found == follows


def test_pauses_grow_up_to_a_bound() -> None:
    found = [pause(n, first_s=10, most_s=300).total_seconds() for n in range(8)]
    assert found == [10, 20, 40, 80, 160, 300, 300, 300]
    assert pause(10_000, first_s=10, most_s=300) == timedelta(seconds=300)


def many(lines: int, tokens: int) -> bool:
    return lines >= 3 and tokens >= 512


def arranged(*rows: ParkedRow, fit: bool = True, writing: dict[str, str] | None = None) -> Arranged:
    return arrange(rows, pays=many, limits=LIMITS, rounds_fit=fit, writing=writing or {})


def test_a_shared_prefix_is_written_first() -> None:
    found = arranged(row(1, "a"), row(2, "a"), row(3, "a"), row(4, "b"), row(5, "b"))
    first, rest = found.sendings
    assert (first.purpose, [r.number for r in first.rows]) == ("prefix", [1])
    assert [r.number for r in first.waiting] == [2, 3]
    assert first.marked == {"sw-1"}
    assert (rest.purpose, [r.number for r in rest.rows]) == ("lines", [4, 5])
    assert not rest.marked


def test_what_costs_less_live_is_sent_in_no_batch() -> None:
    asked: list[Alike] = []

    def cheaper(alike: Alike) -> bool:
        asked.append(alike)
        return alike.prefix_tokens > 500

    def known(number: int, prefix: str, tokens: int, output: int | None) -> ParkedRow:
        return replace(row(number, prefix, tokens=tokens), rest_tokens=20, output_tokens=output)

    rows = [
        *(known(1, "a", 1_000, 40), known(2, "a", 1_000, None), known(3, "a", 1_000, 60)),
        known(4, "b", 100, 40),
        known(5, "c", 1_000, None),
        known(6, "d", 1_000, 40),
    ]
    found = arrange(
        rows,
        pays=many,
        limits=LIMITS,
        rounds_fit=True,
        writing={"d": "hosted"},
        cheaper_live=cheaper,
    )
    assert [r.number for r in found.live] == [1, 2, 3]
    assert [r.number for sending in found.sendings for r in sending.rows] == [4, 5]
    assert [r.number for r, _ in found.joins] == [6]
    assert asked == [Alike(3, 1_000, 20, 50), Alike(1, 100, 20, 40)]


def test_where_there_is_no_time_for_two_rounds_all_go_at_once_with_their_breakpoint() -> None:
    (only,) = arranged(row(1, "a"), row(2, "a"), row(3, "a"), fit=False).sendings
    assert (only.purpose, len(only.rows), len(only.marked)) == ("lines", 3, 3)


def test_lines_whose_prefix_was_written_are_sent_with_their_breakpoint_however_few() -> None:
    (only,) = arranged(row(1, "a", warm=True), row(2, "b")).sendings
    assert only.marked == {"sw-1"}


def test_lines_join_those_that_wait_for_their_prefix() -> None:
    found = arranged(row(1, "a"), row(2, "b"), writing={"a": "hosted_1"})
    assert [(r.number, at) for r, at in found.joins] == [(1, "hosted_1")]
    assert [r.number for one in found.sendings for r in one.rows] == [2]


rows_of = st.lists(
    st.tuples(st.sampled_from("abcd"), st.sampled_from([0, 600]), st.booleans()), max_size=40
)


@given(found=rows_of, fit=st.booleans(), lines=st.integers(1, 9), writing=st.booleans())
def test_every_line_goes_somewhere_once(
    found: list[tuple[str, int, bool]], fit: bool, lines: int, writing: bool
) -> None:
    rows = [
        row(i, prefix, tokens=tokens, warm=warm)
        for i, (prefix, tokens, warm) in enumerate(sorted(found))
    ]
    limits = BatchLimits(lines=lines, bytes=200)
    under_way = {"a": "hosted_1"} if writing else {}
    made = arrange(rows, pays=many, limits=limits, rounds_fit=fit, writing=under_way)
    placed = [r.number for s in made.sendings for r in (*s.rows, *s.waiting)]
    placed += [r.number for r, _ in made.joins]
    assert sorted(placed) == [r.number for r in rows]
    for sending in made.sendings:
        assert 0 < len(sending.rows) <= lines
        assert sum(r.size for r in sending.rows) <= limits.bytes
        assert sending.marked <= {r.custom_id for r in sending.rows}


def test_a_result_that_another_version_kept_is_a_failure_and_not_lost() -> None:
    cost = Decimal("0.02")
    kept = pack(BatchResult("a", "errored", error=TierRejected("no", code="c"), cost_usd=cost))
    found = unpack(kept.replace(b"TierRejected", b"TierExhausted"))
    assert (found.custom_id, found.state, found.cost_usd) == ("a", "errored", cost)
    assert type(found.error) is TierError
    assert (found.error.message, found.error.code) == ("no", "c")
    for damaged in (b"{}", b"not JSON", kept.replace(b"errored", b"shelved")):
        unread = unpack(damaged)
        assert (unread.state, unread.completion, unread.cost_usd) == ("errored", None, None)
        assert type(unread.error) is TierProtocolError


@pytest.mark.parametrize(
    "result",
    [
        BatchResult("a", "succeeded", answer("Grüße \ud83d"), cost_usd=None),
        BatchResult("a", "errored", error=TierRejected("no", param="p", code="c")),
        BatchResult("a", "expired", None, expired("t")),
    ],
)
def test_results_are_kept_as_they_are(result: BatchResult) -> None:
    found = unpack(pack(result))
    assert (found.custom_id, found.state, found.completion, found.cost_usd) == (
        result.custom_id,
        result.state,
        result.completion,
        result.cost_usd,
    )
    if result.error is not None:
        assert type(found.error) is type(result.error)
        assert vars(found.error) == vars(result.error)
