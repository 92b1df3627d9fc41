"""The venue's JSON as it comes: one model for each payload, nothing interpreted yet.

Numbers arrive as strings, as JSON numbers, as "" for "none", or as ".5"; lists may arrive as a string that
holds JSON (Gamma). Unknown members are ignored, since the venue adds some every month. Models never quote
their input in errors.
"""

from decimal import Decimal, InvalidOperation
from typing import Annotated

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr


def _blank_is_none(value: object) -> object:
    return None if value == "" else value


def _blank_is_zero(value: object) -> object:
    return "0" if value in ("", None) else value


def _text(value: object) -> object:
    return str(value) if isinstance(value, int) else value


def _json_in_string(value: object) -> object:
    if value in (None, ""):
        return ()
    return orjson.loads(value) if isinstance(value, str) else value


def _text_or_blank(value: object) -> object:
    if isinstance(value, str):
        return value
    return "" if value is None else orjson.dumps(value, default=str).decode()


def _number_or_none(value: object) -> object:
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _null_is_empty(value: object) -> object:
    return () if value is None else value


OptionalDecimal = Annotated[Decimal | None, BeforeValidator(_blank_is_none)]
ZeroableDecimal = Annotated[Decimal, BeforeValidator(_blank_is_zero)]
Text = Annotated[str, BeforeValidator(_text)]
OptionalText = Annotated[str | None, BeforeValidator(_text)]
LooseText = Annotated[str, BeforeValidator(_text_or_blank)]
LooseDecimal = Annotated[Decimal | None, BeforeValidator(_number_or_none)]
TextList = Annotated[tuple[Text, ...], BeforeValidator(_json_in_string)]
DecimalList = Annotated[tuple[Decimal, ...], BeforeValidator(_json_in_string)]


class Payload(BaseModel):
    """Base of the venue's payloads."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True, hide_input_in_errors=True)


class LevelPayload(Payload):
    """One level of a book."""

    price: Decimal
    size: Decimal


class BookPayload(Payload):
    """`GET /book`, an entry of `POST /books`, and the socket's `book`."""

    market: str = ""
    asset_id: str
    timestamp: OptionalText = None
    hash: str = ""
    bids: tuple[LevelPayload, ...] = ()
    asks: tuple[LevelPayload, ...] = ()
    min_order_size: OptionalDecimal = None
    tick_size: OptionalDecimal = None
    neg_risk: bool | None = None
    last_trade_price: OptionalDecimal = None


class FeeSchedulePayload(Payload):
    """Gamma's `feeSchedule`: the true taker fee."""

    rate: Decimal
    exponent: Decimal = Decimal(1)
    taker_only: bool = Field(default=True, alias="takerOnly")


class GammaMarketPayload(Payload):
    """A market of the Gamma API."""

    id: Text
    condition_id: str = Field(alias="conditionId")
    question: str = ""
    slug: str = ""
    token_ids: TextList = Field(default=(), alias="clobTokenIds")
    outcomes: TextList = ()
    outcome_prices: DecimalList = Field(default=(), alias="outcomePrices")
    active: bool = True
    closed: bool = False
    archived: bool = False
    accepting_orders: bool | None = Field(default=None, alias="acceptingOrders")
    enable_order_book: bool | None = Field(default=None, alias="enableOrderBook")
    neg_risk: bool = Field(default=False, alias="negRisk")
    tick: OptionalDecimal = Field(default=None, alias="orderPriceMinTickSize")
    min_shares: OptionalDecimal = Field(default=None, alias="orderMinSize")
    end_date: str | None = Field(default=None, alias="endDate")
    fee_schedule: FeeSchedulePayload | None = Field(default=None, alias="feeSchedule")
    uma_statuses: TextList = Field(default=(), alias="umaResolutionStatuses")


class GammaEventPayload(Payload):
    """An event of the Gamma API with its markets."""

    id: Text
    slug: str = ""
    title: str = ""
    markets: tuple[GammaMarketPayload, ...] = ()


class ClobTokenPayload(Payload):
    """One outcome of a CLOB market."""

    token_id: str
    outcome: str = ""
    price: OptionalDecimal = None
    winner: bool = False


class ClobMarketPayload(Payload):
    """`GET /markets/{condition}`."""

    condition_id: str
    question: str = ""
    market_slug: str = ""
    active: bool = True
    closed: bool = False
    archived: bool = False
    accepting_orders: bool = True
    enable_order_book: bool = True
    minimum_order_size: OptionalDecimal = None
    minimum_tick_size: OptionalDecimal = None
    neg_risk: bool = False
    end_date_iso: str | None = None
    is_50_50_outcome: bool = False
    seconds_delay: LooseDecimal = None
    tokens: tuple[ClobTokenPayload, ...] = ()


class FeeDetailPayload(Payload):
    """`fd` of the compact market."""

    rate: Decimal = Field(alias="r")
    exponent: Decimal = Field(default=Decimal(1), alias="e")


class CompactMarketPayload(Payload):
    """`GET /clob-markets/{condition}`."""

    min_tick: OptionalDecimal = Field(default=None, alias="mts")
    min_shares: OptionalDecimal = Field(default=None, alias="mos")
    neg_risk: bool = Field(default=False, alias="nr")
    fee: FeeDetailPayload | None = Field(default=None, alias="fd")
    seconds_delay: LooseDecimal = Field(default=None, alias="sd")
    short_hold: bool | None = Field(default=None, alias="itode")


class MarketOfTokenPayload(Payload):
    """`GET /markets-by-token/{token}`."""

    condition_id: str


class PlacePayload(Payload):
    """Reply of `POST /order`; every member may be missing, null or empty."""

    success: bool | None = None
    order_id: str | None = Field(default=None, alias="orderID")
    status: str | None = None
    error_msg: str | None = Field(default=None, alias="errorMsg")
    making_amount: OptionalDecimal = Field(default=None, alias="makingAmount")
    taking_amount: OptionalDecimal = Field(default=None, alias="takingAmount")
    trade_ids: Annotated[tuple[str, ...], BeforeValidator(_null_is_empty)] = Field(
        default=(), alias="tradeIDs"
    )


class RefusalPayload(Payload):
    """The body of a refusal: what is odd beside its words must not hide them."""

    error: LooseText = ""
    code: LooseText = ""
    retry_after_seconds: LooseDecimal = None


class CancelPayload(Payload):
    """Reply of every cancel."""

    canceled: Annotated[tuple[str, ...], BeforeValidator(_null_is_empty)] = ()
    not_canceled: Annotated[dict[str, str], BeforeValidator(lambda value: value or {})] = Field(
        default_factory=dict[str, str]
    )


class OrderPayload(Payload):
    """An order of `/data/order`, `/data/orders`, and the user socket."""

    id: str
    status: str
    market: str
    asset_id: str
    side: str
    original_size: OptionalDecimal = None
    size_matched: ZeroableDecimal = Decimal(0)
    price: Decimal
    order_type: str = ""
    created_at: Annotated[OptionalText, BeforeValidator(_blank_is_none)] = None
    expiration: Annotated[OptionalText, BeforeValidator(_blank_is_none)] = None


class MakerOrderPayload(Payload):
    """One resting order's part of a trade."""

    order_id: str
    owner: str = ""
    maker_address: str = ""
    matched_amount: Decimal
    price: Decimal
    asset_id: str
    outcome: str = ""
    side: str | None = None  # missing in older records


class TradePayload(Payload):
    """A trade of `/data/trades` and the user socket; the top level describes the taker."""

    id: str
    taker_order_id: str
    market: str
    asset_id: str
    side: str
    size: Decimal
    price: Decimal
    status: str
    match_time: Text
    owner: str = ""
    maker_address: str = ""
    maker_orders: tuple[MakerOrderPayload, ...] = ()
    trader_side: str = ""
    transaction_hash: str | None = None


class CursorPayload(Payload):
    """What every page ends with."""

    next_cursor: str


class EventPayload(Payload):
    """What every event of the user socket is known by; older trade frames have `type` alone."""

    event_type: str = ""
    type: str = ""


class OrderPagePayload(Payload):
    """A page of orders."""

    data: tuple[OrderPayload, ...]
    next_cursor: str


class TradePagePayload(Payload):
    """A page of trades."""

    data: tuple[TradePayload, ...]
    next_cursor: str


class MarketPagePayload(Payload):
    """A page of CLOB markets."""

    data: tuple[ClobMarketPayload, ...]
    next_cursor: str


class BalancePayload(Payload):
    """`GET /balance-allowance`: integers of 6 decimals as strings."""

    balance: int
    allowances: dict[str, int] = Field(default_factory=dict[str, int])
    allowance: int | None = None


class ClosedOnlyPayload(Payload):
    """`GET /auth/ban-status/closed-only`."""

    closed_only: bool


class HeartbeatPayload(Payload):
    """Reply of ``POST /v1/heartbeats``, refused or not: the id that the next one must carry."""

    heartbeat_id: str


class ApiKeyPayload(Payload):
    """Reply of creating or deriving an API key."""

    api_key: SecretStr = Field(alias="apiKey")
    secret: SecretStr
    passphrase: SecretStr


class DataPositionPayload(Payload):
    """A position of the Data API (v1)."""

    wallet: str = Field(alias="proxyWallet")
    token_id: Text = Field(alias="asset")
    condition_id: str = Field(alias="conditionId")
    shares: Decimal = Field(alias="size")
    average_price: Decimal = Field(alias="avgPrice")
    redeemable: bool = False


class DataTradePayload(Payload):
    """A trade of the Data API (v1)."""

    wallet: str = Field(alias="proxyWallet")
    side: str
    token_id: Text = Field(alias="asset")
    condition_id: str = Field(alias="conditionId")
    shares: Decimal = Field(alias="size")
    price: Decimal
    timestamp: int
    transaction_hash: str = Field(default="", alias="transactionHash")


class TimePayload(Payload):
    """`GET /time` where it answers an object."""

    time: OptionalText = None
    timestamp: OptionalText = None


class FeeRatePayload(Payload):
    """`GET /fee-rate`: a leftover of V1, not the fee."""

    base_fee: Decimal


class PostedOrderPayload(Payload):
    """The `order` member of a request body, as the venue echoes it."""

    salt: int
    maker: str
    signer: str
    token_id: str = Field(alias="tokenId")
    maker_amount: int = Field(alias="makerAmount")
    taker_amount: int = Field(alias="takerAmount")
    side: str
    signature_type: int = Field(alias="signatureType")
    timestamp: int
    signature: str
