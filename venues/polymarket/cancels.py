"""What an answer to a cancel means: its texts, classified once."""

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


def outcome_of(reply: Reply, venue_order_id: VenueOrderId) -> CancelOutcome:
    """Classify the reply to a cancel of one order.

    Raises:
        VenueTransient, VenueBlocked, VenueProtocolError: the cancel was not judged at all.
    """
    if reply.status in (400, 404):
        refusal = refusal_of(reply)
        if refusal is not None:
            return _by_reason(refusal.error)
    if reply.status == 503:
        # "Trading is currently disabled" refuses cancels too, for a while.
        raise VenueTransient("cancels are refused for now", wait_ms=asked_wait_ms(reply))
    payload = read_payload(CancelPayload, checked(reply).body)
    if venue_order_id in payload.canceled:
        return CancelOutcome.CANCELED
    return _by_reason(payload.not_canceled.get(venue_order_id, ""))


def _by_reason(reason: str) -> CancelOutcome:
    lowered = reason.lower()
    return next((outcome for text, outcome in REASONS if text in lowered), CancelOutcome.NOT_CANCELABLE)
