"""Markets: two outcome tokens, their rules and their public state."""

from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache

from simulator.money import MICRO, to_micro

TICKS = ("0.1", "0.01", "0.005", "0.0025", "0.001", "0.0001")
"""Tick sizes the venue knows; trailing zeros do not count."""


@lru_cache(maxsize=256)
def _micro(text: str) -> int:
    return to_micro(text)


@lru_cache(maxsize=256)
def _fraction(text: str) -> Fraction:
    return Fraction(text)


@dataclass(slots=True)
class Market:
    """One question. Index 0 is the first outcome; the book lives in its price space."""

    id: int
    condition_id: str
    question_id: str
    question: str
    slug: str
    outcomes: list[str]
    token_ids: list[str]
    tick_size: str
    min_order_size: str
    neg_risk: bool
    fee_rate: str
    created_ms: int
    end_date: str | None = None
    active: bool = True
    closed: bool = False
    accepting_orders: bool = True
    enable_order_book: bool = True
    resolved: bool = False
    winner: str | None = None
    payouts: list[str] = field(default_factory=list[str])
    last_prices: list[str] = field(default_factory=lambda: ["", ""])
    last_sides: list[str] = field(default_factory=lambda: ["", ""])
    stamp_ms: int = 0
    """Time of the newest public change; strictly increasing, so a frame names its moment."""
    seconds_delay: int = 0
    """Hold of marketable orders in sports markets: the reply is ``delayed`` at once."""
    short_hold: bool = False
    """Hold of marketable orders in short crypto and finance markets: the call waits for the result."""
    uma_statuses: list[str] = field(default_factory=list[str])
    """How the outcome was proposed and disputed, oldest first; Gamma shows it."""

    @property
    def tick(self) -> int:
        """Tick in millionths."""
        return _micro(self.tick_size)

    @property
    def minimum_size(self) -> int:
        """Smallest resting order in millionths of a share."""
        return _micro(self.min_order_size)

    @property
    def rate(self) -> Fraction:
        """Taker fee rate."""
        return _fraction(self.fee_rate)

    def index_of(self, token_id: str) -> int:
        """Returns 0 or 1."""
        return self.token_ids.index(token_id)

    def next_stamp(self, now_ms: int) -> int:
        """Moves the public time forward, by a millisecond at least."""
        self.stamp_ms = max(now_ms, self.stamp_ms + 1)
        return self.stamp_ms

    def fits_tick(self, price: int) -> bool:
        """Tells whether a resting order may stand at the price."""
        return self.tick <= price <= MICRO - self.tick and price % self.tick == 0
