"""The id of a paper order."""

import hashlib

from domain.ids import VenueOrderId
from domain.orders import Attempt

_ID_SEPARATOR = "\x1f"


def paper_order_id(attempt: Attempt) -> VenueOrderId:
    """Return the paper id: a digest of what a signature would cover and of how the order works."""
    parts = (
        attempt.order_id,
        attempt.attempt,
        attempt.account_id,
        attempt.venue,
        attempt.market_id,
        attempt.token_id,
        attempt.side,
        attempt.time_in_force,
        attempt.post_only,
        attempt.maker_amount,
        attempt.taker_amount,
        attempt.salt,
        attempt.timestamp_ms,
        attempt.expiration_s,
    )
    text = _ID_SEPARATOR.join(str(part) for part in parts)
    return VenueOrderId("paper-" + hashlib.sha256(text.encode()).hexdigest())
