"""Problem documents (RFC 9457): every failed answer of the API has this shape, and none echoes its input."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from http import HTTPStatus

from fastapi.responses import JSONResponse

MEDIA_TYPE = "application/problem+json"

_TITLES = {
    "account_disabled": "The account is switched off",
    "account_required": "Say which account is meant",
    "already_finished": "It is over already",
    "body_too_large": "The request body is too large",
    "breaker_open": "A breaker is open: buying pauses",
    "cancel_the_rule": "The order belongs to a rule",
    "conflict": "The request contradicts what stands",
    "credentials_missing": "The account has no credentials for this venue",
    "crossing_won": "The rule had fired already",
    "idempotency_unfinished": "An earlier request with this key did not end",
    "idempotency_conflict": "The idempotency key was used for another request",
    "invalid_request": "The request cannot be taken as it is",
    "live_not_acknowledged": "Live trading needs an acknowledgement",
    "no_answer_yet": "No worker answered in time",
    "not_found": "There is no such thing",
    "orphaned": "The rule lost its workflow",
    "payload_broken": "An encrypted payload does not open",
    "payload_key_unknown": "A payload's key is not in the ring",
    "scope_missing": "The key may not do this",
    "storage_unavailable": "The database cannot be reached now",
    "temporal_busy": "Too many changes at once",
    "temporal_unavailable": "Temporal cannot be reached now",
    "trade_manager_disabled": "The Trade Manager is switched off",
    "unauthenticated": "A valid API key is needed",
    "unexpected": "Something went wrong here",
    "venue_blocked": "The venue refuses this account",
    "venue_unavailable": "The venue cannot be reached now",
    "version_mismatch": "The rule changed meanwhile",
}


@dataclass(frozen=True, slots=True)
class FieldError:
    """One refused field: where, why in words, and a stable code. Never the value."""

    field: str
    reason: str
    code: str


class Problem(Exception):
    """A request that ends in a problem document.

    Args:
        status: HTTP status.
        code: Stable machine code; part of the interface.
        detail: What happened and what to do, for people; holds nothing of the input.
        errors: Refused fields (status 422).
        retry_after: Seconds after which trying again makes sense.
        more: Further members of the document, such as the id of a rule.
    """

    def __init__(
        self,
        status: HTTPStatus,
        code: str,
        detail: str,
        *,
        errors: Sequence[FieldError] = (),
        retry_after: int | None = None,
        more: Mapping[str, str | int | None] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.errors = tuple(errors)
        self.retry_after = retry_after
        self.more = dict(more or {})

    def document(self) -> dict[str, object]:
        """Return the members of the problem document."""
        members: dict[str, object] = {
            "type": f"urn:holdfast:problem:{self.code}",
            "title": _TITLES.get(self.code, self.status.phrase),
            "status": int(self.status),
            "code": self.code,
            "detail": self.detail,
        }
        if self.errors:
            members["errors"] = [asdict(error) for error in self.errors]
        return members | self.more

    def response(self) -> JSONResponse:
        """Return the HTTP answer."""
        headers: dict[str, str] = {}
        if self.retry_after is not None:
            headers["Retry-After"] = str(self.retry_after)
        if self.status is HTTPStatus.UNAUTHORIZED:
            headers["WWW-Authenticate"] = "Bearer"
        return JSONResponse(
            self.document(), status_code=int(self.status), headers=headers, media_type=MEDIA_TYPE
        )


class Invalid(Problem):
    """422: one or more fields are refused, and nothing was changed."""

    def __init__(self, errors: Sequence[FieldError]) -> None:
        reasons = "; ".join(f"{error.field}: {error.reason}" for error in errors)
        super().__init__(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_request", reasons, errors=errors)


def invalid(field: str, reason: str, code: str) -> Invalid:
    """Return the 422 of a single field."""
    return Invalid([FieldError(field, reason, code)])


def not_found(what: str) -> Problem:
    """Return the 404 for a thing that is not there, or not this account's."""
    return Problem(HTTPStatus.NOT_FOUND, "not_found", f"There is no such {what}.")


def too_large(limit: int | None = None) -> Problem:
    """Return the 413 of a body that is too large."""
    detail = "The body is too large." if limit is None else f"A body may have {limit} bytes."
    return Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body_too_large", detail)


def conflict(code: str, detail: str, **more: str | int | None) -> Problem:
    """Return a 409."""
    return Problem(HTTPStatus.CONFLICT, code, detail, more=more)


def unavailable(code: str, detail: str, retry_after: int = 1) -> Problem:
    """Return a 503 that says when to come again."""
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, code, detail, retry_after=retry_after)
