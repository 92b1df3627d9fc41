"""What an order of one's own must stand up to before its workflow starts. Nothing is written here."""

import math
from datetime import datetime

from activities.wallets import shown_holdings
from api.deps import AccountContext, Services
from api.operations.rule_checks import tradable_instrument
from api.problems import invalid
from api.schemas.orders import OrderBody
from domain.errors import InvalidInput
from domain.exits import OrderRequest, build_order, gtd_expiration_s
from domain.ids import OrderId, TokenId
from domain.messages import ORDER_REVISION, OrderStart
from domain.orders import Purpose, Side, TimeInForce
from domain.positions import PositionKey

_WIRE_NAMES = {"limit_price": "price", "expiration_s": "expires_at"}


async def checked_order(
    services: Services,
    context: AccountContext,
    body: OrderBody,
    order_id: OrderId,
    fingerprint: str,
    now: datetime,
) -> OrderStart:
    """Return the start of the order's workflow, once the order can be built exactly as it was asked for.

    Raises:
        Invalid: The field and the reason.
        VenueError: The venue could not answer.
    """
    instrument = await tradable_instrument(services, body.venue, body.token_id)
    if body.side is Side.SELL:
        await _check_holding(services, context, body)
    if (body.expires_at is None) == (body.time_in_force is TimeInForce.GTD):
        raise invalid("expires_at", "belongs to GTD orders, and they need it", "expires_at")
    sold = TokenId(body.token_id) if body.side is Side.SELL else None
    wallet = await services.venues.wallet(context.account_id, body.venue, context.mode, holding=sold)
    # An order that only reduces what is held passes the limits of entries.
    purpose = Purpose.ENTRY if body.side is Side.BUY else Purpose.EXIT
    start = OrderStart(
        order_id=order_id,
        account_id=context.account_id,
        mode=context.mode,
        venue=body.venue,
        instrument=instrument,
        wallet=wallet,
        side=body.side,
        purpose=purpose,
        time_in_force=body.time_in_force,
        shares=body.shares,
        budget_usd=body.budget_usd,
        limit_price=body.price,
        post_only=body.post_only,
        expires_at=body.expires_at,
        send_within_ms=math.floor(services.entry_send_window.total_seconds() * 1000)
        if purpose is Purpose.ENTRY
        else None,
        fingerprint=fingerprint,
        created_at=now,
        tuning=services.tuning,
        revision=ORDER_REVISION,
    )
    _check_build(start, now)
    return start


async def _check_holding(services: Services, context: AccountContext, body: OrderBody) -> None:
    key = PositionKey(
        account_id=context.account_id, venue=body.venue, mode=context.mode, token_id=TokenId(body.token_id)
    )
    held = (await services.ledger.holding(key)).shares
    if body.shares is not None and body.shares > held:
        sessions = await services.venues.sessions(context.account_id, body.venue, context.mode)
        held = max(held, *await shown_holdings(sessions, TokenId(body.token_id)))  # one wallet signs
        if body.shares > held:
            raise invalid("shares", "is more than the account holds", "more_than_held")


def _check_build(start: OrderStart, now: datetime) -> None:
    """Build the order once, for its refusals."""
    expires = start.expires_at
    try:
        build_order(
            OrderRequest(
                order_id=start.order_id,
                attempt=1,
                account_id=start.account_id,
                venue=start.venue,
                mode=start.mode,
                wallet=start.wallet,
                instrument=start.instrument,
                side=start.side,
                purpose=start.purpose,
                time_in_force=start.time_in_force,
                shares=start.shares,
                budget_usd=start.budget_usd,
                limit_price=start.limit_price,
                timestamp_ms=int(now.timestamp() * 1000),
                post_only=start.post_only,
                expiration_s=gtd_expiration_s(expires) if expires is not None else 0,
            )
        )
    except InvalidInput as refusal:
        raise invalid(_WIRE_NAMES.get(refusal.field, refusal.field), refusal.reason, refusal.code) from None
