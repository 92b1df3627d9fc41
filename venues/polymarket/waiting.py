"""What a refusal's body says, and how long the venue asks us to wait."""

from datetime import UTC
from decimal import Decimal, InvalidOperation
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from pydantic import ValidationError

from venues.polymarket.http import Reply
from venues.polymarket.schemas import RefusalPayload

_CAP_S = Decimal(600)


def refusal_of(reply: Reply) -> RefusalPayload | None:
    """Return the refusal in a reply's body, or None when the body is no JSON object (a firewall's page)."""
    try:
        return RefusalPayload.model_validate_json(reply.body)
    except ValidationError:
        return None


def asked_wait_ms(reply: Reply) -> int | None:
    """Return the wait in milliseconds: header `Retry-After`, else the limiter's `Poly-RateLimit-Reset`, else
    the body's `retry_after_seconds`, else None.
    """
    for seconds in (_number(reply.headers.get("retry-after")), _until_reset(reply)):
        wait_ms = _milliseconds(seconds)
        if wait_ms is not None:
            return wait_ms
    refusal = refusal_of(reply)
    return None if refusal is None else _milliseconds(refusal.retry_after_seconds)


def _until_reset(reply: Reply) -> Decimal | None:
    """Return the seconds until the limiter lets such a request pass again, None where it does not say.

    The header is a moment, in UNIX seconds (venue's documentation, Trading rate limits, 2026-10). It is
    compared with the reply's own `Date`, so that our clock does not matter. Replies other than 429 carry
    the moment of the answer.
    """
    reset, now_s = _number(reply.headers.get("poly-ratelimit-reset")), _date_s(reply.headers.get("date"))
    if reply.status != HTTPStatus.TOO_MANY_REQUESTS or reset is None or now_s is None:
        return None
    return reset - now_s


def _number(header: str | None) -> Decimal | None:
    """Return a header's number; an HTTP date has none: the caller's own pace serves as well."""
    if header is None:
        return None
    try:
        number = Decimal(header)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _date_s(header: str | None) -> int | None:
    if header is None:
        return None
    try:
        moment = parsedate_to_datetime(header)
    except ValueError:
        return None
    return int(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp())


def _milliseconds(seconds: Decimal | None) -> int | None:
    if seconds is None or not seconds.is_finite() or seconds < 0:
        return None
    return int(min(seconds, _CAP_S) * 1000)
