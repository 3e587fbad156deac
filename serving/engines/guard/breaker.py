"""The circuit breaker of a tier: what fails again and again is left alone for a while.

`pybreaker` counts the faults and keeps the states. It calls plain functions, so what became of a
call is reported to it when the call ends; that keeps it right for coroutines and streams, and a
call that was cancelled reports nothing. Added here: one trial at a time while the circuit is half
open, and a monotonic clock.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Literal

import pybreaker
import structlog

from serving.settings.tiers import BreakerSettings

BreakerState = Literal["closed", "open", "half_open"]
Health = Literal["alive", "fault", "unknown"]
"""What the end of a call says about the tier."""

TRIAL_RETRY_S = 1.0
"""How long to wait while another call tries the tier."""

_log = structlog.get_logger(__name__)


class Breaker:
    """`on_open` is called when the circuit opens; `clock` is in seconds."""

    def __init__(
        self,
        tier: str,
        settings: BreakerSettings,
        *,
        on_open: Callable[[], None],
        clock: Callable[[], float],
    ) -> None:
        self._reset_s = settings.reset_s
        self._on_open = on_open
        self._clock = clock
        self._opened_at = 0.0
        self._on_trial = False
        self._circuit = pybreaker.CircuitBreaker(
            fail_max=settings.faults,
            reset_timeout=settings.reset_s,
            listeners=[_Log()],
            name=tier,
            throw_new_error_on_trip=False,
        )

    @property
    def state(self) -> BreakerState:
        match self._circuit.current_state:
            case pybreaker.STATE_OPEN:
                return "open"
            case pybreaker.STATE_HALF_OPEN:
                return "half_open"
        return "closed"

    def wait_s(self) -> float | None:
        """None where a call may pass, else the seconds after which one may."""
        match self.state:
            case "closed":
                return None
            case "open":
                left = self._opened_at + self._reset_s - self._clock()
                return left if left > 0 else None
        return TRIAL_RETRY_S if self._on_trial else None

    def enter(self) -> bool:
        """Lets a call pass, which `wait_s` must allow. True where it is the trial that decides."""
        if self.state == "closed":
            return False
        if self.state == "open":
            self._circuit.half_open()
        self._on_trial = True
        return True

    def leave(self, health: Health, *, trial: bool) -> None:
        """What became of a call that `enter` let pass. While the circuit is not closed only the
        trial counts: what left before it opened is old news.
        """
        if trial:
            self._on_trial = False
        elif self.state != "closed":
            return
        if health == "alive" and (trial or self._circuit.fail_counter):
            self._circuit.call(_succeed)
        elif health == "fault":
            with suppress(_FaultError):
                self._circuit.call(_fail)
            if self.state == "open":
                self._opened_at = self._clock()
                self._on_open()


class _FaultError(Exception):
    """Stands for whatever a call failed with."""


def _succeed() -> None:
    pass


def _fail() -> None:
    raise _FaultError


class _Log(pybreaker.CircuitBreakerListener):
    """An operator hears of every change."""

    def state_change(
        self,
        cb: pybreaker.CircuitBreaker,
        old_state: pybreaker.CircuitBreakerState | None,
        new_state: pybreaker.CircuitBreakerState,
    ) -> None:
        before = None if old_state is None else old_state.name
        level = _log.warning if new_state.name == pybreaker.STATE_OPEN else _log.info
        level("tier_circuit", tier=cb.name, state=new_state.name, before=before)
