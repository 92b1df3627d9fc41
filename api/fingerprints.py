"""Idempotency: the key of a request, and the fingerprint of what it asks for."""

import hashlib
import re
import uuid
from decimal import Decimal
from typing import Annotated

import orjson
from fastapi import Header
from pydantic import BaseModel

from api.problems import invalid
from domain.money import plain

HEADER = "Idempotency-Key"
_KEY = re.compile(r"[\x21-\x7e]{1,200}\Z")

KeyHeader = Annotated[
    str | None,
    Header(
        alias=HEADER,
        description="The same key with the same body is carried out once; the same key with another body is "
        "409. Without one the server makes a key and returns it in this header.",
        json_schema_extra={"maxLength": 200},
    ),
]


def key_of(header: str | None) -> str:
    """Return the caller's idempotency key, or a new one.

    Raises:
        Invalid: The key is not 1 to 200 visible ASCII characters.
    """
    if header is None:
        return uuid.uuid4().hex
    if not _KEY.match(header):
        raise invalid(HEADER, "must be 1 to 200 visible ASCII characters", "idempotency_key")
    return header


def fingerprint(body: BaseModel) -> str:
    """Return a digest of what a body means: `0.40`, `"0.4"` and `0.4` are the same, in any order."""
    # Without fields at their defaults, so that one which is added later changes no fingerprint that stands.
    usual = {name for name, field in type(body).model_fields.items() if getattr(body, name) == field.default}
    content = body.model_dump(mode="python", exclude=usual)
    canonical = orjson.dumps(content, default=_canonical, option=orjson.OPT_SORT_KEYS | orjson.OPT_NAIVE_UTC)
    return hashlib.sha256(canonical).hexdigest()


def _canonical(value: object) -> object:
    if isinstance(value, Decimal):
        return plain(value)
    raise TypeError(f"a body holds no {type(value).__name__}")
