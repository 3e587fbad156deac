"""What the API serves: everything behind the wire, wired elsewhere."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from serving.backend import Backend, Embedder, Tokenizer
from serving.batch.enqueue import Background
from serving.batch.service import Work
from serving.settings.root import Settings
from serving.storage.responses import ResponseStore
from serving.telemetry.metrics import Metrics
from serving.wire.models import ModelCard


async def nothing() -> None:
    """A start or an end that has nothing to do."""


@dataclass(frozen=True, slots=True)
class Service:
    """`embedders` and `tokenizers` by the names of their settings; a tier that can't tokenize is
    not there. Without `work` there are no files and batches, without `responses` no responses, and
    none in the background without `background`. `ready` says of each part "ok" or what is wrong
    with it. `startup` and `shutdown` run once, in the loop that serves; `shutdown` begins
    when the last request has left.
    """

    settings: Settings
    backend: Backend
    models: tuple[ModelCard, ...]
    metrics: Metrics
    ready: Callable[[], Awaitable[Mapping[str, str]]]
    startup: Callable[[], Awaitable[None]] = nothing
    shutdown: Callable[[], Awaitable[None]] = nothing
    embedders: Mapping[str, Embedder] = field(default_factory=dict)
    tokenizers: Mapping[str, Tokenizer] = field(default_factory=dict)
    work: Work | None = None
    responses: ResponseStore | None = None
    background: Background | None = None
