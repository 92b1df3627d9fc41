"""Rules in the general form: answers and changes. The body is `domain.rules.definition.RuleDefinition`."""

from datetime import datetime
from typing import Annotated, Self

from fastapi.openapi.models import Example
from pydantic import AwareDatetime, Field, model_validator
from pydantic_core import PydanticCustomError

from api.schemas.common import Amount, Answer, Body
from domain.messages import RuleOutcome, RulePhase, RuleRow, RuleStatus
from domain.orders import Mode
from domain.quotes import PriceSource, Quote
from domain.rules.crossing import Crossing
from domain.rules.definition import (
    Action,
    Condition,
    Confirm,
    NotNegative,
    RuleDefinition,
)
from domain.rules.levels import levels

RULE_EXAMPLES: dict[str, Example] = {
    "stop and target": {
        "summary": "Stop at 0.40, target at 0.75, whichever comes first",
        "value": {
            "token_id": "71321045679252212594626385532706912750332728571942532289631379312455583992563",
            "conditions": [
                {"type": "stop_loss", "price": "0.40"},
                {"type": "take_profit", "price": "0.75"},
            ],
        },
    },
    "trailing stop": {
        "summary": "Trail 5 % below the highest price once 0.60 was reached, at 0.45 in any case",
        "value": {
            "token_id": "71321045679252212594626385532706912750332728571942532289631379312455583992563",
            "conditions": [
                {
                    "type": "trailing_stop",
                    "percent": "5",
                    "activation_price": "0.60",
                    "floor_price": "0.45",
                }
            ],
            "action": {"type": "SELL_PARTIAL", "amount": "50"},
            "confirm": {"updates": 2},
        },
    },
    "time exit": {
        "summary": "Sell after an hour, or when ten percent of the entry price is lost",
        "value": {
            "token_id": "71321045679252212594626385532706912750332728571942532289631379312455583992563",
            "conditions": [{"type": "stop_loss", "percent": "10"}, {"type": "max_hold", "seconds": 3600}],
        },
    },
}


class RulePatch(Body):
    """What may change on a rule; fields that are left out stay as they are.

    `conditions` replaces the whole list. `version` is the one that was read: when the rule has moved on
    since, nothing is changed and the answer is 409 `version_mismatch`.
    """

    conditions: Annotated[tuple[Condition, ...], Field(min_length=1, max_length=8)] | None = None
    action: Action | None = None
    price_source: PriceSource | None = None
    confirm: Confirm | None = None
    max_spread: NotNegative | None = None
    max_age_ms: Annotated[int, Field(gt=0, le=86_400_000)] | None = None
    bid_confirms: bool | None = None
    mark_max_spread: NotNegative | None = None
    floor: NotNegative | None = None
    expires_at: AwareDatetime | None = None
    allow_small_percent: bool | None = None
    allow_immediate: bool | None = None
    version: Annotated[int, Field(ge=0)] | None = None

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if not self.model_fields_set - {"version", "allow_small_percent", "allow_immediate"}:
            raise PydanticCustomError("no_change", "name something to change")
        return self

    def applied_to(self, definition: RuleDefinition) -> RuleDefinition:
        """Return the definition with these changes, validated as a whole.

        Raises:
            pydantic.ValidationError: The result is no valid rule.
        """
        changes = self.model_dump(mode="json", include=self.model_fields_set - {"version"})
        return RuleDefinition.model_validate(definition.model_dump(mode="json") | changes)


class QuoteAnswer(Answer):
    """Best bid, best ask and last trade."""

    bid: Amount | None
    ask: Amount | None
    last: Amount | None

    @classmethod
    def of(cls, quote: Quote) -> Self:
        """Return the answer form of a quote."""
        return cls(bid=quote.bid, ask=quote.ask, last=quote.last)


class LevelAnswer(Answer):
    """A condition with its resolved level, trail or moment; a trail shows its floor as level."""

    index: int
    condition: str
    level: str | None
    percent: str | None
    points: str | None
    activation_price: str | None
    floor_price: str | None
    time: str | None


class ReachedAnswer(Answer):
    """A condition, its level and the quote that reached it."""

    condition: str
    condition_index: int
    level: Amount | None
    quote: QuoteAnswer


class FiredAnswer(ReachedAnswer):
    """The crossing that fired the rule."""

    generation: int
    price: Amount | None
    mark: Amount | None
    observed_at_ms: int = Field(description="Unix time in milliseconds")

    @classmethod
    def of(cls, crossing: Crossing) -> Self:
        """Return the answer form of a crossing."""
        return cls(
            condition=crossing.condition.value,
            condition_index=crossing.condition_index,
            generation=crossing.generation,
            level=crossing.level,
            price=crossing.price,
            mark=crossing.mark,
            quote=QuoteAnswer.of(crossing.quote),
            observed_at_ms=crossing.observed_at_ms,
        )


class RuleAnswer(Answer):
    """A rule: what was asked for, the resolved levels, a sentence in plain words, and how far it is."""

    id: str
    account_id: str
    mode: Mode
    venue: str
    market_id: str
    token_id: str
    status: RuleStatus
    phase: RulePhase
    sentence: str = Field(examples=["Sells all shares when the display price falls to 0.40 or below."])
    levels: list[LevelAnswer]
    entry_price: Amount | None
    conditions: tuple[Condition, ...]
    action: Action
    price_source: PriceSource
    confirm: Confirm
    max_spread: Amount | None
    max_age_ms: int
    bid_confirms: bool
    mark_max_spread: Amount | None
    floor: Amount | None
    expires_at: datetime | None
    follow_token: bool
    fired: FiredAnswer | None
    order_id: str | None
    sold_shares: Amount
    residual_shares: Amount
    dust_shares: Amount
    proceeds_usd: Amount
    fee_usd: Amount
    detail: str
    generation: int
    version: int
    created_at: datetime

    @classmethod
    def of(cls, row: RuleRow) -> Self:
        """Return the answer form of a rule's row."""
        lines = levels(row.resolved) if row.resolved else []
        definition = row.definition
        return cls(
            id=row.rule_id,
            account_id=row.account_id,
            mode=row.mode,
            venue=row.venue,
            market_id=row.market_id,
            token_id=row.token_id,
            status=row.status,
            phase=row.phase,
            sentence=row.sentence,
            levels=[LevelAnswer(**line) for line in lines],
            entry_price=row.entry_price,
            conditions=definition.conditions,
            action=definition.action,
            price_source=definition.price_source,
            confirm=definition.confirm,
            max_spread=definition.max_spread,
            max_age_ms=definition.max_age_ms,
            bid_confirms=definition.bid_confirms,
            mark_max_spread=definition.mark_max_spread,
            floor=definition.floor,
            expires_at=definition.expires_at,
            follow_token=definition.follow_token,
            fired=FiredAnswer.of(row.fired) if row.fired else None,
            order_id=row.order_id,
            sold_shares=row.sold_shares,
            residual_shares=row.residual_shares,
            dust_shares=row.dust_shares,
            proceeds_usd=row.proceeds_usd,
            fee_usd=row.fee_usd,
            detail=row.detail,
            generation=row.generation,
            version=row.version,
            created_at=row.created_at,
        )


class ChangedRuleAnswer(RuleAnswer):
    """A rule after a change, and how the change came out."""

    outcome: RuleOutcome
    outcome_detail: str


class PendingAnswer(Answer):
    """202: the request is durable, and no worker has taken it up yet. Ask for it again by its id."""

    id: str
    state: str = "pending"
    detail: str = "Durably started; a worker takes it up as soon as one runs."
