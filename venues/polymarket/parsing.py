"""From the venue's shapes to values of the domain, once, at the edge."""

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from domain.errors import VenueProtocolError
from domain.ids import MarketId, TokenId, VenueOrderId
from domain.orders import Instrument, MarketState, Side, VenueOrder, VenueOrderStatus
from domain.ports import Book
from domain.quotes import Level
from venues.polymarket.config import VENUE
from venues.polymarket.schemas import (
    BookPayload,
    ClobMarketPayload,
    CompactMarketPayload,
    EventPayload,
    GammaMarketPayload,
    LevelPayload,
    OrderPayload,
    Payload,
)

PayloadT = TypeVar("PayloadT", bound=Payload)

_LISTS = TypeAdapter(tuple[dict[str, object], ...])
_ONE = Decimal(1)
_HALF = Decimal("0.5")
_MILLISECONDS_FROM = 10**11  # a Unix time above it is in milliseconds

# Longest first: a status may carry a reason, and CANCELED is the head of CANCELED_MARKET_RESOLVED.
_ORDER_STATUSES = (
    ("CANCELED_MARKET_RESOLVED", VenueOrderStatus.CANCELED),
    ("UNMATCHED", VenueOrderStatus.LIVE),  # its hold is over and nothing matched: it rests
    ("CANCELLED", VenueOrderStatus.CANCELED),
    ("CANCELED", VenueOrderStatus.CANCELED),
    ("MATCHED", VenueOrderStatus.MATCHED),
    ("DELAYED", VenueOrderStatus.DELAYED),
    ("INVALID", VenueOrderStatus.INVALID),
    ("EXPIRED", VenueOrderStatus.EXPIRED),
    ("LIVE", VenueOrderStatus.LIVE),
)
_IMMEDIATE = ("FOK", "FAK")
SHORT_HOLD_MS = 150
_DISPUTES = frozenset({"disputed", "challenged"})
_DECIDED = frozenset({"resolved", "settled"})


def read_payload(model: type[PayloadT], body: bytes) -> PayloadT:
    """Return the payload that `body` holds.

    Raises:
        VenueProtocolError: it is not JSON, or not of that shape.
    """
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise VenueProtocolError(_what_is_wrong(model.__name__, error)) from None


def read_payloads(model: type[PayloadT], body: bytes) -> Sequence[PayloadT]:
    """Return the list of payloads that `body` holds.

    Raises:
        VenueProtocolError: it is not a JSON list of that shape.
    """
    try:
        values = _LISTS.validate_json(body)
    except ValidationError as error:
        raise VenueProtocolError(_what_is_wrong(model.__name__, error)) from None
    return [read_value(model, value) for value in values]


def read_value(model: type[PayloadT], value: object) -> PayloadT:
    """Return the payload in an already decoded JSON value. Raises VenueProtocolError."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise VenueProtocolError(_what_is_wrong(model.__name__, error)) from None


def _what_is_wrong(shape: str, error: ValidationError) -> str:
    # Locations and kinds only: the input may be a credential.
    first = error.errors(include_input=False, include_context=False, include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    return f"{shape}: {place or 'body'}: {first['type']}"


def event_type(value: object) -> str:
    """Return the kind of a user socket's event, "" for none that is known. Raises VenueProtocolError."""
    payload = read_value(EventPayload, value)
    return payload.event_type or ("trade" if payload.type == "TRADE" else "order" if payload.type else "")


def order_status(text: str) -> VenueOrderStatus:
    """Return the status that a word of the venue begins with (`ORDER_STATUS_` prefix, reasons attached).

    Raises:
        VenueProtocolError: no known status.
    """
    word = text.removeprefix("ORDER_STATUS_")
    for known, status in _ORDER_STATUSES:
        if word.upper().startswith(known):
            return status
    raise VenueProtocolError("unknown order status")


def side(text: str) -> Side:
    """Return the side. Raises VenueProtocolError."""
    try:
        return Side(text.upper())
    except ValueError:
        raise VenueProtocolError("unknown side") from None


def instant(text: str) -> datetime:
    """Return the aware UTC time of a Unix time (seconds or milliseconds) or an ISO text.

    Raises:
        VenueProtocolError: it is none of these.
    """
    try:
        if text.isdecimal():
            number = int(text)
            return datetime.fromtimestamp(number / 1000 if number >= _MILLISECONDS_FROM else number, UTC)
        moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError, OSError):
        raise VenueProtocolError("unreadable time") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def optional_instant(text: str | None) -> datetime | None:
    """Return the time, or None for none, "0" and ""."""
    return instant(text) if text and text != "0" else None


def milliseconds(text: str | None) -> int | None:
    """Return a Unix time of the venue in milliseconds, or None."""
    moment = optional_instant(text)
    return None if moment is None else round(moment.timestamp() * 1000)


def venue_order(payload: OrderPayload) -> VenueOrder:
    """Return an order's state.

    A BUY that is FOK or FAK counts its original size in pUSD (reports of integrators), hence None. A
    killed FOK comes with an empty matched size, which is zero.
    """
    order_side = side(payload.side)
    in_usd = order_side is Side.BUY and payload.order_type.upper() in _IMMEDIATE
    return VenueOrder(
        venue_order_id=VenueOrderId(payload.id),
        market_id=MarketId(payload.market),
        token_id=TokenId(payload.asset_id),
        side=order_side,
        status=order_status(payload.status),
        original_shares=None if in_usd else payload.original_size,
        matched_shares=payload.size_matched,
        price=payload.price,
        created_at=optional_instant(payload.created_at),
    )


def book(payload: BookPayload) -> Book:
    """Return the book, best level first; the venue sends the best last, and levels of size zero are none."""
    return Book(
        token_id=TokenId(payload.asset_id),
        bids=_levels(payload.bids, best_is_highest=True),
        asks=_levels(payload.asks, best_is_highest=False),
        last=payload.last_trade_price,
        tick=payload.tick_size,
        venue_timestamp_ms=milliseconds(payload.timestamp),
    )


def _levels(payloads: Sequence[LevelPayload], *, best_is_highest: bool) -> tuple[Level, ...]:
    levels = (Level(entry.price, entry.size) for entry in payloads if entry.size > 0)
    return tuple(sorted(levels, key=lambda level: level.price, reverse=best_is_highest))


def instrument(
    token_id: TokenId,
    market: ClobMarketPayload,
    compact: CompactMarketPayload | None,
    gamma: GammaMarketPayload | None,
) -> Instrument:
    """Return what a token trades by, from the CLOB's market and the two sources of its fee.

    Raises:
        VenueProtocolError: the market does not list the token, or shows no tick or minimum.
    """
    token = next((entry for entry in market.tokens if entry.token_id == token_id), None)
    if token is None:
        raise VenueProtocolError("the market does not list the token")
    tick = _first(market.minimum_tick_size, compact and compact.min_tick, gamma and gamma.tick)
    minimum = _first(market.minimum_order_size, compact and compact.min_shares, gamma and gamma.min_shares)
    if tick is None or minimum is None:
        raise VenueProtocolError("the market shows no tick or no minimum")
    payout = payout_of(token_id, market, gamma)
    return Instrument(
        venue=VENUE,
        market_id=MarketId(market.condition_id),
        token_id=token_id,
        tick=tick,
        min_shares=minimum,
        neg_risk=market.neg_risk,
        state=market_state(market, gamma, resolved=payout is not None),
        fee_rate=fee_rate(compact, gamma),
        ends_at=optional_instant((gamma.end_date if gamma else None) or market.end_date_iso),
        question=market.question,
        outcome=token.outcome,
        payout=payout,
        hold_ms=hold_ms(market, compact),
    )


def gamma_instrument(token_id: TokenId, gamma: GammaMarketPayload) -> Instrument:
    """Return what a token trades by from Gamma alone (markets that the CLOB no longer lists).

    Raises:
        VenueProtocolError: the market does not list the token.
    """
    if token_id not in gamma.token_ids:
        raise VenueProtocolError("the market does not list the token")
    index = gamma.token_ids.index(token_id)
    payout = _gamma_payout(token_id, gamma)
    return Instrument(
        venue=VENUE,
        market_id=MarketId(gamma.condition_id),
        token_id=token_id,
        tick=gamma.tick or Decimal("0.01"),
        min_shares=gamma.min_shares or Decimal(5),
        neg_risk=gamma.neg_risk,
        state=gamma_state(gamma),
        fee_rate=fee_rate(None, gamma),
        ends_at=optional_instant(gamma.end_date),
        question=gamma.question,
        outcome=gamma.outcomes[index] if index < len(gamma.outcomes) else "",
        payout=payout,
    )


def market_state(
    market: ClobMarketPayload, gamma: GammaMarketPayload | None, *, resolved: bool
) -> MarketState:
    """Map the CLOB's flags to the six states; cancel-only is the whole venue's and comes as a 503."""
    if resolved:
        return MarketState.RESOLVED
    closed = market.closed or market.archived
    if closed and gamma is not None and is_disputed(gamma):
        return MarketState.NOT_ACCEPTING
    return _state(closed, market.active, market.accepting_orders, market.enable_order_book)


def gamma_state(gamma: GammaMarketPayload) -> MarketState:
    """Map Gamma's flags to the six states; a flag that Gamma leaves out does not stop trading."""
    if _gamma_is_resolved(gamma):
        return MarketState.RESOLVED
    closed = gamma.closed or gamma.archived
    if closed and is_disputed(gamma):
        return MarketState.NOT_ACCEPTING
    return _state(
        closed,
        gamma.active,
        gamma.accepting_orders is not False,
        gamma.enable_order_book is not False,
    )


def is_disputed(gamma: GammaMarketPayload) -> bool:
    """Say whether somebody disputes the proposed outcome, and nothing has been decided since.

    A dispute starts the question anew, for days (venue's documentation, Resolution). Trading may go on; a
    market that is closed meanwhile is not at its end, so no exit may be given up over it.
    """
    statuses = [status.lower() for status in gamma.uma_statuses]
    return bool(_DISPUTES.intersection(statuses)) and statuses[-1] not in _DECIDED


def _state(closed: bool, active: bool, accepting: bool, has_book: bool) -> MarketState:
    if closed:
        return MarketState.CLOSED
    if not active:
        return MarketState.PAUSED
    return MarketState.OPEN if accepting and has_book else MarketState.NOT_ACCEPTING


def fee_rate(compact: CompactMarketPayload | None, gamma: GammaMarketPayload | None) -> Decimal:
    """Return the taker's fee rate: `fd`, else `feeSchedule`, else none. Base fees are leftovers of V1."""
    if compact is not None and compact.fee is not None:
        return compact.fee.rate
    if gamma is not None and gamma.fee_schedule is not None:
        return gamma.fee_schedule.rate
    return Decimal(0)


def hold_ms(market: ClobMarketPayload, compact: CompactMarketPayload | None) -> int:
    """Return how long an order that would trade at once is held.

    Sports markets say it in seconds; short crypto and finance markets hold for 150 ms (venue's changelog,
    2026-09-04).
    """
    seconds = max(market.seconds_delay or 0, (compact.seconds_delay or 0) if compact is not None else 0)
    if seconds > 0:
        return int(seconds * 1000)
    return SHORT_HOLD_MS if compact is not None and compact.short_hold else 0


def payout_of(
    token_id: TokenId, market: ClobMarketPayload, gamma: GammaMarketPayload | None
) -> Decimal | None:
    """Return USD per share of a resolved market, or None while nothing is decided."""
    if market.closed:
        if any(token.winner for token in market.tokens):
            return next(
                (_ONE if t.winner else Decimal(0) for t in market.tokens if t.token_id == token_id), None
            )
        if market.is_50_50_outcome:
            return _HALF
    return _gamma_payout(token_id, gamma) if gamma is not None else None


def _gamma_payout(token_id: TokenId, gamma: GammaMarketPayload) -> Decimal | None:
    if not _gamma_is_resolved(gamma) or token_id not in gamma.token_ids:
        return None
    return gamma.outcome_prices[gamma.token_ids.index(token_id)]


def _gamma_is_resolved(gamma: GammaMarketPayload) -> bool:
    # Old markets show 0 and 0 or a last price: neither names a winner.
    prices = gamma.outcome_prices
    return gamma.closed and len(prices) == len(gamma.token_ids) and sorted(prices) == [0, 1]


def _first(*candidates: Decimal | None) -> Decimal | None:
    return next((value for value in candidates if value is not None and value > 0), None)
