"""Buying what is to be protected: an entry that did not reach the venue in time is bought again."""

from decimal import Decimal

from bench.client import Api, Json, items
from bench.waiting import BenchFailed, until
from domain.orders import OrderState

TRIES = 20


async def buy(api: Api, token_id: str, shares: Decimal, price: str) -> None:
    """Buy at this price or better; returns once the ledger holds all of it, confirmed.

    The account must hold nothing of this token before.

    Raises:
        BenchFailed: One order after another ended without its fill, or fills did not reach the ledger.
        Refused: The API refused an order.
    """
    missing, row = shares, None
    for _ in range(TRIES):
        row = await _entered(api, _order("BUY", token_id, missing, price), shares)
        missing -= missing if row is None else _filled(row)
        if missing <= 0:
            await until(lambda: held(api, token_id), lambda now: now == (shares, 0), "a bought position")
            return
    raise BenchFailed(f"{TRIES} entries in turn were not filled; the last: {row}")


async def enter(api: Api, token_id: str, shares: Decimal, price: str) -> None:
    """Buy as many shares as so many cost at this price; returns at the order's end, however much it filled.

    Raises:
        NeverCame: The order did not come to its end.
        Refused: The API refused it.
    """
    path = await _placed(api, _order("BUY", token_id, shares, price))
    await until(lambda: api.find(path), _ended, "the end of an entry")


async def rest(api: Api, token_id: str, shares: Decimal, price: str) -> None:
    """Offer shares until cancelled; returns once the offer rests at the venue, or filled already.

    Raises:
        BenchFailed: One order after another ended before it rested.
        Refused: The API refused an order.
    """
    body = _order("SELL", token_id, shares, price) | {"time_in_force": "GTC"}
    row: Json | None = None
    for _ in range(TRIES):
        path = await _placed(api, body)
        row = await until(lambda path=path: api.find(path), _rests_or_ended, "a resting offer")
        if row is not None and (row["state"] == OrderState.RESTING or _filled(row)):
            return
    raise BenchFailed(f"{TRIES} offers in turn did not rest; the last: {row}")


async def _entered(api: Api, body: Json, shares: Decimal) -> Json | None:
    """Place an entry; return its row at its end, or None as soon as the ledger holds everything wanted."""
    path, token_id = await _placed(api, body), str(body["token_id"])

    async def read() -> tuple[bool, Json | None]:
        return await held(api, token_id) == (shares, 0), await api.find(path)

    whole, row = await until(read, lambda seen: seen[0] or _ended(seen[1]), "the end of an entry")
    return None if whole else row


async def _placed(api: Api, body: Json) -> str:
    return f"/api/v2/orders/{(await api.post('/api/v2/orders', body))['id']}"


async def held(api: Api, token_id: str) -> tuple[Decimal, Decimal]:
    """Return the shares of a position in the ledger, and how many of them are unconfirmed."""
    found = items(await api.get("/api/v2/positions", token_id=token_id))
    if not found:
        return Decimal(0), Decimal(0)
    return Decimal(str(found[0]["shares"])), Decimal(str(found[0]["unconfirmed_shares"]))


def _order(side: str, token_id: str, shares: Decimal, price: str) -> Json:
    return {"token_id": token_id, "side": side, "shares": str(shares), "price": price}


def _rests_or_ended(row: Json | None) -> bool:
    return _ended(row) or (row is not None and row["state"] == OrderState.RESTING)


def _ended(row: Json | None) -> bool:
    return row is not None and OrderState(str(row["state"])).is_terminal


def _filled(row: Json) -> Decimal:
    return Decimal(str(row["filled_shares"]))
