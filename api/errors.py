"""From errors to problem documents, once for the whole API.

HTTP status by leaf of the error tree: InvalidInput, UnknownVenue and UnknownToken 422, NotFound 404,
Conflict, CredentialsMissing and VenueBlocked 409, other venue errors, Temporal and Postgres away 503.
Everything unexpected is a 500 without details; where it arose is logged without its message, since a message
may quote a value.
"""

import math
import re
import traceback
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from api.problems import FieldError, Invalid, Problem, conflict, invalid, not_found, too_large, unavailable
from api.schemas.rules import PendingAnswer
from api.starters import StillGoingOn
from domain.errors import (
    Conflict,
    CredentialsMissing,
    HoldfastError,
    InvalidInput,
    NotFound,
    StorageUnavailable,
    UnknownToken,
    UnknownVenue,
    VenueBlocked,
    VenueError,
)
from domain.rules.definition import ConditionType
from runtime.temporal_codec import PayloadUnreadable

_log = structlog.stdlib.get_logger("api")

_UNION_TAGS = frozenset({*(kind.value for kind in ConditionType), "SELL_ALL", "SELL_PARTIAL"})
_PLACES = frozenset({"body", "query", "path", "header"})
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,39}\Z")
_TAG_ERRORS = {
    "union_tag_invalid": "is none of: {expected_tags}",
    "union_tag_not_found": "needs its type",
    "enum": "must be one of: {expected}",
    "literal_error": "must be one of: {expected}",
    "extra_forbidden": "is not a known field",
    "json_invalid": "is not valid JSON",
    "timezone_aware": "needs a time zone, for example Z or +02:00",
}
"""Reasons of ours where pydantic's own words would quote the input or leave the reader guessing."""


def field_errors(errors: Sequence[Mapping[str, Any]]) -> list[FieldError]:
    """Return pydantic's errors as field, reason and code, without any value that was sent."""
    found = [FieldError(_field(error["loc"]), _reason(error), str(error["type"])) for error in errors]
    return list(dict.fromkeys(found))


def _field(location: Sequence[str | int]) -> str:
    parts = list(location[1:] if location and location[0] in _PLACES else location)
    named = [_name(part) for part in parts if part not in _UNION_TAGS]
    return ".".join(named) or "body"


def _name(part: str | int) -> str:
    if isinstance(part, int):
        return str(part)
    # A field's name is the caller's own text when the field is unknown: only a plain short name is repeated.
    return part if _PLAIN_NAME.match(part) else "(unreadable name)"


def _reason(error: Mapping[str, Any]) -> str:
    wording = _TAG_ERRORS.get(str(error["type"]))
    if wording is not None:
        return wording.format(**{"expected_tags": "", "expected": "", **error.get("ctx", {})})
    return str(error["msg"]).removeprefix("Value error, ")


def invalid_from(error: ValidationError) -> Invalid:
    """Return the 422 of a model that was validated by hand."""
    return Invalid(field_errors(error.errors(include_input=False, include_url=False)))


def problem_of(error: HoldfastError) -> Problem:
    """Return the problem document of an error of our tree."""
    if isinstance(error, InvalidInput):
        return invalid(error.field, error.reason, error.code)
    if isinstance(error, NotFound):
        return not_found("thing for this account")
    if isinstance(error, Conflict):
        return conflict(error.code, str(error))
    if isinstance(error, UnknownVenue):
        return invalid("venue", "there is no venue of this name", error.code)
    if isinstance(error, CredentialsMissing):
        detail = "Store the wallet's key first: holdfast credentials set, or PUT …/accounts/{id}/credentials."
        return conflict(error.code, detail)
    if isinstance(error, StorageUnavailable):
        return unavailable(error.code, "Nothing was changed; try again in a moment.")
    if isinstance(error, PayloadUnreadable):
        detail = "Temporal's answer is encrypted with another key; what was asked for may have been done."
        return unavailable(error.code, detail)
    if isinstance(error, VenueError):
        return _venue_problem(error)
    return unavailable(error.code, "Nothing was changed; try again in a moment.")


def _venue_problem(error: VenueError) -> Problem:
    if isinstance(error, UnknownToken):
        return invalid("token_id", "the venue knows no such token", error.code)
    if isinstance(error, VenueBlocked):
        return conflict(error.code, "The venue refuses this account: holdfast doctor names the reason.")
    wait = math.ceil(error.wait_ms / 1000) if error.wait_ms else 1
    return unavailable("venue_unavailable", "The venue did not answer; nothing was changed.", wait)


async def _on_problem(_request: Request, error: Exception) -> Response:
    if isinstance(error, Problem):
        return error.response()
    if isinstance(error, HoldfastError):
        return problem_of(error).response()
    if isinstance(error, RequestValidationError):
        return Invalid(field_errors(error.errors())).response()
    if isinstance(error, HTTPException):
        status = HTTPStatus(error.status_code)
        if status is HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            return too_large().response()
        return Problem(status, status.phrase.lower().replace(" ", "_"), f"{status.phrase}.").response()
    return unexpected(error).response()


async def _on_still_going_on(request: Request, _error: Exception) -> Response:
    ids = [value for value in request.path_params.values() if isinstance(value, str)]
    detail = "The change is durable and still being carried out; read again in a moment."
    answer = PendingAnswer(id=ids[-1] if ids else "", detail=detail)
    return JSONResponse(answer.model_dump(), status_code=HTTPStatus.ACCEPTED)


def unexpected(error: Exception) -> Problem:
    """Log where an error that nobody foresaw arose, and return its 500. Messages are left out of both."""
    frames = [
        f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)
    ]
    _log.error("api.unexpected", error_type=type(error).__qualname__, frames=frames[-12:])
    detail = "The request was not completed. The server's log holds the place of the failure."
    return Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "unexpected", detail)


def install(app: FastAPI) -> None:
    """Make every error of the app a problem document."""
    for kind in (Problem, HoldfastError, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, _on_problem)
    app.add_exception_handler(StillGoingOn, _on_still_going_on)
