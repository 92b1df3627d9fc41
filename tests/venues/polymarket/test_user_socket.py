"""The account's socket: facts in order, gaps wherever something may be missing."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from decimal import Decimal
from pathlib import Path

import orjson
import pytest

from domain.errors import VenueTransient
from domain.fills import Fill, FillState
from domain.ids import TokenId
from domain.orders import VenueOrderStatus
from domain.ports import AccountEvent, AccountEventKind
from tests.venues.polymarket.test_signing import credentials
from tests.venues.scripted_socket import quick, scripted_socket
from venues.polymarket.schemas import TradePayload
from venues.polymarket.trades import Owner, fills_of
from venues.polymarket.user_socket import UserSocket

K = AccountEventKind
OWNER = Owner(api_key="", wallet="0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266")


async def own_fills(trade: TradePayload) -> Sequence[Fill]:
    async def rate(_: TokenId) -> Decimal:
        return Decimal(0)

    return await fills_of(trade, OWNER, rate)


async def unreachable(_: TradePayload) -> Sequence[Fill]:
    raise VenueTransient("the instrument cannot be read now")


def recorded(folder: Path, name: str) -> dict[str, object]:
    return dict(orjson.loads((folder / "polymarket" / name).read_bytes()))


async def event(events: AsyncIterator[AccountEvent]) -> AccountEvent:
    async with asyncio.timeout(10):
        return await anext(events)


async def test_socket_authenticates_and_asks_for_every_market() -> None:
    async with (
        scripted_socket() as venue,
        UserSocket(quick(venue.url), credentials().api, own_fills) as events,
    ):
        (greeting,) = await venue.messages(0, 1)
        assert (await event(events)).kind is K.GAP
    assert venue.paths == ["/user"]
    assert greeting["type"] == "user"
    assert "markets" not in greeting
    assert set(greeting["auth"]) == {"apiKey", "secret", "passphrase"}  # type: ignore[call-overload]


async def test_facts_come_in_the_order_of_arrival(fixtures_dir: Path) -> None:
    async with (
        scripted_socket() as venue,
        UserSocket(quick(venue.url), credentials().api, own_fills) as events,
    ):
        await venue.messages(0, 1)
        assert (await event(events)).kind is K.GAP
        await venue.say(0, recorded(fixtures_dir, "ws_user_order_placement.json"), array=False)
        await venue.say(
            0,
            recorded(fixtures_dir, "ws_user_order_update.json"),
            recorded(fixtures_dir, "ws_user_trade_msg.json"),
        )
        placed, updated, filled = [await event(events) for _ in range(3)]
    assert placed.order is not None
    assert placed.order.status is VenueOrderStatus.LIVE
    assert updated.order is not None
    assert updated.order.matched_shares == 25
    assert filled.fill is not None
    assert (filled.fill.shares, filled.fill.state) == (25, FillState.CONFIRMED)


async def test_older_trade_frame_without_event_type_is_a_fill(fixtures_dir: Path) -> None:
    socket = UserSocket(quick("ws://127.0.0.1:9"), credentials().api, own_fills)
    (fact,) = await socket.read(orjson.dumps(recorded(fixtures_dir, "ws_user_trade.json")))
    assert fact.kind is K.FILL


@pytest.mark.parametrize("text", [b"{", b'{"event_type":"order"}', b'{"event_type":"trade","id":5}', b"[5]"])
async def test_unreadable_fact_is_a_gap(text: bytes) -> None:
    socket = UserSocket(quick("ws://127.0.0.1:9"), credentials().api, own_fills)
    assert [fact.kind for fact in await socket.read(text)] == [K.GAP]


async def test_unknown_status_is_a_gap(fixtures_dir: Path) -> None:
    socket = UserSocket(quick("ws://127.0.0.1:9"), credentials().api, own_fills)
    trade = recorded(fixtures_dir, "ws_user_trade_msg.json") | {"status": "NEW_WORD"}
    order = recorded(fixtures_dir, "ws_user_order_update.json") | {"status": "NEW_WORD"}
    assert [fact.kind for fact in await socket.read(orjson.dumps([trade, order]))] == [K.GAP, K.GAP]


async def test_trade_whose_instrument_is_out_of_reach_is_a_gap(fixtures_dir: Path) -> None:
    socket = UserSocket(quick("ws://127.0.0.1:9"), credentials().api, unreachable)
    frame = orjson.dumps(recorded(fixtures_dir, "ws_user_trade_msg.json"))
    assert [fact.kind for fact in await socket.read(frame)] == [K.GAP]


async def test_events_of_other_kinds_are_nothing() -> None:
    socket = UserSocket(quick("ws://127.0.0.1:9"), credentials().api, own_fills)
    assert list(await socket.read(b'{"event_type":"notice"}')) == []
    assert list(await socket.read(b"[]")) == []


async def test_lost_socket_comes_back_with_a_gap() -> None:
    async with (
        scripted_socket() as venue,
        UserSocket(quick(venue.url), credentials().api, own_fills) as events,
    ):
        await venue.messages(0, 1)
        assert (await event(events)).kind is K.GAP
        venue.connections[0].transport.abort()
        await venue.messages(1, 1)
        assert (await event(events)).kind is K.GAP
