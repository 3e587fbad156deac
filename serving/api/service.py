"""What the API serves: everything behind the wire, wired elsewhere."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from serving.backend import Backend
from serving.settings.root import Settings
from serving.telemetry.metrics import Metrics
from serving.wire.models import ModelCard


async def nothing() -> None:
    """A start or an end that has nothing to do."""


@dataclass(frozen=True, slots=True)
class Service:
    """`ready` says of each part "ok" or what is wrong with it. `startup` and `shutdown` run once,
    in the loop that serves; `shutdown` begins when the last request has left.
    """

    settings: Settings
    backend: Backend
    models: tuple[ModelCard, ...]
    metrics: Metrics
    ready: Callable[[], Awaitable[Mapping[str, str]]]
    startup: Callable[[], Awaitable[None]] = nothing
    shutdown: Callable[[], Awaitable[None]] = nothing
