"""What a feed holds in memory: the watched rules, the newest quote of each token, the trigger index."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple

from domain.ids import TokenId
from domain.messages import WatchRow
from domain.ports import Clock
from domain.quotes import Quote, price_rules_of
from domain.rules.crossing import Crossing
from domain.rules.index import TriggerIndex
from domain.rules.watch import TrailMark, Watch

# Marks of rules that ended stay among those kept until as many others have come.
MOST_KEPT = 10_000


class Moment(NamedTuple):
    """One instant on both clocks, in milliseconds: the index lives by the one, evidence by the other."""

    mono_ms: int
    wall_ms: int

    @classmethod
    def now(cls, clock: Clock) -> "Moment":
        """Return the present."""
        return cls(clock.monotonic_ms(), unix_ms(clock.now()))


def unix_ms(at: datetime) -> int:
    """Return a wall time as Unix milliseconds."""
    return int(at.timestamp() * 1000)


@dataclass(slots=True)
class Seen:
    """The newest quote of a token, when it was last confirmed (local monotonic milliseconds), and its venue's
    time where it has one.
    """

    quote: Quote
    confirmed_ms: int
    venue_ms: int | None = None


class QuoteBoard:
    """Watched rules and quotes of one shard. Pure: crossings are returned, nothing is sent or written."""

    def __init__(self, venue: str) -> None:
        """Begin with nothing watched."""
        self._index = TriggerIndex(price_rules_of(venue))
        self._rows: dict[str, WatchRow] = {}
        self._by_token: dict[TokenId, int] = {}
        self._seen: dict[TokenId, Seen] = {}
        self._kept: dict[str, list[TrailMark]] = {}  # of rules that fired or were disarmed, oldest first
        self._carried: list[TrailMark] = []  # taken over by a new generation, and not saved under its number

    @property
    def rules(self) -> int:
        """How many rules are watched."""
        return len(self._rows)

    @property
    def index(self) -> TriggerIndex:
        """The trigger index, for those who only look."""
        return self._index

    def watched(self) -> list[WatchRow]:
        """Return the watches of all rules."""
        return list(self._rows.values())

    def tokens(self) -> list[TokenId]:
        """Return the tokens that rules stand on."""
        return list(self._by_token)

    def follows(self, token_id: TokenId) -> bool:
        """Say whether rules stand on a token."""
        return token_id in self._by_token

    def rules_on(self, token_id: str) -> list[str]:
        """Return the rules that stand on a token."""
        return [row.rule_id for row in self._rows.values() if row.token_id == token_id]

    def row(self, rule_id: str) -> WatchRow | None:
        """Return a rule's watch, None for one that is not watched."""
        return self._rows.get(rule_id)

    def seen(self, token_id: TokenId) -> Seen | None:
        """Return the newest quote of a token, None before the first."""
        return self._seen.get(token_id)

    def newest_confirmation_ms(self, tokens: Iterable[TokenId] | None = None) -> int | None:
        """Return when any of the tokens (of all of them) was last confirmed, monotonic; None before."""
        if tokens is None:
            return max((seen.confirmed_ms for seen in self._seen.values()), default=None)
        known = (self._seen[token].confirmed_ms for token in tokens if token in self._seen)
        return max(known, default=None)

    def stalest_confirmation_ms(self) -> int | None:
        """Return when the watched token that waits longest was last confirmed, monotonic; None before all."""
        known = (self._seen[token].confirmed_ms for token in self._by_token if token in self._seen)
        return min(known, default=None)

    # -- quotes ---------------------------------------------------------------------------------

    def is_change(self, token_id: TokenId, quote: Quote) -> bool:
        """Say whether a quote differs from the newest one of its token."""
        seen = self._seen.get(token_id)
        return seen is None or seen.quote != quote

    def take(
        self, token_id: TokenId, quote: Quote, at: Moment, venue_ms: int | None = None
    ) -> Sequence[Crossing]:
        """Take a quote in and return what it fires."""
        seen = self._seen.get(token_id)
        if seen is None:
            self._seen[token_id] = Seen(quote, at.mono_ms, venue_ms)
        else:
            seen.quote = quote
            seen.confirmed_ms = at.mono_ms
            seen.venue_ms = venue_ms
        return self._index.on_quote(
            token_id, quote, at.mono_ms, venue_timestamp_ms=venue_ms, wall_ms=at.wall_ms
        )

    def confirm(self, token_id: TokenId, at: Moment) -> Sequence[Crossing]:
        """Take in that the newest quote still stands, and return what that fires."""
        self._seen[token_id].confirmed_ms = at.mono_ms
        return self._index.on_confirmed(token_id, at.mono_ms, wall_ms=at.wall_ms)

    def next_due_ms(self) -> int | None:
        """Return the monotonic time of the next timer, None when nothing waits."""
        return self._index.next_due_ms()

    def due(self, at: Moment) -> Sequence[Crossing]:
        """Return what fires by time alone: `confirm.ms` reached, or `not_before` passed."""
        return self._index.due(at.mono_ms, wall_ms=at.wall_ms)

    def delivered(self, rule_id: str, generation: int) -> None:
        """Take a rule out whose crossing has reached it; armed again, it goes on with its marks."""
        marks = self._index.marks(rule_id)
        self._index.delivered(rule_id, generation)
        if rule_id not in self._index:
            self._keep(rule_id, marks)

    # -- rules ----------------------------------------------------------------------------------

    def add(self, row: WatchRow, marks: Sequence[TrailMark], at: Moment) -> None:
        """Watch a rule, from given marks on; nothing fires here."""
        not_before = None
        if row.not_before_ms is not None:
            not_before = at.mono_ms + row.not_before_ms - at.wall_ms
        watch = Watch(
            rule_id=row.rule_id,
            generation=row.generation,
            token_id=row.token_id,
            resolved=row.resolved,
            not_before_ms=not_before,
        )
        if row.rule_id not in self._rows:
            self._by_token[row.token_id] = self._by_token.get(row.token_id, 0) + 1
        self._rows[row.rule_id] = row
        self._index.add(watch, at.mono_ms, mark=marks)

    def change(self, row: WatchRow, at: Moment) -> Sequence[Crossing]:
        """Take a watch's newest row in; a new generation keeps its marks and is judged at once.

        Marks of a position that the rule no longer protects are not its own.
        """
        known = self._rows.get(row.rule_id)
        if not self._is_news(row, known):
            return ()
        if not row.armed:
            self._remove(row.rule_id)
            return ()
        if known is not None and known.generation == row.generation and row.rule_id in self._index:
            self._rows[row.rule_id] = row  # only the size changed
            return ()
        self._remove(row.rule_id)
        kept = [m for m in self._kept.pop(row.rule_id, ()) if m.generation >= row.marks_from]
        carried = [replace(mark, generation=row.generation) for mark in kept]
        self._carried += carried
        self.add(row, carried, at)
        return self.evaluate(row, at)

    def evaluate(self, row: WatchRow, at: Moment) -> Sequence[Crossing]:
        """Judge a new watch by the quote that stands already, so that arming and crossing cannot miss."""
        seen = self._seen.get(row.token_id)
        if seen is None:
            return ()
        if self._index.quote(row.token_id) is not None:
            return self._index.evaluate(row.rule_id, at.mono_ms, wall_ms=at.wall_ms)
        # The index forgets a token without rules; whatever stands there now has not seen the quote.
        age = at.mono_ms - seen.confirmed_ms
        return self._index.on_quote(row.token_id, seen.quote, at.mono_ms, age_ms=age, wall_ms=at.wall_ms)

    def forget(self, tokens: Iterable[TokenId]) -> None:
        """Drop the quotes of tokens that nobody follows any more."""
        for token in tokens:
            self._seen.pop(token, None)

    def _is_news(self, row: WatchRow, known: WatchRow | None) -> bool:
        return row.armed if known is None else row.version > known.version

    def _remove(self, rule_id: str) -> None:
        row = self._rows.pop(rule_id, None)
        self._keep(rule_id, self._index.marks(rule_id))
        self._index.remove(rule_id)
        if row is not None:
            left = self._by_token[row.token_id] - 1
            if left:
                self._by_token[row.token_id] = left
            else:
                del self._by_token[row.token_id]

    # -- marks ----------------------------------------------------------------------------------

    def _keep(self, rule_id: str, marks: list[TrailMark]) -> None:
        if marks:
            self._kept[rule_id] = marks
            if len(self._kept) > MOST_KEPT:
                del self._kept[next(iter(self._kept))]

    def take_changed_marks(self) -> list[TrailMark]:
        """Return the marks that moved or changed their generation since the last call, newest last."""
        carried, self._carried = self._carried, []
        return carried + self._index.take_changed_marks()

    def restore(self, saved: Iterable[TrailMark], at: Moment) -> None:
        """Raise marks to where they were saved; what the tape still showed has raised them already."""
        by_rule: dict[str, list[TrailMark]] = {}
        for mark in saved:
            by_rule.setdefault(mark.rule_id, []).append(mark)
        for rule_id, marks in by_rule.items():
            replayed = {mark.condition_index: mark for mark in self._index.marks(rule_id)}
            merged = [_higher(mark, replayed.get(mark.condition_index)) for mark in marks]
            if any(replayed.get(mark.condition_index) != mark for mark in merged):
                self.add(self._rows[rule_id], merged, at)


def _higher(saved: TrailMark, replayed: TrailMark | None) -> TrailMark:
    """Return the mark that went further, active if either is."""
    if replayed is None or replayed.mark is None:
        return saved
    if saved.mark is None or saved.mark <= replayed.mark:
        return replace(replayed, active=replayed.active or saved.active)
    return replace(saved, active=saved.active or replayed.active)
