"""Structured logs: JSON lines, or colours on a terminal, with bound ids and without secrets."""

import logging
import sys
from collections.abc import Mapping, Sequence
from typing import TextIO, TypeGuard

import structlog
from pydantic import SecretBytes, SecretStr
from structlog.typing import EventDict, Processor, WrappedLogger

from runtime.log_context import add_ids
from runtime.settings import LogSettings

REDACTED = "[redacted]"
SECRET_FIELDS = frozenset(
    {
        "admin_key",
        "api_key",
        "api_key_pepper",
        "apikey",
        "authorization",
        "cookie",
        "credential",
        "credentials",
        "hmac",
        "key",
        "master_key",
        "master_keys",
        "mnemonic",
        "passphrase",
        "password",
        "payload_keys",
        "pepper",
        "poly_api_key",
        "poly_passphrase",
        "poly_signature",
        "private_key",
        "secret",
        "seed",
        "token_secret",
        "x-api-key",
    }
)
"""Names of fields whose value never reaches a log, compared in lower case with dashes as written."""

CHATTY_LOGGERS = ("httpx2", "httpcore2", "httpx", "httpcore", "websockets")
"""Libraries that log every request at INFO, with its whole URL."""


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Replaces secrets in an event: by field name at any depth, and by type (`SecretStr`, `SecretBytes`)."""
    return {name: _redacted(name, value) for name, value in event.items()}


def _redacted(name: str, value: object) -> object:
    if isinstance(value, SecretStr | SecretBytes) or name.lower() in SECRET_FIELDS:
        return REDACTED
    if _is_mapping(value):
        return {str(inner): _redacted(str(inner), child) for inner, child in value.items()}
    if _is_sequence(value):
        return [_redacted("", child) for child in value]
    return value


def _is_mapping(value: object) -> TypeGuard[Mapping[object, object]]:
    return isinstance(value, Mapping)


def _is_sequence(value: object) -> TypeGuard[Sequence[object]]:
    return isinstance(value, list | tuple)


def _shared_processors(more: Sequence[Processor]) -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        add_ids,
        *more,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]


def configure(
    *,
    level: int = logging.INFO,
    stream: TextIO | None = None,
    json: bool | None = None,
    more: Sequence[Processor] = (),
) -> None:
    """Sets up structlog and the standard library's loggers to write to one stream.

    Args:
        level: Lowest level that is written.
        stream: Where to write; standard error by default, so that answers on standard output stay clean.
        json: True for JSON lines, False for the console form; by default by the kind of stream.
        more: Processors that add what only some processes know, such as a trace.
    """
    target = stream or sys.stderr
    as_json = not target.isatty() if json is None else json
    renderer: Processor = structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer()
    # Tracebacks become text before the redaction sees them; locals are never included.
    tail: list[Processor] = [structlog.processors.format_exc_info] if as_json else []
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_shared_processors(more),
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *tail, redact, renderer],
    )
    handler = logging.StreamHandler(target)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for chatty in CHATTY_LOGGERS:
        logging.getLogger(chatty).setLevel(logging.WARNING)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_shared_processors(more),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def configure_by(settings: LogSettings, *, more: Sequence[Processor] = ()) -> None:
    """Sets up the loggers as the settings say, on standard error."""
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    as_json = None if settings.format == "auto" else settings.format == "json"
    configure(level=level, json=as_json, more=more)


def bind_ids(**ids: str) -> None:
    """Binds ids (account_id, rule_id, workflow_id, …) to every later event of this task."""
    structlog.contextvars.bind_contextvars(**ids)


def unbind_ids() -> None:
    """Drops all ids bound in this task."""
    structlog.contextvars.clear_contextvars()
