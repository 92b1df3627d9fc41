"""A token's book as the market socket tells it.

The venue numbers no frames. What makes reordered and repeated frames harmless is the time of each level's
last change: an older frame never overwrites a newer level, and a removed level is remembered until a
newer snapshot.
"""

from bisect import bisect_left, insort
from decimal import Decimal, InvalidOperation
from functools import lru_cache

from domain.quotes import Level, Quote

PriceKey = int  # price in millionths: equal however the venue writes it ("0.5", "0.50", ".5")

_ZERO = Decimal(0)
_MICROS = 10**6
_NO_TIME = -1


class Absurd(ValueError):
    """A price outside 0..1 or a size that is no amount."""


@lru_cache(maxsize=65_536)
def price_of(text: str) -> tuple[PriceKey, Decimal]:
    """Return a price text as its key and value.

    Raises:
        Absurd: no number, outside 0..1, or finer than a millionth.
    """
    try:
        price = Decimal(text)
    except InvalidOperation:
        raise Absurd("a price is no number") from None
    if not price.is_finite() or not 0 <= price <= 1:
        raise Absurd("a price lies outside 0..1")
    scaled = price.scaleb(6)
    key = int(scaled)
    if key != scaled:
        raise Absurd("a price is finer than a millionth")
    return key, price


@lru_cache(maxsize=65_536)
def size_of(text: str) -> Decimal:
    """Return a size text as shares. Raises Absurd for a negative one or no number."""
    try:
        size = Decimal(text)
    except InvalidOperation:
        raise Absurd("a size is no number") from None
    if not size.is_finite() or size < 0:
        raise Absurd("a size is negative")
    return size


class BookSide:
    """One side: prices in order, and what stands at each with the time of its last change."""

    __slots__ = ("_changed", "_keys", "_levels", "_snapshot_ms")

    def __init__(self) -> None:
        self._snapshot_ms = _NO_TIME
        self._keys: list[PriceKey] = []  # ascending
        self._levels: dict[PriceKey, Level] = {}
        self._changed: dict[PriceKey, int] = {}  # also of removed levels

    def set(self, key: PriceKey, price: Decimal, size: Decimal, at_ms: int) -> None:
        """Put the new total of a level, zero to remove it, unless a newer change is known."""
        if at_ms < self._changed.get(key, self._snapshot_ms):
            return
        self._changed[key] = at_ms
        if size == _ZERO:
            if self._levels.pop(key, None) is not None:
                del self._keys[bisect_left(self._keys, key)]
            return
        if key not in self._levels:
            insort(self._keys, key)
        self._levels[key] = Level(price, size)

    def replace(self, levels: dict[PriceKey, Level], at_ms: int | None) -> None:
        """Take a snapshot; changes newer than `at_ms` stand. None replaces everything."""
        kept: dict[PriceKey, Level] = {}
        changed: dict[PriceKey, int] = {}
        if at_ms is not None:
            for key, changed_ms in self._changed.items():
                if changed_ms > at_ms:
                    changed[key] = changed_ms
                    if key in self._levels:
                        kept[key] = self._levels[key]
        # An older snapshot than the last one still names levels, but no longer speaks for what it leaves out.
        self._snapshot_ms = _NO_TIME if at_ms is None else max(at_ms, self._snapshot_ms)
        self._levels = {key: level for key, level in levels.items() if key not in changed} | kept
        self._keys = sorted(self._levels)
        self._changed = changed

    def highest(self) -> Decimal | None:
        """The highest price, or None."""
        return self._levels[self._keys[-1]].price if self._keys else None

    def lowest(self) -> Decimal | None:
        """The lowest price, or None."""
        return self._levels[self._keys[0]].price if self._keys else None

    def highest_key(self) -> PriceKey | None:
        """The highest price's key, or None."""
        return self._keys[-1] if self._keys else None

    def lowest_key(self) -> PriceKey | None:
        """The lowest price's key, or None."""
        return self._keys[0] if self._keys else None

    def descending(self, depth: int) -> tuple[Level, ...]:
        """The highest `depth` levels, highest first."""
        levels = self._levels
        return tuple(levels[key] for key in self._keys[: -depth - 1 : -1])

    def ascending(self, depth: int) -> tuple[Level, ...]:
        """The lowest `depth` levels, lowest first."""
        levels = self._levels
        return tuple(levels[key] for key in self._keys[:depth])


class LocalBook:
    """Both sides of one token, its last trade, and whether the venue's own best prices agree."""

    __slots__ = (
        "_best_ask",
        "_best_bid",
        "_last_at_ms",
        "asks",
        "bids",
        "complete",
        "last",
        "reported",
        "updated_ms",
    )

    def __init__(self, last: Decimal | None = None) -> None:
        self.bids = BookSide()
        self.asks = BookSide()
        self.last = last
        self.updated_ms = _NO_TIME  # venue's time of the newest frame
        self.complete = False  # a snapshot was taken on this connection
        self.reported = False  # the consumer knows that this book cannot be trusted
        self._last_at_ms = _NO_TIME
        self._best_bid: str | None = None  # the venue's words beside the newest change
        self._best_ask: str | None = None

    def quote(self) -> Quote:
        """Return the top of the book and the last trade."""
        return Quote(self.bids.highest(), self.asks.lowest(), self.last)

    @property
    def trusted(self) -> bool:
        """Whether a snapshot was taken and the venue's best prices are the book's own."""
        return self.complete and self._agrees()

    def trade(self, price: Decimal, at_ms: int) -> None:
        """Take a print unless a newer one is known."""
        if at_ms >= self._last_at_ms:
            self.last, self._last_at_ms = price, at_ms
        self.updated_ms = max(self.updated_ms, at_ms)

    def told(self, best_bid: str | None, best_ask: str | None, at_ms: int) -> None:
        """Remember the best prices that the venue tells beside its newest change."""
        if at_ms >= self.updated_ms:
            self.updated_ms = at_ms
            self._best_bid, self._best_ask = best_bid, best_ask

    def snapshot(
        self,
        bids: dict[PriceKey, Level],
        asks: dict[PriceKey, Level],
        last: Decimal | None,
        at_ms: int | None,
    ) -> None:
        """Take a snapshot of the venue as the truth of its time (None: of now)."""
        self.bids.replace(bids, at_ms)
        self.asks.replace(asks, at_ms)
        if last is not None and (at_ms is None or at_ms >= self._last_at_ms):
            self.last = last
        if at_ms is None or at_ms >= self.updated_ms:
            self._best_bid = self._best_ask = None
            self.updated_ms = self.updated_ms if at_ms is None else at_ms
        self.complete = True
        self.reported = False

    def _agrees(self) -> bool:
        return _same_top(self._best_bid, self.bids.highest_key(), _EMPTY_BIDS) and _same_top(
            self._best_ask, self.asks.lowest_key(), _EMPTY_ASKS
        )


_EMPTY_BIDS = frozenset({"", "0"})
_EMPTY_ASKS = frozenset({"", "0", "1"})


def _same_top(text: str | None, key: PriceKey | None, empty: frozenset[str]) -> bool:
    if text is None:
        return True
    if key is None:
        return text in empty
    return text != "" and price_of(text)[0] == key
