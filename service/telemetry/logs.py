"""Structured logs: one JSON object a line on standard error, with the ids of its request and trace."""

from __future__ import annotations

import logging
import sys
from typing import Any, Final, Literal

import structlog

from service.telemetry.redaction import redacted
from service.telemetry.tracing import trace_ids

_common: Final[dict[str, str]] = {}


def configure_logging(level: str, log_format: Literal["json", "console"]) -> None:
    """Sends structlog's and the standard library's records to standard error in one form.

    Args:
        level: Least severe level written: debug, info, warning or error.
        log_format: `json` for machines, `console` to read.
    """
    threshold = logging.getLevelName(level.upper())
    shared: list[structlog.typing.Processor] = [
        _with_common,
        structlog.contextvars.merge_contextvars,
        trace_ids,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    render: list[structlog.typing.Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if log_format == "json"
        else [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    )
    render.append(_without_secrets)
    structlog.configure(
        processors=[*shared, *render],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
        )
    )
    logging.basicConfig(level=threshold, handlers=[handler], force=True)
    # They tell of each step of a migration, sixty lines at the first start.
    for library in ("dbos", "alembic"):
        logging.getLogger(library).setLevel(max(threshold, logging.WARNING))


def log_with_every_line(**values: str) -> None:
    """Adds to every line of this process from now on, whichever thread or task writes it.

    Args:
        values: Such as the name of the worker.
    """
    _common.update(values)


def _with_common(logger: Any, method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    for name, value in _common.items():
        event.setdefault(name, value)
    return event


def _without_secrets(logger: Any, method: str, line: Any) -> str:
    """The last step of every line, after whatever put something into it."""
    return redacted(str(line))
