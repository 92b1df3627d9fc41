"""What an answer to a cancel means: its texts, classified once."""

from collections.abc import Mapping, Sequence

from domain.errors import VenueTransient
from domain.ids import VenueOrderId
from domain.ports import CancelOutcome
from venues.polymarket.http import Reply
from venues.polymarket.parsing import read_payload
from venues.polymarket.reads import checked
from venues.polymarket.schemas import CancelPayload
from venues.polymarket.waiting import asked_wait_ms, refusal_of

# First match wins. What is unknown counts as not cancelable now: trying again is harmless, believing is not.
REASONS: tuple[tuple[str, CancelOutcome], ...] = (
    ("already", CancelOutcome.ALREADY_TERMINAL),
    ("matched", CancelOutcome.ALREADY_TERMINAL),
    ("not found", CancelOutcome.NOT_FOUND),
    ("invalid orderid", CancelOutcome.NOT_FOUND),
)


def outcomes_of(
    reply: Reply, venue_order_ids: Sequence[VenueOrderId]
) -> Mapping[VenueOrderId, CancelOutcome]:
    """Classify the reply to a batch cancel; an order that it does not name was not cancelled.

    Raises:
        VenueTransient, VenueBlocked, VenueProtocolError: the cancels were not judged at all.
    """
    payload = _payload_of(reply)
    return {
        order_id: CancelOutcome.CANCELED
        if order_id in payload.canceled
        else _by_reason(payload.not_canceled.get(order_id, ""))
        for order_id in venue_order_ids
    }


def outcome_of(reply: Reply, venue_order_id: VenueOrderId) -> CancelOutcome:
    """Classify the reply to a cancel of one order.

    Raises:
        VenueTransient, VenueBlocked, VenueProtocolError: the cancel was not judged at all.
    """
    if reply.status in (400, 404):
        refusal = refusal_of(reply)
        if refusal is not None:
            return _by_reason(refusal.error)
    return outcomes_of(reply, [venue_order_id])[venue_order_id]


def _payload_of(reply: Reply) -> CancelPayload:
    if reply.status == 503:
        # "Trading is currently disabled" refuses cancels too, for a while.
        raise VenueTransient("cancels are refused for now", wait_ms=asked_wait_ms(reply))
    return read_payload(CancelPayload, checked(reply).body)


def _by_reason(reason: str) -> CancelOutcome:
    lowered = reason.lower()
    return next((outcome for text, outcome in REASONS if text in lowered), CancelOutcome.NOT_CANCELABLE)
