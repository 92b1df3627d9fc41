"""The market stream over real sockets: subscriptions, losses, silence."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from decimal import Decimal

import pytest

from domain.ids import TokenId
from domain.ports import MarketEvent, MarketEventKind
from domain.quotes import Quote
from tests.venues.exchange import LocalExchange
from tests.venues.polymarket.test_market_frames import NO, YES, book, change, changes
from tests.venues.scripted_socket import quick, scripted_socket
from venues.polymarket.config import PolymarketConfig
from venues.polymarket.market_socket import MarketSockets, gap_event
from venues.polymarket.reconnecting import delays

D = Decimal
K = MarketEventKind
A, B = TokenId(YES), TokenId(NO)


async def frame(events: AsyncIterator[Sequence[MarketEvent]]) -> Sequence[MarketEvent]:
    async with asyncio.timeout(10):
        return await anext(events)


async def test_first_message_names_the_tokens_and_asks_for_custom_events() -> None:
    async with scripted_socket() as venue, MarketSockets(quick(venue.url)) as stream:
        await stream.subscribe([A, B])
        (greeting,) = await venue.messages(0, 1)
    assert greeting == {
        "assets_ids": [A, B],
        "type": "market",
        "custom_feature_enabled": True,
        "initial_dump": True,
    }
    assert venue.paths == ["/market"]


async def test_first_event_is_the_venues_book() -> None:
    async with scripted_socket() as venue, MarketSockets(quick(venue.url)) as stream:
        await stream.subscribe([A])
        await venue.messages(0, 1)
        await venue.say(0, book(10))
        (event,) = await frame(stream.events())
        assert event.quote == Quote(D("0.45"), D("0.50"), None)
        assert stream.connected
        assert stream.ladder(A, 1)[0][0].price == D("0.45")


async def test_later_tokens_are_added_on_the_standing_socket() -> None:
    async with scripted_socket() as venue, MarketSockets(quick(venue.url)) as stream:
        await stream.subscribe([A])
        await venue.messages(0, 1)
        await stream.subscribe([A, B])
        _, added = await venue.messages(0, 2)
    assert added == {"operation": "subscribe", "assets_ids": [B], "custom_feature_enabled": True}


async def test_dropped_tokens_are_unsubscribed_and_yield_nothing_more() -> None:
    async with scripted_socket() as venue, MarketSockets(quick(venue.url)) as stream:
        await stream.subscribe([A, B])
        await venue.messages(0, 1)
        await stream.unsubscribe([A])
        _, dropped = await venue.messages(0, 2)
        await venue.say(0, book(10), book(10, NO))
        events = await frame(stream.events())
    assert dropped["operation"] == "unsubscribe"
    assert [event.token_id for event in events] == [B]


async def test_socket_without_tokens_is_closed() -> None:
    async with scripted_socket() as venue, MarketSockets(quick(venue.url)) as stream:
        await stream.subscribe([A])
        await venue.messages(0, 1)
        await stream.unsubscribe([A])
        await venue.closed(0)
        assert stream.connected  # nothing is wanted, so nothing is missing


async def test_many_tokens_are_spread_over_sockets() -> None:
    tokens = [TokenId(str(number)) for number in range(450)]
    async with scripted_socket() as venue, MarketSockets(quick(venue.url)) as stream:
        await stream.subscribe(tokens)
        greetings = [(await venue.messages(number, 1))[0] for number in range(3)]
    sizes = [len(greeting["assets_ids"]) for greeting in greetings]  # type: ignore[arg-type]
    assert sorted(sizes) == [50, 200, 200]


async def test_silent_token_is_moved_to_a_new_socket() -> None:
    async with scripted_socket() as venue, MarketSockets(quick(venue.url)) as stream:
        await stream.subscribe([A, B])
        await venue.messages(0, 1)
        await stream.resubscribe([A])
        (greeting,) = await venue.messages(1, 1)
        _, dropped = await venue.messages(0, 2)
        assert greeting["assets_ids"] == [A]
        assert dropped["assets_ids"] == [A]
        await venue.say(1, book(10))
        (event,) = await frame(stream.events())
        assert event.token_id == A


async def test_lost_socket_comes_back_with_every_token_and_a_gap() -> None:
    async with scripted_socket() as venue, MarketSockets(quick(venue.url)) as stream:
        events = stream.events()
        await stream.subscribe([A])
        await venue.messages(0, 1)
        await venue.say(0, book(10))
        await frame(events)
        await stream.subscribe([B])
        await venue.messages(0, 2)
        venue.connections[0].transport.abort()
        (greeting,) = await venue.messages(1, 1)
        assert greeting["assets_ids"] == [A, B]
        await venue.say(1, book(20, bids=[]))
        (gap,) = await frame(events)
        assert (gap.kind, gap.token_id) == (K.GAP, None)
        assert gap.lost is not None
        assert gap.lost.tokens == {A, B}
        assert gap.lost.heard_ms <= gap.received_ms
        (event,) = await frame(events)
        assert event.quote == Quote(None, D("0.50"), None)


async def test_gap_names_the_tokens_of_the_lost_socket_and_when_it_was_last_heard() -> None:
    async with scripted_socket() as venue, MarketSockets(quick(venue.url, tokens_per_socket=1)) as stream:
        events = stream.events()
        await stream.subscribe([A, B])
        (first,) = await venue.messages(0, 1)
        await venue.messages(1, 1)
        lost = A if first["assets_ids"] == [A] else B
        await venue.say(0, book(10, lost))
        (before,) = await frame(events)
        await venue.say(1, book(10, B if lost == A else A))
        (other,) = await frame(events)
        await venue.connections[0].close()
        await venue.messages(2, 1)
        (gap,) = await frame(events)
    assert (before.token_id, gap.kind) == (lost, K.GAP)
    assert gap.lost is not None
    assert gap.lost.tokens == {lost}
    assert before.received_ms <= gap.lost.heard_ms <= gap.received_ms
    assert other.token_id != lost


async def test_book_is_not_trusted_between_loss_and_new_snapshot() -> None:
    async with scripted_socket() as venue, MarketSockets(quick(venue.url)) as stream:
        events = stream.events()
        await stream.subscribe([A])
        await venue.messages(0, 1)
        await venue.say(0, book(10))
        await frame(events)
        await venue.connections[0].close()
        await venue.messages(1, 1)
        assert (await frame(events))[0].kind is K.GAP
        assert stream.ladder(A, 5) == ((), ())
        await venue.say(1, changes(20, change("0.46", "5")))
        assert (await frame(events))[0].kind is K.DESYNC


async def test_socket_that_answers_nothing_is_replaced() -> None:
    async with scripted_socket() as venue:
        venue.alive = False
        config = quick(venue.url, ping_s=0.02, silent_socket_s=0.06)
        async with MarketSockets(config) as stream:
            await stream.subscribe([A])
            await venue.messages(1, 1)
            assert not stream.connected


async def test_stream_waits_for_a_venue_that_is_away() -> None:
    async with scripted_socket() as venue:
        url, port = venue.url, int(venue.url.rpartition(":")[2])
    async with MarketSockets(quick(url)) as stream:
        await stream.subscribe([A])
        assert not stream.connected
        async with scripted_socket(port) as back:
            await back.messages(0, 1)
            await back.say(0, book(10))
            assert (await frame(stream.events()))[0].kind is K.QUOTE


async def test_consumer_that_fell_behind_gets_a_gap_in_place_of_old_frames() -> None:
    stream = MarketSockets(PolymarketConfig())
    for _ in range(50_001):
        stream.take((gap_event(), gap_event()))
    events = stream.events()
    assert len(await frame(events)) == 1
    assert len(await frame(events)) == 2


def test_backoff_doubles_to_its_cap_with_spread() -> None:
    waits = delays(0.1, 1.0, lambda: 1.0)
    assert [round(next(waits), 3) for _ in range(6)] == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]
    assert next(delays(0.1, 1.0, lambda: 0.0)) == pytest.approx(0.05)


class TestOnTheExchange:
    """The same stream on the simulator, with its mischief."""

    @pytest.fixture
    async def quoted(self, exchange: LocalExchange) -> LocalExchange:
        await exchange.book([("0.45", "20")], [("0.50", "20")])
        return exchange

    async def test_quotes_follow_the_book(self, quoted: LocalExchange) -> None:
        async with quoted.market_data.stream() as stream:
            events = stream.events()
            await stream.subscribe([quoted.yes, quoted.no])
            first = await quotes(events, 2)
            assert first[quoted.yes] == Quote(D("0.45"), D("0.50"), None)
            assert first[quoted.no] == Quote(D("0.50"), D("0.55"), None)
            await quoted.book([("0.47", "20")], [("0.49", "20")], last="0.48")
            second = await quotes(events, 2)
            assert second[quoted.yes] == Quote(D("0.47"), D("0.49"), D("0.48"))
            assert second[quoted.no] == Quote(D("0.51"), D("0.53"), None)

    async def test_disconnect_is_a_gap_and_a_fresh_book(self, quoted: LocalExchange) -> None:
        async with quoted.market_data.stream() as stream:
            events = stream.events()
            await stream.subscribe([quoted.yes])
            await quotes(events, 1)
            await quoted.post("/sockets", channel="market", action="disconnect")
            assert (await frame(events))[0].kind is K.GAP
            assert await quotes(events, 1) == {quoted.yes: Quote(D("0.45"), D("0.50"), None)}

    @pytest.mark.parametrize("action", ["duplicate", "reorder"])
    async def test_mischief_with_frames_leaves_the_right_book(
        self, quoted: LocalExchange, action: str
    ) -> None:
        async with quoted.market_data.stream() as stream:
            events = stream.events()
            await stream.subscribe([quoted.yes])
            await quotes(events, 1)
            await quoted.post("/sockets", channel="market", action=action, times=2)
            for bid in ("0.40", "0.41", "0.42", "0.43", "0.44"):
                await quoted.book([(bid, "20")], [("0.50", "20")])
            wanted = Quote(D("0.44"), D("0.50"), None)
            while await quotes(events, 1) != {quoted.yes: wanted}:
                pass
            assert [level.price for level in stream.ladder(quoted.yes, 5)[0]] == [D("0.44")]

    async def test_resolution_and_tick_change_are_told(self, quoted: LocalExchange) -> None:
        async with quoted.market_data.stream() as stream:
            events = stream.events()
            await stream.subscribe([quoted.yes])
            await quotes(events, 1)
            await quoted.post(f"/markets/{quoted.market_id}/tick-size", tick_size="0.001")
            kinds = {event.kind for event in await frame(events)}
            while K.TICK not in kinds:
                kinds = {event.kind for event in await frame(events)}
            await quoted.post(f"/markets/{quoted.market_id}/resolve", winner=quoted.yes)
            while K.STATE not in kinds:
                kinds = {event.kind for event in await frame(events)}
        instrument = await quoted.market_data.instrument(quoted.yes)
        assert (instrument.tick, instrument.payout) == (D("0.001"), D(1))


async def quotes(events: AsyncIterator[Sequence[MarketEvent]], count: int) -> dict[TokenId, Quote]:
    """Return the quotes of the next frames until so many tokens have one."""
    found: dict[TokenId, Quote] = {}
    while len(found) < count:
        for event in await frame(events):
            if event.kind is K.QUOTE and event.token_id is not None and event.quote is not None:
                found[event.token_id] = event.quote
    return found
