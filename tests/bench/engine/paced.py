"""A scheduler whose steps take at least `STEPWELL_BENCH_STEP_S` seconds: decoding at a set pace, so
that few cores measure the way of a token and not the contention for them. vLLM loads it by name.
"""

import os
import time
from typing import Any

from vllm.v1.core.sched.scheduler import Scheduler

PACED = "tests.bench.engine.paced.PacedScheduler"
STEP_ENV = "STEPWELL_BENCH_STEP_S"


class PacedScheduler(Scheduler):  # type: ignore[misc]  # vLLM is in an extra
    """An idle engine starts at once."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._step_s = float(os.environ[STEP_ENV])
        self._next = 0.0

    def schedule(self, *args: Any, **kwargs: Any) -> Any:
        left = self._next - time.monotonic()
        if left > 0:
            time.sleep(left)
        self._next = max(self._next, time.monotonic() - self._step_s / 2) + self._step_s
        return super().schedule(*args, **kwargs)
