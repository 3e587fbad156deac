"""Logging: one structured line per event, on standard error."""

import json
import logging
import sys
from contextlib import suppress
from typing import Any, TextIO

import orjson
import structlog
from structlog.typing import Processor

from serving.settings.root import LogSettings

# They log bodies of requests at debug.
WORDY = ("anthropic", "openai", "httpx", "httpx2", "httpcore", "httpcore2")


def configure(settings: LogSettings, stream: TextIO | None = None) -> None:
    """Gives structlog's and the standard library's loggers one format. Call it once, from the
    program's entry point. `stream` replaces standard error.
    """
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    rendered: list[Processor] = [
        structlog.processors.format_exc_info,  # type, message and lines; no local variables
        _renderer(settings),
    ]
    stream = stream or sys.stderr
    structlog.configure(
        processors=[*shared, *rendered],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *names: _NamedLogger(stream, *names),
        cache_logger_on_first_use=False,
    )
    _configure_library(shared, rendered, stream, level, prompts=settings.prompts)


class _NamedLogger(structlog.WriteLogger):
    """Writes lines itself: a request's line through the standard library costs 0.1 ms. Where
    nobody reads any more (a closed pipe), lines are lost and requests are not.
    """

    def __init__(self, stream: TextIO, name: str = "stepwell") -> None:
        super().__init__(stream)
        self.name = name

    def msg(self, message: str) -> None:
        with suppress(OSError, ValueError):
            super().msg(message)

    log = debug = info = warn = warning = msg
    fatal = failure = err = error = critical = exception = msg


def _configure_library(
    shared: list[Processor],
    rendered: list[Processor],
    stream: TextIO,
    level: int,
    *,
    prompts: bool,
) -> None:
    """Loggers of the standard library, which are those of other people's code."""
    unmark = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared, processors=[unmark, *rendered]
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in WORDY:
        logging.getLogger(name).setLevel(level if prompts else max(level, logging.WARNING))
    logging.getLogger("uvicorn.access").disabled = True  # the API writes its own line


def _renderer(settings: LogSettings) -> Processor:
    if settings.format == "console":
        return structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    return structlog.processors.JSONRenderer(serializer=_json)


def _json(value: Any, **_: Any) -> str:
    try:
        return orjson.dumps(value, default=str).decode()
    except TypeError:  # half of a surrogate pair; a line is written all the same
        return json.dumps(value, default=str)
