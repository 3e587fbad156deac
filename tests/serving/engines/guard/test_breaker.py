"""The circuit opens after faults in a row, and one call at a time tries it again."""

import pytest
from structlog.testing import capture_logs

from serving.engines.guard.breaker import TRIAL_RETRY_S, Breaker
from serving.settings.tiers import BreakerSettings
from tests.serving.engines.guard.helpers import Clock


class Opened:
    def __init__(self) -> None:
        self.clock = Clock()
        self.times = 0
        settings = BreakerSettings(faults=3, reset_s=10)
        self.breaker = Breaker("t", settings, on_open=self._opened, clock=self.clock)

    @property
    def state(self) -> str:
        return self.breaker.state

    def _opened(self) -> None:
        self.times += 1

    def fail(self, times: int = 3) -> None:
        for _ in range(times):
            self.breaker.leave("fault", trial=self.breaker.enter())


def test_faults_in_a_row_open_it_and_a_success_starts_the_count_again() -> None:
    it = Opened()
    it.fail(2)
    it.breaker.leave("alive", trial=it.breaker.enter())
    it.fail(2)
    assert (it.state, it.breaker.wait_s(), it.times) == ("closed", None, 0)
    it.fail(1)
    assert (it.state, it.breaker.wait_s(), it.times) == ("open", 10.0, 1)
    it.clock.now += 4
    assert it.breaker.wait_s() == 6.0


def test_what_says_nothing_neither_counts_nor_starts_the_count_again() -> None:
    it = Opened()
    it.fail(2)
    it.breaker.leave("unknown", trial=it.breaker.enter())
    it.fail(1)
    assert it.state == "open"


@pytest.mark.parametrize(("health", "after"), [("alive", "closed"), ("fault", "open")])
def test_one_trial_decides(health: str, after: str) -> None:
    it = Opened()
    it.fail()
    it.clock.now += 10
    assert it.breaker.wait_s() is None
    assert it.breaker.enter()
    assert it.state == "half_open"
    assert it.breaker.wait_s() == TRIAL_RETRY_S  # nobody else meanwhile
    it.clock.now += 1
    it.breaker.leave("alive" if health == "alive" else "fault", trial=True)
    assert it.state == after
    assert it.breaker.wait_s() == (10.0 if after == "open" else None)


def test_a_trial_that_says_nothing_leaves_it_to_the_next() -> None:
    it = Opened()
    it.fail()
    it.clock.now += 10
    assert it.breaker.enter()
    it.breaker.leave("unknown", trial=True)
    assert (it.state, it.breaker.wait_s()) == ("half_open", None)
    assert it.breaker.enter()
    it.breaker.leave("alive", trial=True)
    it.fail(2)
    assert it.state == "closed"  # the count began anew


def test_what_left_before_it_opened_is_old_news() -> None:
    it = Opened()
    early = [it.breaker.enter() for _ in range(5)]
    for _ in range(3):
        it.breaker.leave("fault", trial=early.pop())
    it.clock.now += 9
    it.breaker.leave("alive", trial=early.pop())
    assert it.breaker.wait_s() == 1.0
    it.breaker.leave("fault", trial=early.pop())
    assert (it.breaker.wait_s(), it.times) == (1.0, 1)


def test_the_operator_hears_of_every_change() -> None:
    it = Opened()
    with capture_logs() as logs:
        it.fail()
        it.clock.now += 10
        it.breaker.leave("alive", trial=it.breaker.enter())
    assert [(entry["log_level"], entry["tier"], entry["state"]) for entry in logs] == [
        ("warning", "t", "open"),
        ("info", "t", "half-open"),
        ("info", "t", "closed"),
    ]


def test_the_wall_clock_decides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library would ask it before a call; it must never come to that."""
    import pybreaker

    it = Opened()
    it.fail()
    monkeypatch.setattr(pybreaker, "datetime", None)
    it.clock.now += 10
    assert it.breaker.enter()
    it.breaker.leave("alive", trial=True)
    assert it.state == "closed"
