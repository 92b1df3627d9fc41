"""Rules in the form of the Polymarket skill: camelCase, one level each, a thin form of the general rule."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Annotated, LiteralString, Self

from fastapi.openapi.models import Example
from pydantic import Field, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from api.problems import FieldError
from api.schemas.common import Amount, CamelAnswer, CamelBody
from domain.messages import RuleOutcome, RulePhase, RuleRow, RuleStatus
from domain.orders import Mode
from domain.rules.definition import (
    Action,
    BelowHundred,
    Condition,
    NotNegative,
    RuleDefinition,
    SellAll,
    StopLoss,
    TakeProfit,
    TrailingStop,
)

VENUE = "polymarket"


class RuleType(StrEnum):
    """The three kinds of rule of this form."""

    STOP_LOSS = "STOP_LOSS"
    TAKE_PROFIT = "TAKE_PROFIT"
    TRAILING_STOP = "TRAILING_STOP"


SKILL_EXAMPLES: dict[str, Example] = {
    "stop loss": {
        "summary": "Sell everything at 0.40 or below",
        "value": {
            "ruleType": "STOP_LOSS",
            "marketId": "0x5f65177b394277fd294cd75650044e32ba009a95022d88a0c1d565897d72f8f1",
            "tokenId": "71321045679252212594626385532706912750332728571942532289631379312455583992563",
            "triggerPrice": 0.40,
            "action": {"type": "SELL_ALL"},
        },
    },
    "trailing stop": {
        "summary": "Sell 25 shares when the price falls 8 % below its highest, or to 0.35",
        "value": {
            "ruleType": "TRAILING_STOP",
            "marketId": "0x5f65177b394277fd294cd75650044e32ba009a95022d88a0c1d565897d72f8f1",
            "tokenId": "71321045679252212594626385532706912750332728571942532289631379312455583992563",
            "trailingPercent": 8,
            "triggerPrice": "0.35",
            "action": {"type": "SELL_PARTIAL", "amount": 25},
        },
    },
}


def _refused(field: str, code: LiteralString, reason: LiteralString) -> ValidationError:
    """Build an error at a field's own place; one that a validator merely raises would name the whole body."""
    detail = InitErrorDetails(type=PydanticCustomError(code, reason), loc=(field,), input=None)
    return ValidationError.from_exception_data("rule", [detail])


class SkillRuleBody(CamelBody):
    """A rule with one level: `triggerPrice` for a stop or a target, `trailingPercent` for a trail.

    A trail may carry `triggerPrice` too: it is then the price at or below which it sells in any case. The
    last three fields mean what they mean in the general form.
    """

    rule_type: RuleType
    market_id: Annotated[str, Field(max_length=200)] = ""
    token_id: Annotated[str, Field(min_length=1, max_length=200)]
    trigger_price: NotNegative | None = None
    trailing_percent: BelowHundred | None = None
    action: Action = SellAll()
    allow_immediate: bool = False
    expect_position: bool = False
    allow_small_percent: bool = False

    @model_validator(mode="after")
    def _has_its_level(self) -> Self:
        if self.rule_type is RuleType.TRAILING_STOP:
            if self.trailing_percent is None:
                raise _refused("trailingPercent", "no_level", "a TRAILING_STOP needs its percent")
        elif self.trigger_price is None:
            raise _refused("triggerPrice", "no_level", "a STOP_LOSS or TAKE_PROFIT needs its price")
        elif self.trailing_percent is not None:
            raise _refused("trailingPercent", "not_for_this_type", "belongs to a TRAILING_STOP")
        return self

    def definition(self) -> RuleDefinition:
        """Return the general form.

        Raises:
            pydantic.ValidationError: The level is refused there, for example a percent below 0.5.
        """
        return RuleDefinition(
            venue=VENUE,
            market_id=self.market_id,
            token_id=self.token_id,
            conditions=(self._condition(),),
            action=self.action,
            allow_immediate=self.allow_immediate,
            expect_position=self.expect_position,
            allow_small_percent=self.allow_small_percent,
        )

    def _condition(self) -> Condition:
        if self.rule_type is RuleType.STOP_LOSS:
            return StopLoss(price=self.trigger_price)
        if self.rule_type is RuleType.TAKE_PROFIT:
            return TakeProfit(price=self.trigger_price)
        return TrailingStop(percent=self.trailing_percent, floor_price=self.trigger_price)


class SkillRulePatch(CamelBody):
    """The changed level: for a trail `triggerPrice` is its floor."""

    trigger_price: NotNegative | None = None
    trailing_percent: BelowHundred | None = None
    allow_immediate: bool = False
    allow_small_percent: bool = False
    version: Annotated[int, Field(ge=0)] | None = None

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if self.trigger_price is None and self.trailing_percent is None:
            raise PydanticCustomError("no_change", "give triggerPrice or trailingPercent")
        return self

    def applied_to(self, definition: RuleDefinition) -> RuleDefinition:
        """Return the definition with the new level in its first condition that has one.

        Raises:
            pydantic.ValidationError: The level is refused.
            Unfitting: No condition of the rule has such a level.
        """
        conditions = [condition.model_dump(mode="json") for condition in definition.conditions]
        for index, condition in enumerate(definition.conditions):
            changes = self._changes(condition)
            if changes is not None:
                conditions[index] |= changes
                changed = definition.model_dump(mode="json") | {
                    "conditions": conditions,
                    "allow_small_percent": self.allow_small_percent or definition.allow_small_percent,
                    "allow_immediate": self.allow_immediate,
                }
                return RuleDefinition.model_validate(changed)
        raise Unfitting

    def _changes(self, condition: Condition) -> dict[str, str | None] | None:
        if isinstance(condition, TrailingStop):
            return self._trail_changes()
        fits = isinstance(condition, StopLoss | TakeProfit) and self.trailing_percent is None
        if not fits:
            return None
        return {"price": str(self.trigger_price), "percent": None, "points": None}

    def _trail_changes(self) -> dict[str, str | None]:
        changes: dict[str, str | None] = {}
        if self.trigger_price is not None:
            changes["floor_price"] = str(self.trigger_price)
        if self.trailing_percent is not None:
            changes |= {"percent": str(self.trailing_percent), "points": None}
        return changes


class Unfitting(Exception):
    """The rule has no condition with such a level."""


_WIRE_NAMES = {
    "token_id": "tokenId",
    "market_id": "marketId",
    "floor_price": "triggerPrice",
    "price": "triggerPrice",
    "percent": "trailingPercent",
    "action": "action",
}


def wire_errors(errors: Sequence[FieldError], rule_type: RuleType | None) -> list[FieldError]:
    """Return errors of the general form with the field names of this one."""
    return [FieldError(_wire_name(error.field, rule_type), error.reason, error.code) for error in errors]


def _wire_name(field: str, rule_type: RuleType | None) -> str:
    parts = field.split(".")
    if parts[0] == "conditions":
        whole = len(parts) <= 2
        of_trail = rule_type is RuleType.TRAILING_STOP
        return (
            ("trailingPercent" if of_trail else "triggerPrice")
            if whole
            else _WIRE_NAMES.get(parts[-1], field)
        )
    return ".".join([_WIRE_NAMES.get(parts[0], parts[0]), *parts[1:]])


class SkillRule(CamelAnswer):
    """A rule with its resolved level and what it does in plain words."""

    id: str
    rule_type: str
    venue: str
    mode: Mode
    market_id: str
    token_id: str
    trigger_price: Amount | None = Field(description="The resolved level; for a trail its floor")
    trailing_percent: Amount | None
    action: Action
    status: RuleStatus
    phase: RulePhase
    sentence: str
    order_id: str | None
    sold_shares: Amount
    residual_shares: Amount
    proceeds_usd: Amount
    fee_usd: Amount
    detail: str
    version: int
    created_at: datetime

    @classmethod
    def of(cls, row: RuleRow) -> Self:
        """Return the camelCase form of a rule's row; of several conditions it shows the first."""
        first = row.definition.conditions[0]
        resolved = row.resolved.conditions[0] if row.resolved else None
        trail = first if isinstance(first, TrailingStop) else None
        level = trail.floor_price if trail else getattr(resolved, "level", getattr(first, "price", None))
        return cls(
            id=row.rule_id,
            rule_type=first.type.value.upper(),
            venue=row.venue,
            mode=row.mode,
            market_id=row.market_id,
            token_id=row.token_id,
            trigger_price=level,
            trailing_percent=trail.percent if trail else None,
            action=row.definition.action,
            status=row.status,
            phase=row.phase,
            sentence=row.sentence,
            order_id=row.order_id,
            sold_shares=row.sold_shares,
            residual_shares=row.residual_shares,
            proceeds_usd=row.proceeds_usd,
            fee_usd=row.fee_usd,
            detail=row.detail,
            version=row.version,
            created_at=row.created_at,
        )


class ChangedSkillRule(SkillRule):
    """A rule after a change, and how the change came out."""

    outcome: RuleOutcome
    outcome_detail: str


class SkillEvent(CamelAnswer):
    """One line of the append-only event log."""

    id: str
    rule_id: str | None
    order_id: str | None
    type: str
    severity: str
    message: str
    data: dict[str, str]
    at: datetime | None


class SkillPosition(CamelAnswer):
    """A position of this account and the rules that watch it."""

    venue: str
    mode: Mode
    market_id: str
    token_id: str
    shares: Amount
    average_entry: Amount | None
    cost_usd: Amount
    realized_pnl_usd: Amount
    unconfirmed_shares: Amount
    opened_at: datetime | None
    rule_ids: list[str]


class SkillStatus(CamelAnswer):
    """State of the Trade Manager."""

    running: bool
    enabled: bool
    websocket: bool
    poll_interval_seconds: Amount
    breaker_open: bool
    breakers: list[str]
    active_rules: int
    tokens_watched: int
    tokens_polled: int
    newest_quote_age_ms: int | None
