"""What an answer to `POST /order` means: the venue's words, classified once.

Source: the venue's documentation, Error codes and Matching engine (2026-10), and reports of integrators
where it is silent. A refusal that no row knows is BLOCKED: the order is certainly not taken, nobody may
guess what mends it, and an exit must not end over it.
"""

from dataclasses import dataclass
from decimal import Decimal
from http import HTTPStatus

from domain.errors import VenueProtocolError
from domain.ids import VenueOrderId
from domain.money import from_micros
from domain.orders import Answer, AnswerKind, Attempt, RebuildReason, Side, VenueOrderStatus
from venues.polymarket.http import NetworkFault, Reply
from venues.polymarket.limits import LONGEST_PAUSE_MS, is_limiters
from venues.polymarket.parsing import order_status, read_payload
from venues.polymarket.schemas import PlacePayload
from venues.polymarket.waiting import asked_wait_ms, refusal_of

MAX_DETAIL = 300
MARKET_GONE = "market_gone"
_NOT_READY_WAIT_MS = 5_000
_PAUSE_WAIT_MS = 5_000
_RESTART_WAIT_MS = 1_000
_FIREWALL_WAIT_MS = 30_000
_LONGEST_WAIT_MS = {AnswerKind.UNKNOWN: 30_000, AnswerKind.TRANSIENT: 120_000}
"""One wrong word must not silence an exit: restarts ask for seconds, the longest window is two minutes."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: a text of the venue (lower-case, anywhere in its words) and what it means."""

    text: str
    kind: AnswerKind
    code: str
    rebuild: RebuildReason | None = None
    wait_ms: int | None = None


_K = AnswerKind
_R = RebuildReason

# First match wins, so the narrower text stands before the wider one. Alternate names of older documentation
# stand beside the words of today.
TABLE: tuple[Row, ...] = (
    Row("duplicated", _K.REGISTERED, "duplicated"),
    Row("breaks minimum tick size rule", _K.REBUILD, "tick_changed", _R.TICK_CHANGED),
    Row("invalid_order_min_tick_size", _K.REBUILD, "tick_changed", _R.TICK_CHANGED),
    Row("lower than the minimum", _K.REBUILD, "below_minimum", _R.BELOW_MINIMUM),
    Row("invalid_order_min_size", _K.REBUILD, "below_minimum", _R.BELOW_MINIMUM),
    Row("invalid amount for a marketable", _K.REBUILD, "below_minimum_notional", _R.BELOW_MINIMUM),
    Row("post-only mode", _K.TRANSIENT, "post_only_mode", wait_ms=_PAUSE_WAIT_MS),
    Row(
        "invalid post-only order: order crosses book",
        _K.REBUILD,
        "post_only_would_cross",
        _R.POST_ONLY_WOULD_CROSS,
    ),
    Row("invalid_post_only_order_type", _K.FINAL, "post_only_type"),
    Row("invalid_post_only_order", _K.REBUILD, "post_only_would_cross", _R.POST_ONLY_WOULD_CROSS),
    Row("invalid post-only order", _K.FINAL, "post_only_type"),
    Row("crosses the book", _K.REBUILD, "crosses_book", _R.POST_ONLY_WOULD_CROSS),
    Row("the allowance is not enough", _K.BLOCKED, "allowance_short"),
    Row("not enough balance / allowance", _K.REBUILD, "balance_short", _R.BALANCE_SHORT),
    Row("invalid_order_not_enough_balance", _K.REBUILD, "balance_short", _R.BALANCE_SHORT),
    Row("couldn't be fully filled", _K.NO_LIQUIDITY, "fok_killed"),
    Row("fok_order_not_filled_error", _K.NO_LIQUIDITY, "fok_killed"),
    Row("no orders found to match with fak order", _K.NO_LIQUIDITY, "fak_unmatched"),
    Row("order canceled in the ctf exchange contract", _K.REBUILD, "canceled_on_chain", _R.CANCELED_ON_CHAIN),
    Row("invalid order payload", _K.FINAL, "invalid_payload"),
    Row("invalid amounts", _K.FINAL, "invalid_amounts"),
    Row("invalid expiration", _K.FINAL, "invalid_expiration"),
    Row("invalid_order_expiration", _K.FINAL, "invalid_expiration"),
    Row("too many orders in payload", _K.FINAL, "too_many_orders"),
    Row("the orderbook does not exist", _K.FINAL, MARKET_GONE),
    Row("no orderbook exists", _K.FINAL, MARKET_GONE),
    Row("market not found", _K.FINAL, MARKET_GONE),
    Row("invalid signature", _K.BLOCKED, "invalid_signature"),
    Row("order_version_mismatch", _K.BLOCKED, "version_mismatch"),
    Row("invalid order version", _K.BLOCKED, "version_mismatch"),
    Row("error parsing fee rate bps", _K.BLOCKED, "version_mismatch"),
    Row("the order owner has to be the owner of the api key", _K.BLOCKED, "owner_mismatch"),
    Row("the order signer address has to be the address of the api key", _K.BLOCKED, "signer_mismatch"),
    Row("maker address not allowed", _K.BLOCKED, "maker_not_allowed"),
    Row("address banned", _K.BLOCKED, "banned"),
    Row("closed only mode", _K.BLOCKED, "closed_only"),
    Row("invalid api key", _K.BLOCKED, "unauthorized"),
    Row("invalid l1 request headers", _K.BLOCKED, "unauthorized"),
    Row("trading restricted in your region", _K.BLOCKED, "region_restricted"),
    Row("not yet ready to process new orders", _K.TRANSIENT, "market_not_ready", wait_ms=_NOT_READY_WAIT_MS),
    Row("market_not_ready", _K.TRANSIENT, "market_not_ready", wait_ms=_NOT_READY_WAIT_MS),
    Row("order timed out", _K.TRANSIENT, "order_timed_out"),
    Row("trading is currently cancel-only", _K.TRANSIENT, "cancel_only", wait_ms=_PAUSE_WAIT_MS),
    Row("trading is currently disabled", _K.UNKNOWN, "trading_disabled", wait_ms=_PAUSE_WAIT_MS),
    Row("order match delayed", _K.UNKNOWN, "match_delayed"),
    Row("order_delayed", _K.UNKNOWN, "match_delayed"),
    Row("delaying_order_error", _K.UNKNOWN, "match_delayed"),
    Row("context canceled", _K.UNKNOWN, "context_canceled"),
    Row("could not insert order", _K.UNKNOWN, "not_inserted"),
    Row("invalid_order_error", _K.UNKNOWN, "not_inserted"),
    Row("could not run the execution", _K.UNKNOWN, "not_executed"),
    Row("execution_error", _K.UNKNOWN, "not_executed"),
    Row("there are no matching orders", _K.UNKNOWN, "not_executed"),
    Row("the trade contains rounding issues", _K.UNKNOWN, "not_executed"),
    Row("order has a discrepancy", _K.UNKNOWN, "not_executed"),
    Row("internal server error", _K.UNKNOWN, "server_error"),
)


def answer_of(reply: Reply, attempt: Attempt, venue_order_id: VenueOrderId) -> Answer:
    """Classify the venue's reply to the POST of `attempt`, whose id is `venue_order_id`. Never raises."""
    if reply.status == 200:
        return _of_success(reply, attempt, venue_order_id)
    return _of_refusal(reply, venue_order_id)


def answer_without_reply(fault: NetworkFault, venue_order_id: VenueOrderId) -> Answer:
    """Classify a POST that got no reply: only one that never left is certainly not taken."""
    kind = AnswerKind.TRANSIENT if fault is NetworkFault.NOT_SENT else AnswerKind.UNKNOWN
    return Answer(kind=kind, code=f"network_{fault.value}", venue_order_id=venue_order_id)


def answer_of_pause(wait_ms: int, venue_order_id: VenueOrderId) -> Answer:
    """Return the answer to an order that was not sent, since the limiter's pause is not over."""
    return _answer(_K.TRANSIENT, "rate_limited", "the limiter's pause is not over", venue_order_id, wait_ms)


def answer_of_no_book(refused: Answer) -> Answer:
    """Return the answer to an order that found no book in a market which is not at its end: wait."""
    return _answer(
        _K.TRANSIENT, "market_not_ready", refused.detail, refused.venue_order_id, _NOT_READY_WAIT_MS
    )


def _of_refusal(reply: Reply, venue_order_id: VenueOrderId) -> Answer:
    status, refusal = reply.status, refusal_of(reply)
    wait_ms = asked_wait_ms(reply)
    words = refusal.error if refusal is not None else ""
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return _of_rate_limit(reply, words, wait_ms, venue_order_id)
    if status == HTTPStatus.TOO_EARLY:
        return _answer(_K.UNKNOWN, "engine_restarting", words, venue_order_id, wait_ms or _RESTART_WAIT_MS)
    row = _row_of(words) or (_row_of(refusal.code) if refusal is not None else None)
    if row is not None and not (status >= 500 and row.kind not in _KINDS_OF_5XX):
        return _of_row(row, words, wait_ms, venue_order_id)
    kind, code, default_ms = _by_status(status, is_json=refusal is not None)
    return _answer(kind, code, words or f"HTTP {status}", venue_order_id, wait_ms or default_ms)


# A 5xx that quotes a definite refusal proves nothing: only what the venue documents for 5xx is believed.
_KINDS_OF_5XX = frozenset({_K.TRANSIENT, _K.UNKNOWN, _K.REGISTERED})


def _by_status(status: int, *, is_json: bool) -> tuple[AnswerKind, str, int | None]:
    if status == 401:
        return _K.BLOCKED, "unauthorized", None
    if status == HTTPStatus.NOT_FOUND and is_json:
        # The venue turns every error whose text has "not found" in it into a 404, those after the order was
        # taken too (its documentation, Error codes, 2026-10).
        return _K.UNKNOWN, "unrecognized_not_found", None
    if status == 403:
        return (_K.BLOCKED, "forbidden", None) if is_json else (_K.TRANSIENT, "firewall", _FIREWALL_WAIT_MS)
    if 400 <= status < 500 and status != 408:
        return _K.BLOCKED, "unrecognized_refusal", None
    return _K.UNKNOWN, f"http_{status}", None


def _of_rate_limit(reply: Reply, words: str, wait_ms: int | None, venue_order_id: VenueOrderId) -> Answer:
    if is_limiters(reply):
        pause_ms = min(wait_ms or _RESTART_WAIT_MS, LONGEST_PAUSE_MS)
        return _answer(_K.TRANSIENT, "rate_limited", words, venue_order_id, pause_ms)
    return _answer(_K.UNKNOWN, "rate_limited_by_another_hop", words, venue_order_id, wait_ms)


def _of_success(reply: Reply, attempt: Attempt, venue_order_id: VenueOrderId) -> Answer:
    try:
        payload = read_payload(PlacePayload, reply.body)
    except VenueProtocolError:
        return _answer(_K.UNKNOWN, "malformed_answer", "", venue_order_id, None)
    return answer_of_payload(payload, attempt, venue_order_id)


def answer_of_payload(payload: PlacePayload, attempt: Attempt, venue_order_id: VenueOrderId) -> Answer:
    """Classify the object of an accepted reply (also one entry of a batch).

    A refusal may hide in it: `success` without an id, or an id with the words of a killed order.
    """
    words = payload.error_msg or ""
    if words:
        row = _row_of(words)
        if row is not None:
            return _of_row(row, words, None, venue_order_id)
        if not payload.order_id or payload.success is False:
            return _answer(_K.BLOCKED, "unrecognized_refusal", words, venue_order_id, None)
    if not payload.order_id:
        return _answer(_K.UNKNOWN, "no_order_id", "", venue_order_id, None)
    if payload.success is False:
        return _answer(_K.UNKNOWN, "no_reason", "", venue_order_id, None)
    if payload.order_id.lower() != venue_order_id:
        return _answer(_K.UNKNOWN, "foreign_order_id", payload.order_id, venue_order_id, None)
    return Answer(
        kind=AnswerKind.ACCEPTED,
        code="accepted" if amounts_fit(payload, attempt) else "accepted_with_odd_amounts",
        detail=words[:MAX_DETAIL],
        venue_order_id=venue_order_id,
        status=_status_of(payload.status),
    )


def amounts_fit(payload: PlacePayload, attempt: Attempt) -> bool:
    """Say whether the reply's amounts can be those of this order.

    The venue answers decimals of whole units although its own schema says integers of 6 decimals; a reply
    off by a million must be seen, not booked (fills come from trades, so nothing depends on these
    figures).
    """
    making, taking = payload.making_amount or Decimal(0), payload.taking_amount or Decimal(0)
    signed_making, signed_taking = from_micros(attempt.maker_amount), from_micros(attempt.taker_amount)
    if making > signed_making:
        return False
    # A better price gives more: for a SELL at most 1 USD a share, for a BUY down to the tick.
    limit = attempt.shares if attempt.side is Side.SELL else signed_making / attempt.tick
    return taking <= max(limit, signed_taking)


def _status_of(word: str | None) -> VenueOrderStatus | None:
    if not word:
        return None
    try:
        return order_status(word)
    except VenueProtocolError:
        return None


def _row_of(words: str) -> Row | None:
    lowered = words.lower()
    return next((row for row in TABLE if row.text in lowered), None) if lowered else None


def _of_row(row: Row, words: str, wait_ms: int | None, venue_order_id: VenueOrderId) -> Answer:
    return Answer(
        kind=row.kind,
        code=row.code,
        detail=words[:MAX_DETAIL],
        venue_order_id=venue_order_id,
        rebuild=row.rebuild,
        wait_ms=_bounded(row.kind, wait_ms if wait_ms is not None else row.wait_ms),
    )


def _answer(
    kind: AnswerKind, code: str, words: str, venue_order_id: VenueOrderId | None, wait_ms: int | None
) -> Answer:
    wait_ms = _bounded(kind, wait_ms)
    return Answer(
        kind=kind, code=code, detail=words[:MAX_DETAIL], venue_order_id=venue_order_id, wait_ms=wait_ms
    )


def _bounded(kind: AnswerKind, wait_ms: int | None) -> int | None:
    longest = _LONGEST_WAIT_MS.get(kind)
    return wait_ms if wait_ms is None or longest is None else min(wait_ms, longest)
