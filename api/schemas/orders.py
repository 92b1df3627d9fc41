"""Orders: the body of an order of one's own, and every order's answer."""

from datetime import datetime
from typing import Annotated, Self

from fastapi.openapi.models import Example
from pydantic import AwareDatetime, Field, model_validator
from pydantic_core import PydanticCustomError

from api.schemas.common import Amount, Answer, Body
from domain.fills import EntryKind, LedgerEntry
from domain.messages import OrderAnswer as Ended
from domain.orders import Mode, OrderRow, OrderState, Purpose, Side, TimeInForce
from domain.rules.definition import Positive

ORDER_EXAMPLES: dict[str, Example] = {
    "buy at once": {
        "summary": "Spend 25 USD at 0.52 or better, at once; what does not fill is dropped",
        "value": {
            "token_id": "71321045679252212594626385532706912750332728571942532289631379312455583992563",
            "side": "BUY",
            "budget_usd": "25",
            "price": "0.52",
        },
    },
    "resting sell": {
        "summary": "Offer 40 shares at 0.80 until cancelled, never taking",
        "value": {
            "token_id": "71321045679252212594626385532706912750332728571942532289631379312455583992563",
            "side": "SELL",
            "shares": "40",
            "price": "0.80",
            "time_in_force": "GTC",
            "post_only": True,
        },
    },
}


class OrderBody(Body):
    """An order of one's own: a BUY takes `shares` or `budget_usd`, a SELL `shares`; `price` is the worst."""

    venue: Annotated[str, Field(min_length=1, max_length=40)] = "polymarket"
    token_id: Annotated[str, Field(min_length=1, max_length=200)]
    side: Side
    shares: Positive | None = None
    budget_usd: Positive | None = None
    price: Positive
    time_in_force: TimeInForce = TimeInForce.FAK
    post_only: bool = False
    expires_at: AwareDatetime | None = None

    @model_validator(mode="after")
    def _sized_once(self) -> Self:
        if (self.shares is None) == (self.budget_usd is None):
            raise PydanticCustomError("one_size", "give exactly one of shares and budget_usd")
        if self.side is Side.SELL and self.shares is None:
            raise PydanticCustomError("shares_needed", "a SELL is sized in shares")
        return self


class OrderAnswer(Answer):
    """An order; `rule_id` names the rule whose exit it is."""

    id: str
    account_id: str
    rule_id: str | None
    mode: Mode
    venue: str
    market_id: str
    token_id: str
    side: Side
    purpose: Purpose
    time_in_force: TimeInForce
    state: OrderState
    shares: Amount
    limit_price: Amount | None
    filled_shares: Amount
    proceeds_usd: Amount = Field(description="USD received for a SELL, paid for a BUY, without fees")
    fee_usd: Amount
    attempt: int
    venue_order_id: str | None
    detail: str
    version: int

    @classmethod
    def of(cls, row: OrderRow) -> Self:
        """Return the answer form of an order's row."""
        return cls(
            id=row.order_id,
            account_id=row.account_id,
            rule_id=row.rule_id,
            mode=row.mode,
            venue=row.venue,
            market_id=row.market_id,
            token_id=row.token_id,
            side=row.side,
            purpose=row.purpose,
            time_in_force=row.time_in_force,
            state=row.state,
            shares=row.shares,
            limit_price=row.limit_price,
            filled_shares=row.filled_shares,
            proceeds_usd=row.proceeds_usd,
            fee_usd=row.fee_usd,
            attempt=row.attempt,
            venue_order_id=row.venue_order_id,
            detail=row.detail,
            version=row.version,
        )

    def ended(self, end: Ended) -> Self:
        """Return this order with what its workflow just said of it."""
        return self.model_copy(
            update={
                "state": end.state,
                "filled_shares": end.filled_shares,
                "proceeds_usd": end.notional_usd,
                "fee_usd": end.fee_usd,
                "detail": end.detail,
            }
        )


class LedgerAnswer(Answer):
    """One entry of the append-only fills ledger.

    A `fill` is provisional until a `confirmation` of the same `fill_key` follows; a `reversal` takes it back.
    An `adjustment` is a difference to the venue's own balance, a `settlement` a resolved market's payout.
    """

    kind: EntryKind
    fill_key: str
    venue: str
    mode: Mode
    market_id: str
    token_id: str
    side: Side
    shares: Amount
    notional_usd: Amount
    fee_usd: Amount
    venue_order_id: str | None
    traded_at: datetime

    @classmethod
    def of(cls, entry: LedgerEntry) -> Self:
        """Return the answer form of a ledger entry."""
        return cls(
            kind=entry.kind,
            fill_key=entry.fill_key,
            venue=entry.venue,
            mode=entry.mode,
            market_id=entry.market_id,
            token_id=entry.token_id,
            side=entry.side,
            shares=entry.shares,
            notional_usd=entry.notional_usd,
            fee_usd=entry.fee_usd,
            venue_order_id=entry.venue_order_id,
            traded_at=entry.traded_at,
        )
