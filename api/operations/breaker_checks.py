"""What open breakers hold back: an entry is answered at once, before a workflow would end it unsent."""

import math
from http import HTTPStatus

from api.deps import AccountContext, Services
from api.problems import Problem
from domain.breakers import OpenBreakers
from storage.repositories.breakers import BreakerState


async def open_breakers(services: Services, context: AccountContext, venue: str) -> list[BreakerState]:
    """Return a venue's open breakers in the account's mode: the venue's own, then the account's there."""
    states = await services.breakers.states(context.account_id)
    return [each for each in states if each.is_open and (each.venue, each.mode) == (venue, context.mode)]


async def check_entry(services: Services, context: AccountContext, venue: str) -> None:
    """Refuse an entry that no open breaker would let try now; one whose turn it is to try may go.

    Raises:
        Problem: 503 `breaker_open`: which one, since when, and when to come again.
    """
    opened = await open_breakers(services, context, venue)
    ways = OpenBreakers(
        venue_idle_ms=next((each.idle_ms for each in opened if each.is_venues), None),
        account_idle_ms=next((each.idle_ms for each in opened if not each.is_venues), None),
    )
    wait_ms = ways.entry_waits_ms(services.breakers.pace)
    if wait_ms <= 0:
        return
    wait_s, pause_s = math.ceil(wait_ms / 1000), math.ceil(services.breakers.pace.entry_ms / 1000)
    detail = (
        f"{' '.join(_told(each) for each in opened)} Nothing was placed, and nothing overrides it: it closes"
        f" with the first clear answer of the venue, and a purchase may try it after {pause_s} s in which"
        f" nobody did. Send this again in {wait_s} s. Selling what is held is not stopped."
    )
    raise Problem(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "breaker_open",
        detail,
        retry_after=wait_s,
        more={"breaker": "venue" if opened[0].is_venues else "account", "opened_at": _since(opened[0])},
    )


def _told(state: BreakerState) -> str:
    place = f"{state.venue} ({state.mode.value})"
    whose = f"of {place}" if state.is_venues else f"of this account at {place}"
    what = (
        "without a clear answer" if state.is_venues else "that the venue refused; `holdfast doctor` says why"
    )
    return f"The breaker {whose} is open since {_since(state)}, after {state.failures} sends in a row {what}."


def _since(state: BreakerState) -> str:
    return "" if state.opened_at is None else state.opened_at.isoformat(timespec="seconds")
