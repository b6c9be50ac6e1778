"""The log of the server's processes: lines of JSON or of text on standard error."""

from __future__ import annotations

import datetime as dt
import logging
import sys
from typing import Any

import orjson
import structlog

from server.settings import Settings


def configure_logging(settings: Settings, *, worker: int | None = None) -> None:
    """Log to standard error, as JSON or as text.

    Args:
        settings: The settings.
        worker: The number of the worker that logs; its lines have it.
    """
    text = settings.log_format == "text" or (settings.log_format == "auto" and sys.stderr.isatty())
    processors: list[Any] = [structlog.processors.format_exc_info, _as_json]
    factory: Any = structlog.BytesLoggerFactory(sys.stderr.buffer)
    if text:
        processors = [
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
        ]
        factory = structlog.PrintLoggerFactory(sys.stderr)
    if worker is not None:
        processors.insert(0, lambda _, __, event: {**event, "worker": worker})
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=factory,
        cache_logger_on_first_use=False,
    )


def _as_json(_: object, level: str, event: structlog.typing.EventDict) -> bytes:
    """Return an event as a line of JSON, in one step: each step is a good part of a small call."""
    event["level"], event["timestamp"] = level, dt.datetime.now(dt.UTC)
    return orjson.dumps(event, default=repr, option=orjson.OPT_UTC_Z)
