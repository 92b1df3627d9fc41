"""Private and public reads: which failure of a read means what."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import NoReturn

from domain.errors import VenueBlocked, VenueProtocolError, VenueTransient
from venues.polymarket.http import HttpSession, NetworkFailure, Reply
from venues.polymarket.waiting import asked_wait_ms


async def send(
    session: HttpSession,
    method: str,
    path: str,
    *,
    params: Mapping[str, str] | None = None,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> Reply:
    """Send a request that may be repeated freely (a read, a cancel) and return its answer.

    Raises:
        VenueTransient: no answer came.
    """
    try:
        return await session.request(method, path, params=params, body=body, headers=headers)
    except NetworkFailure as failure:
        raise VenueTransient(failure.detail, code=failure.fault.value) from None


def checked(reply: Reply) -> Reply:
    """Return the reply when it is a 200.

    Raises:
        VenueTransient: asking again later helps (restart, limit, 5xx, a firewall's page).
        VenueBlocked: credentials or region.
        VenueProtocolError: any other refusal; reads give no reason for one.
    """
    if reply.status != 200:
        _refuse(reply)
    return reply


def _refuse(reply: Reply) -> NoReturn:
    status = reply.status
    if status in (HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS) or status >= 500:
        raise VenueTransient(f"HTTP {status}", wait_ms=asked_wait_ms(reply))
    if status == 401:
        raise VenueBlocked("the API credentials are refused", code="unauthorized")
    if status == 403:
        if reply.body.lstrip().startswith(b"{"):
            raise VenueBlocked("trading is restricted here", code="region_restricted")
        raise VenueTransient("a firewall answered", code="firewall")
    raise VenueProtocolError(f"HTTP {status}")
