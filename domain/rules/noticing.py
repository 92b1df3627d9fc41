"""What nearly fired: the watched rules that quotes came near to, or beyond while a guard held them back.

The trigger index does not look for near misses, so that a quote costs what it cost without them. What it was
shown is looked through again, a batch at a time, and only the conditions near to those quotes are compared.
Rules that wait for their `not_before`, and quotes that went stale, are not looked at: explanations and
samples name these guards.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import islice
from typing import NamedTuple

from domain.quotes import PriceRules, PriceSource, Quote, source_price
from domain.rules.approaches import Approach, ApproachWatch
from domain.rules.armed import Entry
from domain.rules.index import TriggerIndex
from domain.rules.resolved import ResolvedRule

_ZERO = Decimal(0)

QUOTES_KEPT = 128
"""Of a token between two looks, the latest ones."""
CONDITIONS_COMPARED = 500
"""At most so many conditions of a token in one look, those nearest to the price first."""


class SeenQuote(NamedTuple):
    """A quote as the index was shown it: local monotonic milliseconds and wall time."""

    quote: Quote
    mono_ms: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Miss:
    """An approach of a rule that came to nothing, or that goes on (then `ended_at` is None).

    Attributes:
        again: it was told of before, while it went on.
    """

    rule_id: str
    generation: int
    approach: Approach
    again: bool


class _UnderWay:
    """A condition that a price is near to: whose, and what is known of it."""

    __slots__ = ("armed", "told", "watch")

    def __init__(self, entry: Entry) -> None:
        self.armed = entry.armed
        self.watch = ApproachWatch(entry.index, entry.condition, QUOTES_KEPT)
        self.told: datetime | None = None  # beginning of the approach that was told of while it went on


class Noticing:
    """Looks through the quotes that an index was shown. Pure: nothing of the index is changed."""

    def __init__(self, index: TriggerIndex) -> None:
        self._index = index
        self._quotes: dict[str, deque[SeenQuote]] = {}
        self._under_way: dict[str, dict[Entry, _UnderWay]] = {}
        self._misses: list[Miss] = []

    def saw(self, token_id: str, quote: Quote, mono_ms: int, at: datetime) -> None:
        """Keep a quote that the index was shown, for the next look; the latest ones of a token."""
        seen = self._quotes.get(token_id)
        if seen is None:
            seen = self._quotes[token_id] = deque(maxlen=QUOTES_KEPT)
        seen.append(SeenQuote(quote, mono_ms, at))

    def tokens(self) -> list[str]:
        """Return the tokens that were quoted since they were looked at, the longest waiting first."""
        return list(self._quotes)

    def forget_quotes(self) -> None:
        """Drop the quotes that wait for a look."""
        self._quotes.clear()

    def look(self, token_id: str, tick: Decimal) -> Iterator[None]:
        """Compare what stands near to a token's quotes; hands back after each condition, to give way.

        Args:
            token_id: the token.
            tick: its price step.
        """
        quotes = tuple(self._quotes.pop(token_id, ()))
        near = self._index.near(token_id, [seen.quote for seen in quotes], tick)
        prices = _PricesOf(quotes)
        # Taken at once, with their marks: both may change whenever this gives way.
        entries = {entry: entry.mark for entry in islice(near, CONDITIONS_COMPARED)}
        known = self._under_way.setdefault(token_id, {})
        for entry, mark in entries.items():
            if self._index.is_watching(entry.armed):
                under_way = known.setdefault(entry, _UnderWay(entry))
                under_way.watch.mark = mark
                self._compare(under_way, quotes, prices, tick)
            yield
        if quotes and len(entries) < CONDITIONS_COMPARED:
            for entry, under_way in known.items():
                if entry not in entries and self._index.is_watching(entry.armed):
                    under_way.watch.leave(quotes[0].at)
                    self._collect(under_way)
        self._forget(token_id)

    def take_misses(self) -> list[Miss]:
        """Return what came to nothing since the last call."""
        taken, self._misses = self._misses, []
        return taken

    def tell_lasting(self, since: datetime) -> None:
        """Count approaches as misses that went on before `since` already; each once, and again at its end."""
        for token_id in list(self._under_way):
            self._forget(token_id)
            for under_way in self._under_way.get(token_id, {}).values():
                current = under_way.watch.current
                if current is not None and current.began_at <= since and under_way.told != current.began_at:
                    under_way.told = current.began_at
                    self._misses.append(_miss(under_way, current))

    def _compare(
        self, under_way: _UnderWay, quotes: Sequence[SeenQuote], prices: "_PricesOf", tick: Decimal
    ) -> None:
        resolved, watch = under_way.armed.watch.resolved, under_way.watch
        shown = prices.seen_by(resolved)
        for place in range(_first_of(under_way, quotes, shown), len(quotes)):
            price, seen = shown[place], quotes[place]
            if price is not None:
                watch.see(seen.quote, seen.at, price, resolved, tick)
        self._collect(under_way)

    def _forget(self, token_id: str) -> None:
        """Drop what the price went away from, and conditions that fired, changed or are gone."""
        kept = {
            entry: under_way
            for entry, under_way in self._under_way.get(token_id, {}).items()
            if under_way.watch.current is not None and self._index.is_watching(entry.armed)
        }
        if kept:
            self._under_way[token_id] = kept
        else:
            self._under_way.pop(token_id, None)

    def _collect(self, under_way: _UnderWay) -> None:
        self._misses += [_miss(under_way, approach) for approach in under_way.watch.missed]
        under_way.watch.missed.clear()


class _PricesOf:
    """Quotes as price sources show them, each source looked through once."""

    def __init__(self, quotes: Sequence[SeenQuote]) -> None:
        self._quotes = quotes
        self._shown: dict[tuple[PriceSource, PriceRules], list[Decimal | None]] = {}

    def seen_by(self, resolved: ResolvedRule) -> Sequence[Decimal | None]:
        """Return each quote's source price for a rule, None where it is skipped."""
        key = (resolved.price_source, resolved.prices)
        shown = self._shown.get(key)
        if shown is None:
            found = (source_price(seen.quote, *key) for seen in self._quotes)
            shown = self._shown[key] = [None if price is None else price.price for price in found]
        return shown


def _first_of(under_way: _UnderWay, quotes: Sequence[SeenQuote], shown: Sequence[Decimal | None]) -> int:
    """Return from which quote on an entry may be compared.

    Those from before its arming say nothing, nor those from before its mark was reached: its level stood
    elsewhere then.
    """
    since, mark = under_way.armed.since_ms, under_way.watch.mark
    first = next((place for place, seen in enumerate(quotes) if seen.mono_ms > since), len(quotes))
    if mark is None:
        return first
    highs = (place for place in range(first, len(quotes)) if (shown[place] or _ZERO) >= mark)
    return next(highs, first)


def _miss(under_way: _UnderWay, approach: Approach) -> Miss:
    watch, again = under_way.armed.watch, under_way.told == approach.began_at
    return Miss(watch.rule_id, watch.generation, approach, again and approach.ended_at is not None)
