"""The pace against providers that count as providers do."""

import heapq
import random
from dataclasses import dataclass, field

import pytest

from serving.allowance import Allowance
from serving.engines.guard.pace import MAX_REMEMBERED, Pace
from serving.wire.completion import Usage
from tests.serving.engines.guard.helpers import Clock

MINUTE = 60.0


def calls_left(remaining: int, limit: int = 100, reset_s: float = 30.0) -> tuple[Allowance, ...]:
    return (Allowance("calls", limit, remaining, reset_s),)


def test_without_a_report_nothing_is_slowed() -> None:
    pace = Pace(Clock())
    for _ in range(10_000):
        pace.leaves()
    assert pace.wait().seconds == 0


def test_what_is_left_is_spread_over_the_time_to_the_reset() -> None:
    clock = Clock()
    pace = Pace(clock)
    pace.leaves()
    pace.report(calls_left(10), 0.0)
    assert (pace.wait().seconds, pace.wait().empty) == (3.0, False)
    clock.now += 3
    assert pace.wait().seconds == 0
    pace.leaves()
    assert pace.wait().seconds == pytest.approx(27 / 9)


def test_plenty_slows_nothing() -> None:
    pace = Pace(Clock())
    pace.leaves()
    pace.report(calls_left(20), 0.0)
    assert pace.wait().seconds == 0


def test_nothing_left_is_nothing_until_the_reset() -> None:
    clock = Clock()
    pace = Pace(clock)
    pace.leaves()
    pace.report(calls_left(0), 0.0)
    wait = pace.wait()
    assert (wait.seconds, wait.empty, wait.unit) == (30.0, True, "calls")
    clock.now += 30
    assert pace.wait().seconds == 0


def test_calls_that_left_after_the_one_that_reports_count_as_spent() -> None:
    clock = Clock()
    pace = Pace(clock)
    pace.leaves()
    for _ in range(5):
        clock.now += 0.1
        pace.leaves()
    clock.now += 0.1
    pace.report(calls_left(5), 0.55)  # of the first: the server had not seen the other five
    assert pace.wait().empty
    pace.report(calls_left(5), 0.05)  # of the last
    assert not pace.wait().empty


def test_an_older_answer_does_not_undo_a_newer_one() -> None:
    clock = Clock()
    pace = Pace(clock)
    pace.report(calls_left(0), 1.0)
    pace.report(calls_left(90), 5.0)
    assert pace.wait().empty
    clock.now += 31
    pace.report(calls_left(90), 40.0)  # what the newer one said is over
    assert pace.wait().seconds == 0


def test_tokens_are_counted_in_calls_as_large_as_the_last_ones() -> None:
    pace = Pace(Clock())
    pace.leaves()
    pace.used(Usage(prompt_tokens=5_000, completion_tokens=500, cached_tokens=4_000))
    pace.report((Allowance("input_tokens", 100_000, 10_000, 30.0),), 0.0)
    assert pace.wait().seconds == 3.0  # what the cache gave does not count
    pace.report((Allowance("output_tokens", 10_000, 499, 30.0),), 0.0)
    assert (pace.wait().empty, pace.wait().unit) == (True, "output_tokens")


def test_a_call_that_no_limit_could_hold_is_not_kept_for_ever() -> None:
    clock = Clock()
    pace = Pace(clock)
    pace.used(Usage(prompt_tokens=1_000_000))
    pace.report((Allowance("tokens", 1_000, 1_000, 30.0),), 0.0)
    assert pace.wait().seconds == 0


def test_a_bucket_that_refills_is_recognised_and_not_waited_for_in_full() -> None:
    clock = Clock()
    pace = Pace(clock)
    pace.leaves()
    pace.report(calls_left(4, reset_s=57.6), 0.0)
    clock.now += 1
    pace.leaves()
    pace.report(calls_left(0, reset_s=60.0), 0.0)  # its reset moved by 3.4 s, and nothing came back
    assert pace.wait().empty
    assert pace.wait().seconds == pytest.approx(0.6)
    clock.now += 0.7
    assert not pace.wait().empty


def test_a_new_window_is_no_bucket() -> None:
    clock = Clock()
    pace = Pace(clock)
    pace.report(calls_left(3, reset_s=3.0), 0.0)
    clock.now += 1
    pace.report(calls_left(99, reset_s=60.0), 0.0)
    clock.now += 1
    pace.report(calls_left(0, reset_s=59.0), 0.0)
    assert pace.wait().seconds == 59.0


def test_memory_is_bounded() -> None:
    clock = Clock()
    pace = Pace(clock)
    for _ in range(3 * MAX_REMEMBERED):
        clock.now += 0.001
        pace.leaves()
    assert len(pace._departures) <= MAX_REMEMBERED
    pace.report(calls_left(50), 0.0)
    assert len(pace._departures) == 1


@dataclass
class Provider:
    """Counts calls as a window that resets or as a bucket that refills; reports as headers do,
    with a reset in whole seconds.
    """

    limit: int
    bucket: bool
    began: float
    left: float = field(init=False)
    at: float = field(init=False)
    refused: int = 0
    answered: int = 0

    def __post_init__(self) -> None:
        self.left, self.at = float(self.limit), self.began

    def ask(self, now: float) -> tuple[Allowance, ...]:
        if self.bucket:
            self.left = min(self.limit, self.left + (now - self.at) * self.limit / MINUTE)
        elif now >= self.began + MINUTE:
            self.began += MINUTE * ((now - self.began) // MINUTE)
            self.left = self.limit
        self.at = now
        if self.left < 1:
            self.refused += 1
        else:
            self.left -= 1
            self.answered += 1
        missing = self.limit - self.left
        reset = now + missing * MINUTE / self.limit if self.bucket else self.began + MINUTE
        return (Allowance("calls", self.limit, int(self.left), max(0.0, int(reset) - now)),)


def simulate(provider: Provider, clock: Clock, paces: list[Pace], minutes: int) -> None:
    """Each process sends the next call as soon as its pace allows, four under way at most, and an
    answer takes a second or so; all ask far more than the limit allows.
    """
    random_s = random.Random(7)
    events: list[tuple[float, int, int, float]] = []
    order = 0
    for i in range(len(paces)):
        for _ in range(4):
            heapq.heappush(events, (clock.now, order, i, -1.0))
            order += 1
    end = clock.now + minutes * MINUTE
    said: dict[int, tuple[Allowance, ...]] = {}
    while events and events[0][0] < end:
        clock.now, number, i, left_at = heapq.heappop(events)
        if left_at >= 0:
            paces[i].report(said.pop(number), clock.now - left_at)
            left_at = -1.0
        wait = paces[i].wait()
        order += 1
        if wait.seconds:
            heapq.heappush(events, (clock.now + wait.seconds, order, i, -1.0))
            continue
        paces[i].leaves()
        said[order] = provider.ask(clock.now)
        heapq.heappush(events, (clock.now + random_s.uniform(0.5, 1.5), order, i, clock.now))


@pytest.mark.parametrize("processes", [1, 3])
@pytest.mark.parametrize("limit", [50, 400])
@pytest.mark.parametrize("bucket", [False, True])
def test_a_limit_is_used_and_not_run_into(bucket: bool, limit: int, processes: int) -> None:
    clock = Clock()
    provider = Provider(limit, bucket, clock.now)
    simulate(provider, clock, [Pace(clock) for _ in range(processes)], 5)
    possible = min(5 * limit, 5 * 60 * 4 * processes)
    assert provider.answered > 0.95 * possible
    # The last call of a window may meet that of another process.
    assert provider.refused <= (0 if bucket else 5 * (processes - 1))


def test_without_it_the_same_load_is_refused_all_the_time() -> None:
    """The simulation can fail."""
    clock = Clock()
    provider = Provider(50, False, clock.now)
    deaf = Pace(clock)
    deaf.report = lambda found, age_s: None  # type: ignore[method-assign]
    simulate(provider, clock, [deaf], 10)
    assert provider.refused > provider.answered
