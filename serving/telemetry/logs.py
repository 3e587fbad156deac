"""Logging: one structured line per event, on standard error."""

import logging
import sys
from typing import Any

import orjson
import structlog
from structlog.typing import Processor

from serving.settings.root import LogSettings

# They log bodies of requests at debug.
WORDY = ("anthropic", "openai", "httpx", "httpx2", "httpcore", "httpcore2")


def configure(settings: LogSettings) -> None:
    """Sends structlog's and the standard library's loggers through one format. Call it once, from
    the program's entry point.
    """
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,  # type, message and lines; no local variables
                _renderer(settings),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in WORDY:
        logging.getLogger(name).setLevel(level if settings.prompts else max(level, logging.WARNING))
    logging.getLogger("uvicorn.access").disabled = True  # the API writes its own line


def _renderer(settings: LogSettings) -> Processor:
    if settings.format == "console":
        return structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    return structlog.processors.JSONRenderer(serializer=_json)


def _json(value: Any, **_: Any) -> str:
    return orjson.dumps(value, default=str).decode()
