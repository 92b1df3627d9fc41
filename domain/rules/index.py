"""The trigger index: which rules does this quote fire?

Per token and price source one `View`, in it one `Lane` for each set of guards. A quote that crosses no level
and moves no mark costs a few comparisons however many rules stand on the token; one that crosses some costs
what it crosses.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from domain.quotes import PriceRules, PriceSource, Quote, is_sound, price_of_sound, source_price, spread
from domain.rules.approaches import near_span
from domain.rules.armed import Armed, Entry, Run, Sighting
from domain.rules.crossing import Crossing
from domain.rules.lane import UNREACHABLY_HIGH, UNREACHABLY_LOW, Lane, LaneSettings
from domain.rules.timers import Timers
from domain.rules.trails import MarkChanges
from domain.rules.watch import TrailMark, Watch

__all__ = ["TrailMark", "TriggerIndex", "Watch"]


class View:
    """One token through one price source; the bounds are the tightest of its lanes."""

    __slots__ = ("high", "lanes", "low", "mark_low", "prices", "source")

    def __init__(self, source: PriceSource, prices: PriceRules) -> None:
        self.source = source
        self.prices = prices
        self.lanes: dict[LaneSettings, Lane] = {}
        self.bound()

    def settle(self) -> None:
        """Drop lanes that rules have left, and renew the bounds after rules have moved."""
        for settings, lane in list(self.lanes.items()):
            if not lane.rules:
                del self.lanes[settings]
            elif lane.has_loose_bounds:
                lane.bound()
        self.bound()

    def bound(self) -> None:
        """Take the bounds of all lanes anew."""
        lanes = self.lanes.values()
        self.low = max((lane.low for lane in lanes), default=UNREACHABLY_LOW)
        self.high = min((lane.high for lane in lanes), default=UNREACHABLY_HIGH)
        self.mark_low = min((lane.mark_low for lane in lanes), default=UNREACHABLY_HIGH)

    def tighten(self, lane: Lane) -> None:
        """Take in the bounds of a lane that only got tighter."""
        self.low = max(self.low, lane.low)
        self.high = min(self.high, lane.high)
        self.mark_low = min(self.mark_low, lane.mark_low)


@dataclass(slots=True)
class _Token:
    """A watched token and the newest quote of it."""

    views: dict[tuple[PriceSource, PriceRules], View] = field(
        default_factory=dict[tuple[PriceSource, PriceRules], View]
    )
    rules: int = 0
    quote: Quote | None = None
    fresh_ms: int = 0
    venue_timestamp_ms: int | None = None

    def sighting(self, view: View, quote: Quote, now_ms: int) -> Sighting | None:
        """Return the (sound) quote as a view sees it, None when it lacks what the source needs."""
        seen = price_of_sound(quote, view.source, view.prices)
        if seen is None:
            return None
        return Sighting(quote, seen, spread(quote), now_ms, self.fresh_ms, self.venue_timestamp_ms)


class TriggerIndex:
    """All watched rules of one venue in memory.

    `now_ms` is a local monotonic clock in milliseconds, `wall_ms` the wall clock that crossings carry
    (`now_ms` where it is not given). A rule whose crossing was returned stays, silent, until `delivered` or
    `undelivered`.
    """

    def __init__(self, rules: PriceRules) -> None:
        self._rules = rules
        self._tokens: dict[str, _Token] = {}
        self._armed: dict[str, Armed] = {}
        self._timers = Timers()
        self._changes = MarkChanges()

    def __len__(self) -> int:
        return len(self._armed)

    def __contains__(self, rule_id: object) -> bool:
        return rule_id in self._armed

    def watched_tokens(self) -> frozenset[str]:
        """Return the tokens that rules stand on."""
        return frozenset(self._tokens)

    def quote(self, token_id: str) -> Quote | None:
        """Return the newest quote of a token, None without one: it leaves with the token's last rule."""
        token = self._tokens.get(token_id)
        return None if token is None else token.quote

    def generation(self, rule_id: str) -> int | None:
        """Return the generation of a rule that is watched, None for one that is not."""
        armed = self._armed.get(rule_id)
        return None if armed is None else armed.watch.generation

    def marks(self, rule_id: str) -> list[TrailMark]:
        """Return the marks of a watched rule as they stand now."""
        armed = self._armed.get(rule_id)
        return [] if armed is None else armed.marks()

    def runs(self, rule_id: str) -> dict[int, Run]:
        """Return the confirmations that are under way, by the condition's place in the rule's list."""
        armed = self._armed.get(rule_id)
        entries = () if armed is None else armed.entries
        return {entry.index: entry.run for entry in entries if entry.run is not None}

    def is_watching(self, armed: Armed) -> bool:
        """Say whether a rule is watched still as it was, and may fire."""
        here = self._armed.get(armed.watch.rule_id)
        return here is armed and not (armed.in_flight or armed.waiting)

    def near(self, token_id: str, quotes: Collection[Quote], tick: Decimal) -> Iterator[Entry]:
        """Yield conditions that may fire and that some of the quotes came near to, or beyond.

        Only looks: nothing moves. Costs the logarithm of the levels, plus what is found (a little more than
        what is near: see `near_span`). The index must not be changed before the last one was taken.
        """
        token = self._tokens.get(token_id)
        for view in token.views.values() if token is not None else ():
            prices = [
                seen.price for quote in quotes if (seen := source_price(quote, view.source, view.prices))
            ]
            if prices:
                low, high = near_span(min(prices), max(prices), tick)
                for lane in view.lanes.values():
                    yield from lane.within(low, high)

    def add(self, watch: Watch, now_ms: int, *, mark: TrailMark | Sequence[TrailMark] | None = None) -> None:
        """Watch a rule from now on, in place of an older generation of it.

        Nothing fires here: call `evaluate` when the token has a quote already.

        Args:
            watch: the rule.
            now_ms: local monotonic time.
            mark: marks to go on from (one, or one for each trailing condition).
        """
        # Counted before the older one leaves, so that the token and its newest quote stay.
        self._tokens.setdefault(watch.token_id, _Token()).rules += 1
        self.remove(watch.rule_id)
        armed = Armed(watch, now_ms)
        self._armed[watch.rule_id] = armed
        if watch.not_before_ms is not None and watch.not_before_ms > now_ms:
            armed.waiting = True
            self._timers.at(watch.not_before_ms, armed)
        lane = self._put(armed, [mark] if isinstance(mark, TrailMark) else mark or ())
        lane.bound()
        self._view_of(armed).tighten(lane)

    def remove(self, rule_id: str) -> None:
        """Stop watching a rule; unknown ids are none of our business."""
        armed = self._armed.pop(rule_id, None)
        if armed is None:
            return
        self._take_out(armed)
        self._view_of(armed).settle()
        armed.waiting = False
        for entry in armed.entries:
            entry.run = None
        token = self._tokens[armed.watch.token_id]
        token.rules -= 1
        if not token.rules:
            del self._tokens[armed.watch.token_id]

    def on_quote(
        self,
        token_id: str,
        quote: Quote,
        now_ms: int,
        *,
        age_ms: int = 0,
        venue_timestamp_ms: int | None = None,
        wall_ms: int | None = None,
    ) -> list[Crossing]:
        """Take a quote in and return the rules that it fires, each at most once.

        Args:
            token_id: the token that is quoted.
            quote: its newest quote.
            now_ms: local monotonic time.
            age_ms: time since the quote was last confirmed.
            venue_timestamp_ms: the venue's own time of it; evidence only.
            wall_ms: wall clock, unix milliseconds.
        """
        token = self._tokens.get(token_id)
        if token is None:
            return []
        token.quote = quote
        token.fresh_ms = now_ms - age_ms
        token.venue_timestamp_ms = venue_timestamp_ms
        if not is_sound(quote, self._rules):
            return []
        fired: list[Entry] = []
        for view in token.views.values():
            seen = price_of_sound(quote, view.source, view.prices)
            if seen is None:
                continue
            price = seen.price
            if view.low < price < view.high and price <= view.mark_low:
                continue
            sighting = Sighting(quote, seen, spread(quote), now_ms, token.fresh_ms, venue_timestamp_ms)
            fired += _see(view, sighting)
        return self._launch(fired, now_ms, wall_ms) if fired else []

    def on_confirmed(self, token_id: str, now_ms: int, *, wall_ms: int | None = None) -> list[Crossing]:
        """Take in that a poll found the same book: the quote is fresh again and counts as one more update."""
        token = self._tokens.get(token_id)
        if token is None or token.quote is None:
            return []
        return self.on_quote(
            token_id, token.quote, now_ms, venue_timestamp_ms=token.venue_timestamp_ms, wall_ms=wall_ms
        )

    def evaluate(self, rule_id: str, now_ms: int, *, wall_ms: int | None = None) -> list[Crossing]:
        """Judge one rule by the quote that stands on its token, as if that came in now with its age."""
        armed = self._armed.get(rule_id)
        if armed is None:
            return []
        return self._launch(self._see_alone(armed, now_ms), now_ms, wall_ms)

    def next_due_ms(self) -> int | None:
        """Return the local monotonic time at which `due` should be asked again, None when nothing waits."""
        return self._timers.next_ms()

    def due(self, now_ms: int, *, wall_ms: int | None = None) -> list[Crossing]:
        """Return what fires by time alone: `confirm.ms` reached, or `not_before` passed beyond a level."""
        fired: list[Entry] = []
        for subject in self._timers.take_due(now_ms):
            if isinstance(subject, Armed):
                fired += self._wake(subject, now_ms)
            elif subject.run is not None and self._lane_of(subject.armed).is_confirmed(subject.run, now_ms):
                fired.append(subject)
        return self._launch(fired, now_ms, wall_ms)

    def delivered(self, rule_id: str, generation: int) -> None:
        """Take a rule out whose crossing has reached it."""
        if self.generation(rule_id) == generation:
            self.remove(rule_id)

    def undelivered(self, rule_id: str, generation: int) -> None:
        """Let a rule fire again whose crossing did not reach it."""
        armed = self._armed.get(rule_id)
        if armed is not None and armed.watch.generation == generation and armed.in_flight:
            self._move(armed, in_flight=False)
            self._view_of(armed).settle()

    def take_changed_marks(self) -> list[TrailMark]:
        """Return the marks that moved since the last call, also of rules that have left."""
        return self._changes.take()

    def _see_alone(self, armed: Armed, now_ms: int) -> list[Entry]:
        """Show the token's quote to one rule: in a lane of its own, so that the others count no update."""
        token = self._tokens[armed.watch.token_id]
        if token.quote is None or not is_sound(token.quote, self._rules):
            return []
        sighting = token.sighting(self._view_of(armed), token.quote, now_ms)
        if sighting is None:
            return []
        alone = Lane(self._settings_of(armed), self._timers, self._changes)
        alone.put(armed.entries, _by_index(self._take_out(armed)))
        alone.bound()
        fired = alone.see(sighting)
        marks = armed.marks()
        alone.take_out(armed.entries)
        self._put(armed, marks)
        self._view_of(armed).settle()
        return fired

    def _wake(self, armed: Armed, now_ms: int) -> list[Entry]:
        self._move(armed, waiting=False)
        self._view_of(armed).settle()
        return self._see_alone(armed, now_ms)

    def _launch(self, fired: list[Entry], now_ms: int, wall_ms: int | None) -> list[Crossing]:
        """Make one crossing of each rule, by the first of its fired conditions, and silence the rule."""
        first: dict[Armed, Entry] = {}
        for entry in fired:
            known = first.get(entry.armed)
            if known is None or entry.index < known.index:
                first[entry.armed] = entry
        wall = now_ms if wall_ms is None else wall_ms
        crossings = [_crossing(entry, now_ms, wall) for entry in first.values()]
        views: dict[View, None] = {}
        for armed in first:
            self._move(armed, in_flight=True)
            views[self._view_of(armed)] = None
        for view in views:
            view.settle()
        return crossings

    def _move(self, armed: Armed, *, in_flight: bool = False, waiting: bool = False) -> None:
        """Take a rule to the lane that its new state asks for, with its marks and without its runs."""
        marks = self._take_out(armed)
        for entry in armed.entries:
            entry.run = None
        armed.in_flight, armed.waiting = in_flight, waiting
        self._put(armed, marks)

    def _settings_of(self, armed: Armed) -> LaneSettings:
        return LaneSettings.of(armed.watch.resolved, silent=armed.in_flight or armed.waiting)

    def _view_of(self, armed: Armed) -> View:
        resolved = armed.watch.resolved
        views = self._tokens[armed.watch.token_id].views
        key = (resolved.price_source, resolved.prices)
        if key not in views:
            views[key] = View(resolved.price_source, resolved.prices)
        return views[key]

    def _lane_of(self, armed: Armed) -> Lane:
        return self._view_of(armed).lanes[self._settings_of(armed)]

    def _put(self, armed: Armed, marks: Sequence[TrailMark]) -> Lane:
        lanes = self._view_of(armed).lanes
        settings = self._settings_of(armed)
        lane = lanes.get(settings)
        if lane is None:
            lane = lanes[settings] = Lane(settings, self._timers, self._changes)
        lane.put(armed.entries, _by_index(marks))
        return lane

    def _take_out(self, armed: Armed) -> list[TrailMark]:
        marks = armed.marks()
        self._lane_of(armed).take_out(armed.entries)
        return marks


def _see(view: View, sighting: Sighting) -> list[Entry]:
    price = sighting.seen.price
    fired: list[Entry] = []
    for lane in view.lanes.values():
        if not (lane.low < price < lane.high and price <= lane.mark_low):
            fired += lane.see(sighting)
    view.bound()
    return fired


def _by_index(marks: Sequence[TrailMark]) -> dict[int, TrailMark]:
    return {mark.condition_index: mark for mark in marks}


def _crossing(entry: Entry, now_ms: int, wall_ms: int) -> Crossing:
    run = entry.run
    if run is None:
        raise AssertionError("an entry fires by a run of sightings, of length one at least")
    watch, latest = entry.armed.watch, run.latest
    return Crossing(
        rule_id=watch.rule_id,
        generation=watch.generation,
        condition_index=entry.index,
        condition=entry.condition.type,
        level=entry.level,
        quote=latest.quote,
        price=latest.seen.price,
        mark=entry.mark,
        confirm_count=run.count,
        beyond_since_ms=wall_ms - (now_ms - run.since_ms),
        observed_at_ms=wall_ms,
        venue_timestamp_ms=latest.venue_timestamp_ms,
    )
