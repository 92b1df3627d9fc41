"""The fold of the fills ledger into a position: pure, and the same for any order and repetition of entries.

How the fold counts:

- A fill is one thing, however many entries tell of it. It counts once, unless a reversal is among its
  entries: then it counts as never made. Confirmation and reversal carry the whole fill, so either may come
  first.
- What counts is sorted by `traded_at`, then `fill_key`.
- The average entry is weighted by shares and knows no fees. A sale takes its part of the cost out at it.
- Realized P&L is after fees. Fees of opening trades are spread over the shares that they opened and are
  counted as these shares go; fees of closing trades are counted at once.
- An episode runs from zero to exactly zero. Closing takes out the whole rest of cost and fees, so at zero the
  realized P&L is proceeds − costs − fees to the last digit, whatever was rounded on the way.
- A fold may begin at a `Checkpoint` instead of at the first entry, as long as nothing new comes about fills
  before it: a history of any length is counted by its newest part.
- A sale beyond the holding (an earlier buy that is not known yet) is a fact: shares are negative, `cost_usd`
  holds the proceeds of the uncovered shares as a negative number, there is no average entry, and the episode
  stays open. The missing buy slots in by its time and mends all of it; a later buy or adjustment covers it
  like any closing trade.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal
from itertools import accumulate
from typing import TypeAlias

from domain.fills import EntryKind, FillState, LedgerEntry
from domain.ids import MarketId, VenueOrderId
from domain.money import EXACT, Shares, Usd, plain
from domain.orders import Side
from domain.positions import Position, PositionKey

_ZERO = Decimal(0)
_SHOWN = Decimal("1e-18")
_CARRIED = Decimal("1e-40")  # so fine that an average stays right to 18 decimals down to the last micro-share
_ROUNDING = Context(prec=120, rounding=ROUND_HALF_EVEN)

_SortKey: TypeAlias = tuple[datetime, str, EntryKind, Side, Decimal, Decimal, Decimal, str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderSums:
    """What the ledger holds of one venue order. Shares and USD.

    `booked_shares`, `notional_usd` and `fee_usd` are without reversed fills; `unconfirmed_shares` is the part
    of the booked shares that the venue may still reverse.
    """

    booked_shares: Shares
    reversed_shares: Shares
    unconfirmed_shares: Shares
    notional_usd: Usd
    fee_usd: Usd


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """What all entries up to a moment amount to. Shares and USD, not rounded to what the outside sees.

    `cost_usd` and `shares` carry the holding's sign, `entry_fees_usd` is the part of the fees of opening
    trades that is not counted yet. Both fill and end of every fill in it were traded by `through`.
    """

    through: datetime
    shares: Shares
    cost_usd: Usd
    entry_fees_usd: Usd
    realized_pnl_usd: Usd
    fees_usd: Usd
    unconfirmed_shares: Shares
    episode: int
    opened_at: datetime | None
    closed_at: datetime | None


@dataclass(frozen=True, slots=True)
class _Trade:
    """All that the ledger tells of one fill: its figures, how it stands, when its entries were traded."""

    entry: LedgerEntry
    state: FillState
    first_at: datetime
    last_at: datetime


def fold(
    key: PositionKey, market_id: MarketId, entries: Iterable[LedgerEntry], since: Checkpoint | None = None
) -> Position:
    """Return the position that ledger entries of one token amount to.

    Args:
        key: whose position; the entries are taken to be of this key.
        market_id: the token's market, for a position without entries.
        entries: in any order, each as often as it likes; with `since` all that were traded later than that.
        since: where to begin; without it with nothing held.

    Returns:
        The present episode (the latest one when flat). `unconfirmed_shares` sums over all episodes, since any
        unconfirmed fill can still change the position. Without a fill that counts: flat, episode 0.
    """
    return _walk(_trades(entries), since).position(key, market_id)


def checkpoint(
    entries: Iterable[LedgerEntry], since: Checkpoint | None = None, *, keep: int, awaits: timedelta
) -> Checkpoint | None:
    """Return where later folds of a position may begin; None while there is no such point.

    Args:
        entries: as for `fold`.
        since: as for `fold`.
        keep: so many of the newest fills stay behind it, at least one: reports of them may still come.
        awaits: an unconfirmed fill stays behind it as long as it is no older than this before the newest
            entry: its end would drop the checkpoint. An older one may never end, and holds nothing back.
    """
    trades = _trades(entries)
    latest = list(accumulate((trade.last_at for trade in trades), max))
    earliest = list(accumulate((trade.first_at for trade in reversed(trades)), min))[::-1]
    for count in range(min(len(trades) - keep, _awaited_from(trades, awaits)), 0, -1):
        if latest[count - 1] < earliest[count]:
            return _walk(trades[:count], since).checkpoint(latest[count - 1])
    return None


def _awaited_from(trades: Sequence[_Trade], awaits: timedelta) -> int:
    """Return the place of the first fill whose end is still awaited; their number when there is none."""
    newest = max((trade.last_at for trade in trades), default=None)
    for place, trade in enumerate(trades):
        if newest and trade.state is FillState.PROVISIONAL and newest - trade.first_at < awaits:
            return place
    return len(trades)


def order_sums(entries: Iterable[LedgerEntry], venue_order_id: VenueOrderId) -> OrderSums:
    """Return what the ledger holds of one venue order; entries of other orders are passed over."""
    booked = reversed_shares = unconfirmed = notional = fee = _ZERO
    for trade in _trades(entry for entry in entries if entry.venue_order_id == venue_order_id):
        shares = trade.entry.shares
        if trade.state is FillState.REVERSED:
            reversed_shares = EXACT.add(reversed_shares, shares)
            continue
        booked = EXACT.add(booked, shares)
        notional = EXACT.add(notional, trade.entry.notional_usd)
        fee = EXACT.add(fee, trade.entry.fee_usd)
        if trade.state is FillState.PROVISIONAL:
            unconfirmed = EXACT.add(unconfirmed, shares)
    return OrderSums(
        booked_shares=booked,
        reversed_shares=reversed_shares,
        unconfirmed_shares=unconfirmed,
        notional_usd=notional,
        fee_usd=fee,
    )


class _Running:
    """The episode at a point of the walk through the ledger. `shares` and `cost` carry the holding's sign."""

    __slots__ = (
        "closed_at",
        "cost",
        "entry_fees",
        "episode",
        "fees",
        "opened_at",
        "realized",
        "shares",
        "unconfirmed",
    )

    def __init__(self, since: Checkpoint | None) -> None:
        self.shares = since.shares if since else _ZERO
        self.cost = since.cost_usd if since else _ZERO
        self.entry_fees = since.entry_fees_usd if since else _ZERO
        self.realized = since.realized_pnl_usd if since else _ZERO
        self.fees = since.fees_usd if since else _ZERO
        self.unconfirmed = since.unconfirmed_shares if since else _ZERO
        self.episode = since.episode if since else 0
        self.opened_at = since.opened_at if since else None
        self.closed_at = since.closed_at if since else None

    def book(self, entry: LedgerEntry) -> None:
        """Count one trade, adjustment or settlement."""
        if entry.shares == _ZERO:
            return  # says nothing about a holding
        if self.shares == _ZERO:
            self._open_episode(entry.traded_at)
        self.fees = EXACT.add(self.fees, entry.fee_usd)
        adds = _adds(entry)
        against = (self.shares < _ZERO) if adds else (self.shares > _ZERO)
        closing = min(entry.shares, self.shares.copy_abs()) if against else _ZERO
        notional = _part(entry.notional_usd, closing, entry.shares)
        fee = _part(entry.fee_usd, closing, entry.shares)
        if closing:
            self._close(_signed(closing, adds), _signed(notional, adds), fee)
        opening_notional = EXACT.subtract(entry.notional_usd, notional)
        self.shares = EXACT.add(self.shares, _signed(EXACT.subtract(entry.shares, closing), adds))
        self.cost = EXACT.add(self.cost, _signed(opening_notional, adds))
        self.entry_fees = EXACT.add(self.entry_fees, EXACT.subtract(entry.fee_usd, fee))
        if self.shares == _ZERO:
            self.closed_at = entry.traded_at

    def _open_episode(self, at: datetime) -> None:
        self.episode += 1
        self.opened_at, self.closed_at = at, None
        self.cost = self.entry_fees = self.realized = self.fees = _ZERO

    def _close(self, shares: Shares, notional: Usd, fee: Usd) -> None:
        """Take `shares` out at the average. `shares` and `notional` have the sign against the holding."""
        held, closing = self.shares.copy_abs(), shares.copy_abs()
        cost = _part(self.cost, closing, held)
        entry_fees = _part(self.entry_fees, closing, held)
        spent = EXACT.add(EXACT.add(notional, cost), EXACT.add(fee, entry_fees))
        self.realized = EXACT.subtract(self.realized, spent)
        self.shares = EXACT.add(self.shares, shares)
        self.cost = EXACT.subtract(self.cost, cost)
        self.entry_fees = EXACT.subtract(self.entry_fees, entry_fees)

    def checkpoint(self, through: datetime) -> Checkpoint:
        """Return all that a later walk needs to go on from here."""
        return Checkpoint(
            through=through,
            shares=self.shares,
            cost_usd=self.cost,
            entry_fees_usd=self.entry_fees,
            realized_pnl_usd=self.realized,
            fees_usd=self.fees,
            unconfirmed_shares=self.unconfirmed,
            episode=self.episode,
            opened_at=self.opened_at,
            closed_at=self.closed_at,
        )

    def position(self, key: PositionKey, market_id: MarketId) -> Position:
        """Return what stands now."""
        average = _ROUNDING.divide(self.cost, self.shares) if self.shares > _ZERO else None
        return Position(
            key=key,
            market_id=market_id,
            shares=_tidy(self.shares),
            average_entry=None if average is None else _shown(average),
            cost_usd=_shown(self.cost),
            realized_pnl_usd=_shown(self.realized),
            fees_usd=_tidy(self.fees),
            unconfirmed_shares=_tidy(self.unconfirmed),
            episode=self.episode,
            opened_at=self.opened_at,
            closed_at=self.closed_at,
        )


def _walk(trades: Sequence[_Trade], since: Checkpoint | None) -> _Running:
    running = _Running(since)
    for trade in trades:
        if trade.state is FillState.REVERSED:
            continue
        if trade.state is FillState.PROVISIONAL:
            running.unconfirmed = EXACT.add(running.unconfirmed, trade.entry.shares)
        running.book(trade.entry)
    return running


def _trades(entries: Iterable[LedgerEntry]) -> list[_Trade]:
    """Return each fill once, in the order in which it counts."""
    known: dict[str, dict[EntryKind, LedgerEntry]] = {}
    for entry in sorted(entries, key=_sort_key):
        known.setdefault(entry.fill_key, {}).setdefault(entry.kind, entry)
    trades = [_trade(kinds) for kinds in known.values()]
    return sorted(trades, key=lambda trade: (trade.entry.traded_at, trade.entry.fill_key))


def _trade(kinds: dict[EntryKind, LedgerEntry]) -> _Trade:
    # The venue's later word has the better figures, should reports of the same fill ever differ.
    figures = kinds.get(EntryKind.CONFIRMATION) or next(iter(kinds.values()))
    state = FillState.PROVISIONAL if kinds.keys() == {EntryKind.FILL} else FillState.CONFIRMED
    if EntryKind.REVERSAL in kinds:
        state = FillState.REVERSED
    times = [entry.traded_at for entry in kinds.values()]
    return _Trade(figures, state, min(times), max(times))


def _sort_key(entry: LedgerEntry) -> _SortKey:
    """A total order over content, so that the walk never depends on the order of arrival."""
    return (
        entry.traded_at,
        entry.fill_key,
        entry.kind,
        entry.side,
        entry.shares,
        entry.notional_usd,
        entry.fee_usd,
        entry.venue_order_id or "",
        entry.market_id,
    )


def _adds(entry: LedgerEntry) -> bool:
    """Whether shares come in. A settlement always takes them, whatever side it was written with."""
    return entry.side is Side.BUY and entry.kind is not EntryKind.SETTLEMENT


def _signed(value: Decimal, positive: bool) -> Decimal:
    # copy_negate, since `-value` would round to the thread's own precision
    return value if positive else value.copy_negate()


def _part(total: Usd, shares: Shares, of_shares: Shares) -> Usd:
    """Return `total × shares ÷ of_shares`, at 40 decimals."""
    if shares == of_shares:
        return total  # the last share takes all that is left: nothing is lost to rounding
    if not total or not shares:
        return _ZERO
    return _ROUNDING.quantize(_ROUNDING.divide(EXACT.multiply(total, shares), of_shares), _CARRIED)


def _shown(value: Decimal) -> Decimal:
    """Return what the outside sees: 18 decimals. Sums of venue amounts have fewer and pass unchanged."""
    return _tidy(_ROUNDING.quantize(value, _SHOWN))


def _tidy(value: Decimal) -> Decimal:
    """Return the same number without trailing zeros, so that equal positions also read alike."""
    return Decimal(plain(value))
