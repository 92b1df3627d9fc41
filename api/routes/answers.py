"""Problem answers as OpenAPI shows them, and headers that several routes set."""

from typing import Any

from fastapi import Response
from pydantic import BaseModel, Field

from api.fingerprints import HEADER
from api.schemas.rules import PendingAnswer

Responses = dict[int | str, dict[str, Any]]


class FieldProblem(BaseModel):
    """One refused field."""

    field: str = Field(examples=["conditions.0.price"])
    reason: str = Field(examples=["lies outside 0 to 1"])
    code: str = Field(examples=["price_out_of_range"])


class ProblemDocument(BaseModel):
    """RFC 9457 problem document. `code` is stable; nothing of the input is repeated."""

    type: str = Field(examples=["urn:holdfast:problem:invalid_request"])
    title: str
    status: int
    code: str = Field(examples=["invalid_request"])
    detail: str
    errors: list[FieldProblem] = []


_MEANINGS = {
    400: "An operator's key without the account header",
    401: "No key, or one that is unknown or revoked",
    403: "The key lacks the scope, or the account is switched off",
    404: "No such thing for this account",
    409: "It contradicts what stands; `code` says how",
    413: "The body is too large",
    422: "Refused fields, each with reason and code; nothing was changed",
    429: "Too many changes at once",
    503: "A part is away; `Retry-After` says when to come again",
}


def problems(*statuses: int) -> Responses:
    """Return the OpenAPI entries of these problem answers, 401 and 503 among them."""
    return {
        status: {
            "description": _MEANINGS[status],
            "content": {
                "application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}
            },
        }
        for status in sorted({401, 503, *statuses})
    }


READING = problems(400, 403, 404)
CREATING = problems(400, 403, 404, 409, 413, 422, 429)
CHANGING = problems(400, 403, 404, 409, 413, 422, 429)
CHANGING_LONG: Responses = {
    **CHANGING,
    202: {"model": PendingAnswer, "description": "Durable, and still being carried out"},
}


def tell_key(response: Response, key: str) -> None:
    """Return the idempotency key that the request was carried out under."""
    response.headers[HEADER] = key
