"""Adjustments of positions, and proposed protections, as answers."""

from datetime import datetime
from typing import Self

from pydantic import Field

from api.schemas.common import Amount, Answer
from domain.orders import Mode, Side
from domain.outside import Origin
from domain.protection import Unprotectable
from domain.rules.definition import RuleDefinition
from storage.repositories.holdings import Adjustment


class AdjustmentAnswer(Answer):
    """A difference to the venue's own balance that was booked. BUY: shares came; SELL: shares went."""

    venue: str
    mode: Mode
    market_id: str
    token_id: str
    side: Side
    shares: Amount
    price: Amount = Field(description="USD per share at which the difference is counted")
    ledger_shares: Amount | None = Field(description="What the ledger held before")
    venue_shares: Amount | None = Field(description="What the venue held")
    at: datetime

    @classmethod
    def of(cls, adjustment: Adjustment) -> Self:
        """Return the answer form of an adjustment."""
        return cls(
            venue=adjustment.venue,
            mode=adjustment.mode,
            market_id=adjustment.market_id,
            token_id=adjustment.token_id,
            side=adjustment.side,
            shares=adjustment.shares,
            price=adjustment.price,
            ledger_shares=adjustment.ledger_shares,
            venue_shares=adjustment.venue_shares,
            at=adjustment.at,
        )


class ProposalAnswer(Answer):
    """A position that no open rule protects, with a rule that would.

    `rule` is a body of `POST /api/v2/rules`; sent under `idempotency_key` it is armed once, however often
    the import is repeated. Where nothing can be proposed, `skipped` says why and `rule` is null.
    """

    venue: str
    mode: Mode
    market_id: str
    token_id: str
    question: str
    outcome: str
    origin: Origin
    shares: Amount
    average_entry: Amount | None
    price: Amount | None
    level: Amount | None
    sentence: str
    proceeds_usd: Amount | None = Field(description="What a sale at the level brings, after the fee")
    rule: RuleDefinition | None
    idempotency_key: str | None
    skipped: Unprotectable | None


class ProposalsAnswer(Answer):
    """Every position of this account that nothing protects."""

    items: list[ProposalAnswer]
