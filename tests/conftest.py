"""What all tests share."""

import logging
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import HealthCheck, settings

from serving.telemetry.logs import WORDY

# How long an example takes says more about who else uses the machine than about the code.
steady = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("steady", settings.default, **steady)
settings.load_profile("steady")


@pytest.fixture(autouse=True)
def logging_restored() -> Iterator[None]:
    """Logging is the process's own; a test that configures it must not leave its streams behind,
    which are closed when it ends.
    """
    root, access = logging.getLogger(), logging.getLogger("uvicorn.access")
    handlers, level, disabled = root.handlers[:], root.level, access.disabled
    levels = {name: logging.getLogger(name).level for name in WORDY}
    config = structlog.get_config()
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    access.disabled = disabled
    structlog.configure(**config)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)
