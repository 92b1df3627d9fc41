"""What a refusal's body says, and how long the venue asks us to wait."""

from decimal import Decimal, InvalidOperation

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
    """Return the wait in milliseconds: header `Retry-After`, else the body's `retry_after_seconds`, else
    None.
    """
    header = reply.headers.get("retry-after")
    if header is not None:
        try:
            return _milliseconds(Decimal(header))
        except InvalidOperation:
            return None  # an HTTP date: the caller's own pace serves as well
    refusal = refusal_of(reply)
    return None if refusal is None else _milliseconds(refusal.retry_after_seconds)


def _milliseconds(seconds: Decimal | None) -> int | None:
    if seconds is None or not seconds.is_finite() or seconds < 0:
        return None
    return int(min(seconds, _CAP_S) * 1000)
