"""Cursor pages of the CLOB."""

from collections.abc import AsyncIterator, Awaitable, Callable

from domain.errors import VenueProtocolError
from venues.polymarket.parsing import read_payload
from venues.polymarket.schemas import CursorPayload

FIRST_CURSOR = "MA=="
LAST_CURSOR = "LTE="
_MAX_PAGES = 1_000


async def pages(fetch: Callable[[str], Awaitable[bytes]]) -> AsyncIterator[bytes]:
    """Yield page bodies from the first to the last cursor.

    Args:
        fetch: reads the page of a cursor.

    Raises:
        VenueProtocolError: a cursor repeats or never ends.
    """
    cursor = FIRST_CURSOR
    seen = {cursor}
    for _ in range(_MAX_PAGES):
        body = await fetch(cursor)
        yield body
        cursor = read_payload(CursorPayload, body).next_cursor
        if cursor in (LAST_CURSOR, ""):
            return
        if cursor in seen:
            raise VenueProtocolError("a page's cursor repeats")
        seen.add(cursor)
    raise VenueProtocolError("the pages do not end")
