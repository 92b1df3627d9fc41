"""Frames: whatever order and shape they come in, the end state is the venue's."""

import json
import random
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.ids import TokenId
from domain.orders import Side
from domain.ports import Book, MarketEvent, MarketEventKind
from domain.quotes import Level, Quote
from venues.polymarket.market_frames import FrameCounters, FrameReader, LocalBooks

D = Decimal
YES, NO, FOREIGN = "111", "222", "333"
K = MarketEventKind
Json = dict[str, object]


class Reading:
    """A reader with its books, for two tokens."""

    def __init__(self) -> None:
        self.books = LocalBooks()
        self.counters = FrameCounters()
        self.reader = FrameReader(self.books, self.counters)
        for token in (YES, NO):
            self.books.watch(token)

    def frame(self, *events: Json, array: bool = True) -> list[MarketEvent]:
        payload = list(events) if array else events[0]
        return list(self.reader.read(json.dumps(payload).encode(), 1))

    def quote(self, token: str = YES) -> Quote:
        book = self.books.get(token)
        assert book is not None
        return book.quote()


def levels(*pairs: tuple[str, str]) -> list[Json]:
    return [{"price": price, "size": size} for price, size in pairs]


def book(at: int, token: str = YES, *, last: str = "", bids: object = None, asks: object = None) -> Json:
    return {
        "event_type": "book",
        "asset_id": token,
        "market": "0x1",
        "timestamp": str(at),
        "bids": levels(("0.40", "10"), ("0.45", "20")) if bids is None else bids,
        "asks": levels(("0.60", "10"), ("0.50", "20")) if asks is None else asks,
        "last_trade_price": last,
    }


def change(price: str, size: str, side: str = "BUY", token: str = YES, **best: str) -> Json:
    return {"asset_id": token, "price": price, "size": size, "side": side, "hash": "x", **best}


def changes(at: int, *entries: Json) -> Json:
    return {
        "event_type": "price_change",
        "market": "0x1",
        "timestamp": str(at),
        "price_changes": list(entries),
    }


def trade(at: int, price: str, token: str = YES) -> Json:
    return {
        "event_type": "last_trade_price",
        "asset_id": token,
        "market": "0x1",
        "price": price,
        "size": "5",
        "side": "BUY",
        "timestamp": str(at),
    }


@pytest.fixture
def reading() -> Reading:
    started = Reading()
    started.frame(book(10), book(10, NO))
    return started


def test_snapshot_gives_the_first_quote() -> None:
    (event,) = Reading().frame(book(10, last="0.47"), array=False)
    assert event.kind is K.QUOTE
    assert event.quote == Quote(D("0.45"), D("0.50"), D("0.47"))
    assert event.venue_timestamp_ms == 10


def test_object_and_array_say_the_same() -> None:
    assert Reading().frame(book(10)) == Reading().frame(book(10), array=False)


def test_each_token_of_a_frame_comes_once_with_its_end_state(reading: Reading) -> None:
    events = reading.frame(
        changes(11, change("0.46", "5"), change("0.54", "5", "SELL", NO)),
        trade(11, "0.46"),
        changes(11, change("0.47", "5")),
    )
    assert [(event.token_id, event.kind) for event in events] == [(YES, K.QUOTE), (NO, K.QUOTE)]
    assert events[0].quote == Quote(D("0.47"), D("0.50"), D("0.46"))


def test_crossing_inside_a_frame_is_not_seen(reading: Reading) -> None:
    (event,) = reading.frame(changes(11, change("0.55", "5"), change("0.55", "0")))
    assert event.quote == Quote(D("0.45"), D("0.50"), None)


def test_size_zero_removes_the_level(reading: Reading) -> None:
    (event,) = reading.frame(changes(11, change("0.45", "0")))
    assert event.quote is not None
    assert event.quote.bid == D("0.40")


@pytest.mark.parametrize("text", ["0.45", "0.450", ".45", "4.5e-1"])
def test_price_is_the_same_level_however_it_is_written(reading: Reading, text: str) -> None:
    reading.frame(changes(11, change(text, "0")))
    assert reading.quote().bid == D("0.40")


def test_empty_sides_are_none(reading: Reading) -> None:
    (event,) = reading.frame(book(11, bids=[], asks=[]))
    assert event.quote == Quote(None, None, None)
    (event,) = reading.frame(changes(12, change("0.30", "5", best_bid="0.3", best_ask="")))
    assert event.kind is K.QUOTE
    assert event.quote == Quote(D("0.30"), None, None)


def test_best_prices_that_differ_from_the_book_are_a_desync(reading: Reading) -> None:
    (event,) = reading.frame(changes(11, change("0.46", "5", best_bid="0.48", best_ask="0.50")))
    assert (event.kind, event.quote) == (K.DESYNC, None)
    assert reading.books.ladder(YES, 5) == ((), ())
    assert reading.counters.desyncs == 1


def test_desync_is_told_once_and_ends_with_a_rest_book(reading: Reading) -> None:
    reading.frame(changes(11, change("0.46", "5", best_bid="0.48", best_ask="0.50")))
    assert reading.frame(changes(12, change("0.47", "5", best_bid="0.48", best_ask="0.50"))) == []
    reading.books.replace(rest_book(13, ("0.48", "9")))
    (event,) = reading.frame(changes(14, change("0.41", "5", best_bid="0.48", best_ask="0.5")))
    assert event.kind is K.QUOTE
    assert event.quote == Quote(D("0.48"), D("0.50"), None)


def test_frame_that_came_late_ends_the_desync_by_itself(reading: Reading) -> None:
    first = changes(11, change("0.48", "5", best_bid="0.48", best_ask="0.50"))
    second = changes(12, change("0.41", "5", best_bid="0.48", best_ask="0.50"))
    assert [event.kind for event in reading.frame(second)] == [K.DESYNC]
    (event,) = reading.frame(first)
    assert event.kind is K.QUOTE
    assert event.quote == Quote(D("0.48"), D("0.50"), None)


def test_change_before_any_snapshot_is_a_desync() -> None:
    started = Reading()
    (event,) = started.frame(changes(11, change("0.46", "5")))
    assert event.kind is K.DESYNC


def rest_book(at: int | None, *bids: tuple[str, str]) -> Book:
    return Book(
        token_id=TokenId(YES),
        bids=tuple(Level(D(price), D(size)) for price, size in bids),
        asks=(Level(D("0.50"), D(20)),),
        last=None,
        tick=D("0.01"),
        venue_timestamp_ms=at,
    )


def test_repeated_frame_is_counted_and_confirms_nothing(reading: Reading) -> None:
    event = changes(11, change("0.46", "5"))
    assert len(reading.frame(event)) == 1
    assert reading.frame(event) == []
    assert reading.counters.duplicates == 1


def test_older_frame_never_overwrites_a_newer_level(reading: Reading) -> None:
    reading.frame(changes(20, change("0.46", "0")))
    assert reading.frame(changes(15, change("0.46", "7"))) == []
    assert reading.quote().bid == D("0.45")
    assert reading.counters.late == 1


def test_older_frame_still_brings_what_was_missing(reading: Reading) -> None:
    reading.frame(changes(20, change("0.41", "7")))
    (event,) = reading.frame(changes(15, change("0.46", "7")))
    assert event.quote is not None
    assert event.quote.bid == D("0.46")


def test_older_snapshot_does_not_bring_back_a_removed_level(reading: Reading) -> None:
    reading.frame(changes(20, change("0.45", "0")))
    reading.frame(book(15))
    assert reading.quote().bid == D("0.40")


def test_older_rest_book_keeps_newer_changes(reading: Reading) -> None:
    reading.frame(changes(20, change("0.47", "7")))
    reading.books.replace(rest_book(15, ("0.42", "9")))
    bids, asks = reading.books.ladder(YES, 5)
    assert [level.price for level in bids] == [D("0.47"), D("0.42")]
    assert [level.price for level in asks] == [D("0.50")]


def test_change_older_than_the_snapshot_is_nothing(reading: Reading) -> None:
    reading.frame(changes(5, change("0.49", "7")))
    assert reading.quote().bid == D("0.45")


def test_older_print_does_not_replace_the_last_trade(reading: Reading) -> None:
    reading.frame(trade(20, "0.48"))
    reading.frame(trade(15, "0.41"))
    assert reading.quote().last == D("0.48")


def test_trades_of_a_frame_come_with_the_quote_in_their_order(reading: Reading) -> None:
    (event,) = reading.frame(changes(20, change("0.50", "8", "SELL")), trade(20, "0.50"), trade(20, "0.51"))
    assert [(t.price, t.shares, t.taker, t.venue_timestamp_ms) for t in event.trades] == [
        (D("0.50"), D(5), Side.BUY, 20),
        (D("0.51"), D(5), Side.BUY, 20),
    ]
    (quiet,) = reading.frame(changes(21, change("0.50", "7", "SELL")))
    assert quiet.trades == ()


def test_print_that_comes_late_is_told_with_the_next_quote(reading: Reading) -> None:
    reading.frame(trade(18, "0.50"))
    reading.frame(changes(20, change("0.50", "8", "SELL")))
    assert reading.frame(trade(19, "0.50")) == []  # it confirms nothing: the newest quote stands as it is
    (event,) = reading.frame(trade(21, "0.50"))
    assert [each.venue_timestamp_ms for each in event.trades] == [19, 21]
    (quiet,) = reading.frame(changes(22, change("0.50", "7", "SELL")))
    assert quiet.trades == ()


def test_prints_of_a_book_that_cannot_be_trusted_are_told_when_it_can_be_again(reading: Reading) -> None:
    reading.books.expect_snapshot(YES)
    (lost,) = reading.frame(trade(20, "0.48"))
    assert (lost.kind, lost.trades) == (MarketEventKind.DESYNC, ())
    reading.frame(trade(21, "0.47"))
    (event,) = reading.frame(book(22))
    assert [each.venue_timestamp_ms for each in event.trades] == [20, 21]


def test_prints_of_a_token_that_was_given_up_are_forgotten(reading: Reading) -> None:
    reading.frame(trade(18, "0.50"))
    reading.frame(changes(20, change("0.50", "8", "SELL")))
    reading.frame(trade(19, "0.50"))
    reading.books.forget(YES)
    reading.books.watch(YES)
    (event,) = reading.frame(book(30))
    assert event.trades == ()


@pytest.mark.parametrize("broken", [{"side": ["BUY"]}, {"side": "LONG"}, {"size": 5}, {"size": "-1"}])
def test_print_without_a_readable_side_or_size_is_a_last_price_alone(
    reading: Reading, broken: dict[str, object]
) -> None:
    (event,) = reading.frame(trade(20, "0.48") | broken)
    assert event.trades == ()
    assert reading.quote().last == D("0.48")


def test_tick_change_drops_the_book_until_the_next_one(reading: Reading) -> None:
    event = {"event_type": "tick_size_change", "asset_id": YES, "market": "0x1", "timestamp": "11"}
    events = reading.frame({**event, "old_tick_size": "0.01", "new_tick_size": "0.001"})
    assert [(e.kind, e.token_id) for e in events] == [(K.TICK, YES)]
    assert reading.books.ladder(YES, 5) == ((), ())
    (event_after,) = reading.frame(book(12))
    assert event_after.kind is K.QUOTE


def test_resolution_is_told_for_each_watched_token(reading: Reading) -> None:
    events = reading.frame(
        {
            "event_type": "market_resolved",
            "market": "0x1",
            "assets_ids": [YES, NO, FOREIGN],
            "winning_asset_id": YES,
            "timestamp": "11",
        }
    )
    assert [(e.kind, e.token_id) for e in events] == [(K.STATE, YES), (K.STATE, NO)]


def test_tokens_that_nobody_watches_yield_nothing(reading: Reading) -> None:
    assert reading.frame(book(11, FOREIGN), changes(11, change("0.4", "1", token=FOREIGN))) == []


@pytest.mark.parametrize("text", [b"PONG", b"NO NEW ASSETS", b"[]"])
def test_bare_texts_are_no_events(reading: Reading, text: bytes) -> None:
    assert not reading.reader.read(text, 1)
    assert reading.counters.malformed == 0


@pytest.mark.parametrize(
    "text",
    [
        b"{",
        b"\xff",
        b"5",
        b'["x"]',
        b'{"event_type":"price_change","timestamp":"12","price_changes":5}',
        b'{"event_type":"price_change","timestamp":"12","price_changes":[5]}',
        b'{"event_type":"price_change","timestamp":"12","price_changes":[{"asset_id":5}]}',
        b'{"event_type":"price_change","price_changes":[]}',
        b'{"event_type":"book","asset_id":"111","timestamp":"12","bids":5,"asks":[]}',
        b'{"event_type":"book","asset_id":"111","timestamp":"12","bids":[{"price":1,"size":"1"}],"asks":[]}',
        b'{"event_type":"last_trade_price","asset_id":"111","timestamp":12,"price":"0.5"}',
        b'{"event_type":"market_resolved","timestamp":"12"}',
    ],
)
def test_malformed_frame_is_counted_and_changes_nothing(reading: Reading, text: bytes) -> None:
    before = reading.quote()
    assert [event for event in reading.reader.read(text, 1) if event.kind is K.QUOTE] == []
    assert reading.counters.malformed == 1
    assert reading.quote() == before


@pytest.mark.parametrize(
    ("price", "size"), [("1.5", "5"), ("-0.1", "5"), ("NaN", "5"), ("0.4", "-1"), ("x", "1")]
)
def test_absurd_level_is_counted_and_never_quoted(reading: Reading, price: str, size: str) -> None:
    reading.frame(changes(11, change(price, size)))
    assert reading.counters.absurd == 1
    assert reading.quote() == Quote(D("0.45"), D("0.50"), None)


def test_absurd_print_is_ignored(reading: Reading) -> None:
    assert reading.frame(trade(11, "7")) == []
    assert reading.quote().last is None


def test_ladder_is_best_first_and_cut(reading: Reading) -> None:
    reading.frame(changes(11, *(change(f"0.{n}", "3") for n in range(20, 40))))
    bids, asks = reading.books.ladder(YES, 3)
    assert [level.price for level in bids] == [D("0.45"), D("0.40"), D("0.39")]
    assert [(level.price, level.size) for level in asks] == [(D("0.50"), D(20)), (D("0.60"), D(10))]


prices = st.sampled_from([f"0.{n:02d}" for n in range(1, 100)])
entries = st.tuples(prices, st.sampled_from(["0", "1", "2.5"]), st.sampled_from(["BUY", "SELL"]))


@given(updates=st.lists(entries, min_size=1, max_size=30), seed=st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_any_order_and_repetition_of_frames_gives_the_same_book(
    updates: list[tuple[str, str, str]], seed: int
) -> None:
    frames = [changes(100 + n, change(*update)) for n, update in enumerate(updates)]
    straight, shuffled = Reading(), Reading()
    for each in (straight, shuffled):
        each.frame(book(50))
    for frame in frames:
        straight.frame(frame)
    disorder = [*frames, *frames[::2], book(50)]
    random.Random(seed).shuffle(disorder)
    for frame in disorder:
        shuffled.frame(frame)
    one, other = straight.books.get(YES), shuffled.books.get(YES)
    assert one is not None
    assert other is not None
    assert one.bids.descending(99) == other.bids.descending(99)
    assert one.asks.ascending(99) == other.asks.ascending(99)
