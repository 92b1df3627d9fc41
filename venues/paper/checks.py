"""The venue's rules, applied to a paper order as a live one would meet them. Pure."""

from decimal import Decimal

from domain.money import from_micros, is_on_tick, plain
from domain.orders import AnswerKind, Attempt, Instrument, MarketState, RebuildReason, Side, TimeInForce
from domain.ports import Book
from venues.paper.matching import crosses, is_immediate
from venues.paper.refusals import Refusal

MIN_MARKETABLE_BUY_USD = Decimal(1)
GTD_MINIMUM_S = 180  # the venue refuses expirations nearer than three minutes


def refusal_before_book(attempt: Attempt, instrument: Instrument, now_s: int) -> Refusal | None:
    """Return why the venue would refuse the order whatever its book shows, or None."""
    if instrument.state.is_final:
        return Refusal(AnswerKind.FINAL, "market_gone")
    if instrument.state is not MarketState.OPEN:
        cancel_only = instrument.state is MarketState.CANCEL_ONLY
        code = "cancel_only" if cancel_only else "market_not_ready"
        return Refusal(AnswerKind.TRANSIENT, code, wait_ms=5_000)
    if attempt.neg_risk is not instrument.neg_risk:
        return Refusal(AnswerKind.BLOCKED, "invalid_signature")  # signed for the other exchange
    if attempt.post_only and is_immediate(attempt.time_in_force):
        return Refusal(AnswerKind.FINAL, "post_only_type")
    if not _is_on_grid(attempt, instrument.tick):
        return Refusal(AnswerKind.REBUILD, "tick_changed", RebuildReason.TICK_CHANGED)
    if not _are_accurate(attempt, instrument.tick):
        return Refusal(AnswerKind.FINAL, "invalid_amounts")
    if not is_immediate(attempt.time_in_force) and attempt.shares < instrument.min_shares:
        return Refusal(AnswerKind.REBUILD, "below_minimum", RebuildReason.BELOW_MINIMUM)
    expires = attempt.time_in_force is TimeInForce.GTD
    if expires != (attempt.expiration_s != 0) or (expires and attempt.expiration_s < now_s + GTD_MINIMUM_S):
        return Refusal(AnswerKind.FINAL, "invalid_expiration")
    return None


def refusal_at_book(attempt: Attempt, book: Book) -> Refusal | None:
    """Return why the venue would refuse the order with this book, or None."""
    marketable = crosses(book, attempt.side, attempt.limit_price)
    if attempt.post_only and marketable:
        return Refusal(AnswerKind.REBUILD, "post_only_would_cross", RebuildReason.POST_ONLY_WOULD_CROSS)
    is_buy = attempt.side is Side.BUY
    if (
        is_buy
        and (marketable or is_immediate(attempt.time_in_force))
        and notional(attempt) < MIN_MARKETABLE_BUY_USD
    ):
        return Refusal(AnswerKind.REBUILD, "below_minimum_notional", RebuildReason.BELOW_MINIMUM)
    return None


def notional(attempt: Attempt) -> Decimal:
    """Return the USD side of an order: a BUY's budget, a SELL's least proceeds."""
    return from_micros(attempt.maker_amount if attempt.side is Side.BUY else attempt.taker_amount)


def _are_accurate(attempt: Attempt, tick: Decimal) -> bool:
    """Say whether the amounts have as few decimals as the venue takes ("Amounts and rounding", 2026-11).

    At once: 2 of what is given, 4 of what is taken, at every tick. Resting: 2 of the shares, and of the USD 2
    more than the tick has.
    """
    if is_immediate(attempt.time_in_force):
        return _has_decimals(attempt.maker_amount, 2) and _has_decimals(attempt.taker_amount, 4)
    is_buy = attempt.side is Side.BUY
    usd, shares = (
        (attempt.maker_amount, attempt.taker_amount)
        if is_buy
        else (attempt.taker_amount, attempt.maker_amount)
    )
    return _has_decimals(shares, 2) and _has_decimals(usd, 2 + _decimals(tick))


def _has_decimals(micros: int, most: int) -> bool:
    return micros % 10 ** max(6 - most, 0) == 0


def _decimals(tick: Decimal) -> int:
    return len(plain(tick).partition(".")[2])


def _is_on_grid(attempt: Attempt, tick: Decimal) -> bool:
    price = attempt.limit_price
    return tick <= price <= 1 - tick and is_on_tick(price, tick)
