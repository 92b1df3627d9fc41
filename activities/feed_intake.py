"""The way of live quotes through a feed: to the index, crossings to their rules, changes to the tape."""

from collections.abc import Iterable
from dataclasses import replace
from functools import partial

import structlog

from activities.feed_board import Moment, QuoteBoard, Seen
from activities.feed_delivery import Delivery
from activities.feed_notices import FeedNotices
from activities.feed_tape import TapeBatch
from activities.feed_unanswered import Unanswered
from domain.ids import TokenId
from domain.messages import Crossed, WatchRow
from domain.ports import Book, Clock, MarketStream
from domain.quotes import MAX_LADDER_LEVELS, Quote, ladder_for
from domain.rules.crossing import Crossing

log = structlog.get_logger()


class QuoteIntake:
    """Shows quotes to the board, sends what they fire, and keeps what changed."""

    def __init__(
        self,
        board: QuoteBoard,
        *,
        stream: MarketStream,
        delivery: Delivery,
        batch: TapeBatch,
        notices: FeedNotices,
        clock: Clock,
    ) -> None:
        """Take the board and what its answers go to."""
        self._board = board
        self._stream = stream
        self._delivery = delivery
        self._batch = batch
        self._notices = notices
        self._clock = clock
        self._unanswered = Unanswered(board.row)
        self.quotes = 0  # taken in so far

    def now(self) -> Moment:
        """Return the present."""
        return Moment.now(self._clock)

    def take(self, token_id: TokenId, quote: Quote, received_ms: int, venue_ms: int | None) -> None:
        """Take a quote that was received at a monotonic time; of a token that was given up it is too late."""
        if not self._board.follows(token_id):
            return
        self.quotes += 1
        changed = self._board.is_change(token_id, quote)
        at = Moment(received_ms, self.now().wall_ms)
        self.deliver(self._board.take(token_id, quote, at, venue_ms))
        if changed:
            self._batch.add(token_id, self._clock.now(), quote)
            self._notices.saw(token_id, quote, at)

    def take_book(self, book: Book, asked_ms: int) -> bool:
        """Take a book read by REST: one that equals the newest quote confirms it.

        Args:
            book: as the venue answered.
            asked_ms: monotonic time of the question. A frame that came since is newer than the answer may
                be, and so is one that tells of a later time of the venue, which answers from caches.

        Returns:
            Whether it was news: no frame had told of it.
        """
        if not self._board.follows(book.token_id):
            return False  # given up while the answer was on its way: a quote kept would be old one day
        self._notices.saw_book(book)
        seen = self._board.seen(book.token_id)
        is_older = seen is not None and _is_older(book, seen)
        if not (is_older and any(self._stream.ladder(book.token_id, 1))):
            self._stream.replace_book(book)
        if seen is not None and seen.confirmed_ms > asked_ms:
            return False
        quote = book.quote
        if seen is not None and book.last is None:
            quote = replace(quote, last=seen.quote.last)
        if seen is not None and seen.quote == quote:
            self.deliver(self._board.confirm(book.token_id, self.now()))
            return False
        if is_older:
            return False
        self.take(book.token_id, quote, self._clock.monotonic_ms(), book.venue_timestamp_ms)
        return True

    def change(self, row: WatchRow) -> None:
        """Take in that a watch was armed, changed or disarmed."""
        self._delivery.taken(row)
        self.deliver(self._board.change(row, self.now()))

    def fire_timers(self) -> None:
        """Send what fires by time alone: `confirm.ms` and `not_before` need no quote, doubts neither."""
        now_ms, due = self._clock.monotonic_ms(), self._board.next_due_ms()
        if due is not None and due <= now_ms:
            self.deliver(self._board.due(self.now()))
        for crossing in self._unanswered.due(now_ms):
            log.warning("crossing.unanswered", rule_id=crossing.rule_id, generation=crossing.generation)
            message = partial(self._message, crossing)
            self._delivery.send_again(crossing, self._account_of(crossing), message, self._accepted)

    def deliver(self, crossings: Iterable[Crossing]) -> None:
        """Hand crossings out; an entry leaves the index when its signal call has returned."""
        for crossing in crossings:
            message = partial(self._message, crossing)
            self._delivery.send(crossing, self._account_of(crossing), message, self._delivered)

    def deliver_late(self, crossings: Iterable[Crossing]) -> None:
        """Hand out what is found long after it happened: only to rules that are armed still as they were."""
        for crossing in crossings:
            row = self._board.row(crossing.rule_id)
            if row is not None and row.generation == crossing.generation:
                log.warning("crossing.found_late", rule_id=crossing.rule_id, generation=crossing.generation)
                self.deliver([crossing])

    def _account_of(self, crossing: Crossing) -> str:
        row = self._board.row(crossing.rule_id)
        return "" if row is None else row.account_id

    def _message(self, crossing: Crossing) -> Crossed | None:
        """Return a crossing's signal, with the bids of now that its rule's shares reach.

        None when the rule was disarmed or armed anew since: the new watch was judged by itself.
        """
        row = self._board.row(crossing.rule_id)
        if row is None or row.generation != crossing.generation:
            return None
        bids, _ = self._stream.ladder(row.token_id, MAX_LADDER_LEVELS)
        at_ms = self._stood_at_ms(row.token_id, crossing.observed_at_ms)
        return Crossed(crossing=crossing, ladder=ladder_for(bids, row.shares), ladder_at_ms=at_ms)

    def _stood_at_ms(self, token_id: TokenId, least_ms: int) -> int:
        """Return when a token's quote was confirmed last, Unix time: its book is no newer than that."""
        seen, at = self._board.seen(token_id), self.now()
        return least_ms if seen is None else max(least_ms, at.wall_ms - (at.mono_ms - seen.confirmed_ms))

    def _delivered(self, crossing: Crossing) -> None:
        self._board.delivered(crossing.rule_id, crossing.generation)
        self._accepted(crossing)

    def _accepted(self, crossing: Crossing) -> None:
        self._unanswered.delivered(crossing, self._clock.monotonic_ms())


def _is_older(book: Book, seen: Seen) -> bool:
    """Whether a book is from before the newest quote of its token, by the venue's own time."""
    if book.venue_timestamp_ms is None or seen.venue_ms is None:
        return False
    return book.venue_timestamp_ms < seen.venue_ms
