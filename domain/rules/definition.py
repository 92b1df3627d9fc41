"""What a user asks for: the body of `POST /api/v2/rules`, checked as far as it can be without a market."""

from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Literal, LiteralString, Self, TypeAlias

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from domain.money import parse_decimal
from domain.quotes import PriceSource

SMALLEST_USUAL_PERCENT = Decimal("0.5")
MAX_CONDITIONS = 8
MAX_SECONDS = 10 * 366 * 24 * 3600


class ConditionType(StrEnum):
    """What can end a position."""

    STOP_LOSS = "stop_loss"
    TAKE_PROFIT = "take_profit"
    TRAILING_STOP = "trailing_stop"
    MAX_HOLD = "max_hold"
    BEFORE_MARKET_END = "before_market_end"
    AT = "at"


class Evaluator(StrEnum):
    """Who decides when a level is reached: the rule itself, or an agent that is woken."""

    AUTO = "auto"
    AGENT = "agent"


def _exact_decimal(value: object) -> Decimal:
    """Read a JSON number or text; a float goes through its shortest text, so 0.1 is one tenth."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str, Decimal)):
        raise PydanticCustomError("decimal_type", "must be a number, as text or JSON number")
    try:
        return parse_decimal(value)
    except ValueError as error:
        raise PydanticCustomError("decimal_parsing", "{reason}", {"reason": str(error)}) from None


Number = Annotated[Decimal, BeforeValidator(_exact_decimal, json_schema_input_type=str | float)]
NotNegative = Annotated[Number, Field(ge=0)]
Positive = Annotated[Number, Field(gt=0)]
BelowHundred = Annotated[Number, Field(gt=0, lt=100)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


def _refusal(
    model: str, code: LiteralString, reason: LiteralString, at: tuple[str | int, ...], value: object = None
) -> ValidationError:
    """Build an error at a field's own place; one that a validator merely raises names the whole model."""
    detail = InitErrorDetails(type=PydanticCustomError(code, reason), loc=at, input=value)
    return ValidationError.from_exception_data(model, [detail])


class _Levelled(_Frozen):
    """A level given as exactly one of: a price, a distance from the entry in percent or in price units."""

    price: NotNegative | None = None
    percent: Positive | None = None
    points: Positive | None = None

    @model_validator(mode="after")
    def _exactly_one_level(self) -> Self:
        levels = {"price": self.price, "percent": self.percent, "points": self.points}
        given = [name for name, level in levels.items() if level is not None]
        if len(given) != 1:
            reason = "give exactly one of price, percent and points"
            raise _refusal("level", "one_level", reason, (given[-1] if given else "price",))
        return self


class StopLoss(_Levelled):
    """Fires at or below its level."""

    type: Literal[ConditionType.STOP_LOSS] = ConditionType.STOP_LOSS
    percent: BelowHundred | None = None


class TakeProfit(_Levelled):
    """Fires at or above its level."""

    type: Literal[ConditionType.TAKE_PROFIT] = ConditionType.TAKE_PROFIT


class TrailingStop(_Frozen):
    """Fires at or below a level that follows the highest price seen and never loosens."""

    type: Literal[ConditionType.TRAILING_STOP] = ConditionType.TRAILING_STOP
    percent: BelowHundred | None = None
    points: Positive | None = None
    activation_price: NotNegative | None = None
    activation_percent: Positive | None = None
    floor_price: NotNegative | None = None

    @model_validator(mode="after")
    def _one_distance_and_at_most_one_activation(self) -> Self:
        if (self.percent is None) == (self.points is None):
            at = "percent" if self.percent is None else "points"
            raise _refusal("trailing_stop", "one_distance", "give exactly one of percent and points", (at,))
        if self.activation_price is not None and self.activation_percent is not None:
            reason = "give at most one of activation_price and activation_percent"
            raise _refusal("trailing_stop", "one_activation", reason, ("activation_percent",))
        return self


class MaxHold(_Frozen):
    """Fires a number of seconds after the position was opened (else after arming)."""

    type: Literal[ConditionType.MAX_HOLD] = ConditionType.MAX_HOLD
    seconds: Annotated[int, Field(gt=0, le=MAX_SECONDS)]


class BeforeMarketEnd(_Frozen):
    """Fires a number of seconds before the market's end."""

    type: Literal[ConditionType.BEFORE_MARKET_END] = ConditionType.BEFORE_MARKET_END
    seconds: Annotated[int, Field(ge=0, le=MAX_SECONDS)]


class AtTime(_Frozen):
    """Fires at a moment."""

    type: Literal[ConditionType.AT] = ConditionType.AT
    time: AwareDatetime


Condition: TypeAlias = Annotated[
    StopLoss | TakeProfit | TrailingStop | MaxHold | BeforeMarketEnd | AtTime, Field(discriminator="type")
]


class SellAll(_Frozen):
    """Sells whatever is held."""

    type: Literal["SELL_ALL"] = "SELL_ALL"


class SellPartial(_Frozen):
    """Sells a number of shares, at most what is held."""

    type: Literal["SELL_PARTIAL"]
    amount: Positive


Action: TypeAlias = Annotated[SellAll | SellPartial, Field(discriminator="type")]


class Confirm(_Frozen):
    """How often (consecutive valid quotes) and how long (milliseconds) a price must stand beyond a level."""

    updates: Annotated[int, Field(ge=1, le=10_000)] = 1
    ms: Annotated[int, Field(ge=0, le=86_400_000)] = 0


class RuleDefinition(_Frozen):
    """Conditions and an action on one token. Which market and token must be named is for the API to say."""

    venue: Annotated[str, Field(min_length=1, max_length=40)] = "polymarket"
    market_id: Annotated[str, Field(max_length=200)] = ""
    token_id: Annotated[str, Field(max_length=200)] = ""
    entry_price: Positive | None = None
    conditions: Annotated[tuple[Condition, ...], Field(max_length=MAX_CONDITIONS)]
    action: Action = SellAll()
    price_source: PriceSource = PriceSource.DISPLAY
    confirm: Confirm = Confirm()
    max_spread: NotNegative | None = None
    max_age_ms: Annotated[int, Field(gt=0, le=86_400_000)] = 20_000
    bid_confirms: bool = True
    mark_max_spread: NotNegative | None = Decimal("0.10")
    floor: NotNegative | None = None
    expires_at: AwareDatetime | None = None
    allow_small_percent: bool = False
    allow_immediate: bool = False
    expect_position: bool = False
    follow_token: bool = False
    evaluator: Evaluator = Evaluator.AUTO
    market_end: AwareDatetime | None = None

    @model_validator(mode="after")
    def _some_conditions_each_once(self) -> Self:
        if not self.conditions:
            reason = "give at least one condition: without a level there is nothing to watch"
            raise _refusal("rule", "no_condition", reason, ("conditions",))
        for index, condition in enumerate(self.conditions):
            if condition in self.conditions[:index]:
                reason = "this condition stands in the rule already"
                raise _refusal("rule", "duplicate_condition", reason, ("conditions", index))
        return self

    @model_validator(mode="after")
    def _percent_means_percent(self) -> Self:
        if not self.allow_small_percent:
            for index, condition in enumerate(self.conditions):
                for name, percent in _percents(condition):
                    if percent is not None and percent < SMALLEST_USUAL_PERCENT:
                        raise _small_percent(("conditions", index, condition.type.value, name), percent)
        return self


def field_path(loc: tuple[str | int, ...]) -> str:
    """Return an error's place in the user's own words: "conditions.0.percent" for a tagged union's member."""
    members = {*ConditionType, "SELL_ALL", "SELL_PARTIAL"}
    return ".".join(str(part) for part in loc if part not in members)


def _percents(condition: Condition) -> tuple[tuple[str, Decimal | None], ...]:
    if isinstance(condition, StopLoss | TakeProfit):
        return (("percent", condition.percent),)
    if isinstance(condition, TrailingStop):
        return (("percent", condition.percent), ("activation_percent", condition.activation_percent))
    return ()


def _small_percent(at: tuple[str | int, ...], percent: Decimal) -> ValidationError:
    reason = (
        "percent means percent: write 10 for 10 %. "
        "If less than half a percent is really meant, set allow_small_percent to true"
    )
    return _refusal("rule", "small_percent", reason, at, percent)
