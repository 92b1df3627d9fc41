import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from simulator.app import Running
from simulator.client import AdminMarket, SimulatorAdmin
from tests.simulator.socket_client import ClientBook, Feed, market_feed, user_feed
from tests.simulator.trader import Trader

LEVELS = {"bids": [("0.40", "10"), ("0.39", "20")], "asks": [("0.50", "30")]}


async def test_first_frame_is_an_array_with_every_book(
    running: Running, admin: SimulatorAdmin, market: AdminMarket
) -> None:
    await admin.set_book(market.token_ids[0], **LEVELS)
    async with market_feed(running.ws_url, market.token_ids) as feed:
        books = await feed.frame()
    assert [book["asset_id"] for book in books] == market.token_ids
    assert [level["price"] for level in books[0]["bids"]] == ["0.39", "0.4"]
    assert books[1]["bids"] == [{"price": "0.5", "size": "30"}]
    assert set(books[0]) == {
        "event_type",
        "market",
        "asset_id",
        "timestamp",
        "hash",
        "bids",
        "asks",
        "tick_size",
        "last_trade_price",
    }


async def test_hash_of_the_socket_book_equals_that_of_rest(
    running: Running, admin: SimulatorAdmin, trader: Trader, token: str
) -> None:
    await admin.set_book(token, **LEVELS)
    async with market_feed(running.ws_url, [token]) as feed:
        (book,) = await feed.frame()
    assert book["hash"] == (await trader.call("GET", f"/book?token_id={token}")).body["hash"]


async def test_depth_changes_carry_both_outcomes(
    running: Running, admin: SimulatorAdmin, market: AdminMarket
) -> None:
    yes, no = market.token_ids
    await admin.set_book(yes, **LEVELS)
    async with market_feed(running.ws_url, [yes]) as feed:
        await feed.frame()
        await admin.set_book(yes, bids=[("0.40", "15"), ("0.39", "20")], asks=[])
        (change,) = await feed.frame()
    found = {(c["asset_id"], c["side"], c["price"], c["size"]) for c in change["price_changes"]}
    assert found == {
        (yes, "SELL", "0.5", "0"),
        (no, "BUY", "0.5", "0"),
        (yes, "BUY", "0.4", "15"),
        (no, "SELL", "0.6", "15"),
    }
    assert {(c["best_bid"], c["best_ask"]) for c in change["price_changes"] if c["asset_id"] == yes} == {
        ("0.4", "")
    }
    assert "asset_id" not in change


async def test_trade_prints_and_restates_the_book(
    running: Running, admin: SimulatorAdmin, trader: Trader, token: str
) -> None:
    await admin.set_book(token, **LEVELS)
    async with market_feed(running.ws_url, [token]) as feed:
        await feed.frame()
        await trader.buy(token, "0.50", "10")
        events = await feed.frame()
    assert [event["event_type"] for event in events] == ["price_change", "last_trade_price", "book"]
    assert (events[1]["price"], events[1]["size"], events[1]["side"]) == ("0.5", "10", "BUY")
    assert events[2]["last_trade_price"] == "0.5"


async def test_custom_events_need_their_flag(
    running: Running, admin: SimulatorAdmin, market: AdminMarket
) -> None:
    token = market.token_ids[0]
    async with (
        market_feed(running.ws_url, [token], custom_feature_enabled=True) as asked,
        market_feed(running.ws_url, [token]) as plain,
    ):
        await asked.frame()
        await plain.frame()
        await admin.set_book(token, **LEVELS)
        await admin.create_market("New?")
        await admin.resolve(market.condition_id, token)
        kinds = [event["event_type"] for event in await asked.until_pong()]
        plain_kinds = {event["event_type"] for event in await plain.until_pong()}
    assert {"best_bid_ask", "new_market", "market_resolved"} <= set(kinds)
    assert plain_kinds == {"price_change"}


async def test_resolution_names_the_winner(
    running: Running, admin: SimulatorAdmin, market: AdminMarket
) -> None:
    async with market_feed(running.ws_url, market.token_ids, custom_feature_enabled=True) as feed:
        await feed.frame()
        await admin.resolve(market.condition_id, market.token_ids[1])
        (event,) = [e for e in await feed.until_pong() if e["event_type"] == "market_resolved"]
    assert (event["winning_asset_id"], event["winning_outcome"]) == (market.token_ids[1], "No")


async def test_tick_change_is_followed_by_a_new_book(
    running: Running, admin: SimulatorAdmin, market: AdminMarket
) -> None:
    token = market.token_ids[0]
    async with market_feed(running.ws_url, [token]) as feed:
        await feed.frame()
        await admin.set_tick_size(market.condition_id, "0.001")
        events = await feed.until_pong()
    changes = [e for e in events if e["event_type"] == "tick_size_change" and e["asset_id"] == token]
    assert [(e["old_tick_size"], e["new_tick_size"]) for e in changes] == [("0.01", "0.001")]
    assert (events[-1]["event_type"], events[-1]["tick_size"]) == ("book", "0.001")


async def test_tokens_can_be_added_and_dropped_later(
    running: Running, admin: SimulatorAdmin, market: AdminMarket
) -> None:
    other = (await admin.create_market("Another?")).token_ids[0]
    async with market_feed(running.ws_url, [market.token_ids[0]]) as feed:
        await feed.frame()
        await feed.send({"operation": "subscribe", "assets_ids": [other]})
        assert [book["asset_id"] for book in await feed.frame()] == [other]
        await feed.send({"operation": "subscribe", "assets_ids": [other]})
        assert await feed.text() == "NO NEW ASSETS"
        await feed.send({"operation": "unsubscribe", "assets_ids": [market.token_ids[0]]})
        assert await feed.quiet()
        await admin.set_book(market.token_ids[0], **LEVELS)
        assert await feed.quiet()
        await admin.set_book(other, **LEVELS)
        assert (await feed.frame())[0]["event_type"] == "price_change"


async def test_dump_can_be_declined(running: Running, market: AdminMarket) -> None:
    async with market_feed(running.ws_url, market.token_ids, initial_dump=False) as feed:
        assert await feed.quiet()


async def test_socket_without_ping_is_dropped(
    running: Running, admin: SimulatorAdmin, market: AdminMarket
) -> None:
    await admin.settings(socket_idle_ms=30)
    async with market_feed(running.ws_url, market.token_ids) as feed:
        await feed.frame()
        with pytest.raises(ConnectionClosed):
            await feed.text()


async def test_silent_socket_still_answers_ping(running: Running, admin: SimulatorAdmin, token: str) -> None:
    async with market_feed(running.ws_url, [token]) as feed:
        await feed.frame()
        await admin.sockets("market", "silence")
        await admin.set_book(token, **LEVELS)
        assert await feed.quiet()
        await admin.sockets("market", "resume")
        await admin.set_book(token, bids=[("0.41", "1")])
        assert await feed.until_pong() != []


async def test_muted_token_is_silent_while_others_flow(
    running: Running, admin: SimulatorAdmin, token: str
) -> None:
    other = (await admin.create_market("Another?")).token_ids[0]
    async with market_feed(running.ws_url, [token, other]) as feed:
        await feed.frame()
        await admin.sockets("market", "mute_token", token_id=token)
        await admin.set_book(token, **LEVELS)
        assert await feed.quiet()
        await admin.set_book(other, **LEVELS)
        assert len(await feed.until_pong()) == 1


async def test_frames_can_be_duplicated_reordered_and_cut_off(
    running: Running, admin: SimulatorAdmin, token: str
) -> None:
    async with market_feed(running.ws_url, [token]) as feed:
        await feed.frame()
        await admin.sockets("market", "duplicate")
        await admin.set_book(token, bids=[("0.40", "1")])
        first, second = await feed.until_pong()
        assert first == second
        await admin.sockets("market", "reorder")
        await admin.set_book(token, bids=[("0.40", "2")])
        assert await feed.quiet()
        await admin.set_book(token, bids=[("0.40", "3")])
        sizes = [event["price_changes"][0]["size"] for event in await feed.until_pong()]
        assert sizes == ["3", "2"]
        await admin.sockets("market", "disconnect")
        with pytest.raises(ConnectionClosed):
            await feed.text()


async def test_user_socket_tells_an_order_from_placement_to_confirmation(
    running: Running, admin: SimulatorAdmin, trader: Trader, token: str
) -> None:
    await admin.settings(trade_mode="manual")
    await admin.set_book(token, bids=[("0.40", "10")])
    async with user_feed(running.ws_url, trader) as feed:
        reply = await trader.sell(token, "0.40", "10")
        (trade_id,) = reply.body["tradeIDs"]
        await admin.set_trade_status(trade_id, "MINED")
        await admin.set_trade_status(trade_id, "CONFIRMED")
        events = await feed.until_pong()
    story = [(event["event_type"], event["type"], event["status"]) for event in events]
    assert story == [
        ("order", "PLACEMENT", "LIVE"),
        ("trade", "TRADE", "MATCHED"),
        ("order", "UPDATE", "MATCHED"),
        ("trade", "TRADE", "MINED"),
        ("trade", "TRADE", "CONFIRMED"),
    ]
    update = events[2]
    assert (update["id"], update["size_matched"]) == (reply.body["orderID"], "10")
    assert update["associate_trades"] == [trade_id]
    assert events[1]["trade_owner"] == trader.creds.api_key


async def test_events_stay_with_their_account(
    running: Running, trader: Trader, other: Trader, token: str
) -> None:
    async with user_feed(running.ws_url, trader) as mine, user_feed(running.ws_url, other) as theirs:
        await other.sell(token, "0.45", "10")
        assert await mine.quiet()
        await trader.buy(token, "0.45", "10")
        kinds = [(event["event_type"], event["type"]) for event in await theirs.until_pong()]
        assert ("order", "UPDATE") in kinds
        assert {event["trader_side"] for event in await mine.until_pong() if "trader_side" in event} == {
            "TAKER"
        }


async def test_user_socket_follows_only_the_markets_it_named(
    running: Running, admin: SimulatorAdmin, trader: Trader, market: AdminMarket
) -> None:
    elsewhere = await admin.create_market("Another?")
    async with user_feed(running.ws_url, trader, [elsewhere.condition_id]) as feed:
        await trader.buy(market.token_ids[0], "0.40", "10")
        assert await feed.quiet()
        await feed.send({"operation": "subscribe", "markets": [market.condition_id]})
        assert await feed.quiet()
        await trader.buy(market.token_ids[0], "0.41", "10")
        assert len(await feed.until_pong()) == 1


async def test_killed_order_carries_its_reason(running: Running, trader: Trader, token: str) -> None:
    async with user_feed(running.ws_url, trader) as feed:
        await trader.sell(token, "0.40", "10", "FOK")
        (event,) = await feed.until_pong()
    assert event["status"] == (
        "CANCELED_order couldn't be fully filled. FOK orders are fully filled or killed."
    )
    assert (event["type"], event["size_matched"], event["created_at"], event["outcome"]) == (
        "CANCELLATION",
        "",
        "",
        "",
    )


async def test_wrong_credentials_close_the_user_socket_without_a_word(
    running: Running, trader: Trader
) -> None:
    async with connect(f"{running.ws_url}/user", proxy=None) as socket:
        feed = Feed(socket)
        auth = {"apiKey": trader.creds.api_key, "secret": "x", "passphrase": "y"}
        await feed.send({"auth": auth, "type": "user"})
        with pytest.raises(ConnectionClosed):
            await feed.text()


async def test_book_built_from_frames_stays_equal_to_rest(
    running: Running, admin: SimulatorAdmin, trader: Trader, other: Trader, market: AdminMarket
) -> None:
    yes, no = market.token_ids
    async with market_feed(running.ws_url, market.token_ids) as feed:
        books = {token: ClientBook(token) for token in market.token_ids}
        await admin.set_book(yes, **LEVELS)
        await trader.buy(yes, "0.45", "20")
        await other.sell(no, "0.45", "30")
        await other.sell(yes, "0.44", "5")
        await trader.call("DELETE", "/cancel-all")
        for event in await feed.until_pong():
            for book in books.values():
                book.apply(event)
    for token, book in books.items():
        rest = ClientBook(token)
        rest.apply({"event_type": "book", **(await trader.call("GET", f"/book?token_id={token}")).body})
        assert (book.bids, book.asks, book.last) == (rest.bids, rest.asks, rest.last)
