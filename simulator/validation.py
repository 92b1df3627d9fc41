"""Checks of an order that need no book: shape, owner, ticks, decimals, minimums, expiry."""

from collections.abc import Callable
from fractions import Fraction
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, StringConstraints, TypeAdapter, ValidationError

from simulator import refusals
from simulator.markets import Market
from simulator.money import MICRO, fraction_text, to_micro, to_text
from simulator.orders import OrderType, Side, SignedOrder, Submission
from simulator.refusals import bad
from simulator.settings import Settings
from simulator.signatures import OrderFields

Address = Annotated[str, StringConstraints(pattern=r"^0x[0-9a-fA-F]{40}$")]
Bytes32 = Annotated[str, StringConstraints(pattern=r"^0x[0-9a-fA-F]{64}$")]
Digits = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,78}$")]
Hex = Annotated[str, StringConstraints(pattern=r"^0x[0-9a-fA-F]*$")]

T = TypeVar("T")

CENT = 10_000
"""Two decimals, in millionths."""
HUNDREDTH_CENT = 100
"""Four decimals, in millionths."""


class OrderBody(BaseModel):
    """``order`` inside the body; only salt and signatureType are numbers."""

    model_config = ConfigDict(strict=True, extra="allow")

    salt: int
    maker: Address
    signer: Address
    tokenId: Digits
    makerAmount: Digits
    takerAmount: Digits
    side: Literal["BUY", "SELL"]
    expiration: Digits
    signatureType: int
    timestamp: Digits
    metadata: Bytes32
    builder: Bytes32
    signature: Hex


class SubmissionBody(BaseModel):
    """Body of ``POST /order`` and entry of ``POST /orders``."""

    model_config = ConfigDict(strict=True)

    order: OrderBody
    owner: str
    orderType: Literal["GTC", "GTD", "FOK", "FAK"] = "GTC"
    postOnly: bool = False
    deferExec: bool = False


class _VersionOneOrder(BaseModel):
    """What only orders of the first protocol carry."""

    nonce: str | int
    feeRateBps: str | int


class _VersionOneBody(BaseModel):
    order: _VersionOneOrder


_BATCH = TypeAdapter(list[object])


def parse_submission(body: bytes) -> Submission:
    """Returns the submitted order.

    Raises:
        Refusal: not a payload of this protocol.
    """
    return _parsed(body, SubmissionBody.model_validate_json)


def parse_batch(body: bytes) -> list[object]:
    """Returns the entries of a batch, unparsed.

    Raises:
        Refusal: no list, or an empty one.
    """
    try:
        entries = _BATCH.validate_json(body)
    except ValidationError as error:
        raise bad(refusals.INVALID_PAYLOAD) from error
    if not entries:
        raise bad(refusals.INVALID_PAYLOAD)
    return entries


def parse_entry(entry: object) -> Submission:
    """Returns one order of a batch.

    Raises:
        Refusal: not a payload of this protocol.
    """
    return _parsed(entry, SubmissionBody.model_validate)


def _parsed(source: T, validate: Callable[[T], SubmissionBody]) -> Submission:
    try:
        body = validate(source)
    except ValidationError as error:
        raise bad(_shape_text(source)) from error
    if (
        not 0 <= body.order.salt < 2**256
        or int(body.order.makerAmount) == 0
        or int(body.order.takerAmount) == 0
    ):
        raise bad(refusals.INVALID_PAYLOAD)
    return Submission(_signed(body.order), body.owner, OrderType(body.orderType), body.postOnly)


def _shape_text(source: object) -> str:
    try:
        if isinstance(source, bytes):
            _VersionOneBody.model_validate_json(source)
        else:
            _VersionOneBody.model_validate(source)
    except ValidationError:
        return refusals.INVALID_PAYLOAD
    return refusals.VERSION_MISMATCH


def _signed(body: OrderBody) -> SignedOrder:
    return SignedOrder(
        salt=str(body.salt),
        maker=body.maker,
        signer=body.signer,
        token_id=body.tokenId,
        maker_amount=int(body.makerAmount),
        taker_amount=int(body.takerAmount),
        side=Side(body.side),
        signature_type=body.signatureType,
        timestamp=body.timestamp,
        metadata=body.metadata,
        builder=body.builder,
        expiration=int(body.expiration),
        signature=body.signature,
    )


def signed_fields(signed: SignedOrder) -> OrderFields:
    """Returns what enters the digest: the expiration does not."""
    return OrderFields(
        salt=int(signed.salt),
        maker=signed.maker,
        signer=signed.signer,
        token_id=signed.token_id,
        maker_amount=signed.maker_amount,
        taker_amount=signed.taker_amount,
        side=0 if signed.side is Side.BUY else 1,
        signature_type=signed.signature_type,
        timestamp=int(signed.timestamp),
        metadata=bytes.fromhex(signed.metadata[2:]),
        builder=bytes.fromhex(signed.builder[2:]),
    )


def check_terms(
    submission: Submission, market: Market, settings: Settings, order_id: str, now_ms: int
) -> int:
    """Checks everything about an order that the book does not decide.

    Returns:
        The limit price in millionths; for a market order the grid price nearest to the implied one.

    Raises:
        Refusal: with the venue's text.
    """
    _check_post_only_type(submission)
    _check_expiration(submission, settings, now_ms)
    if submission.order_type.immediate:
        price = _check_market_terms(submission, market, order_id)
    else:
        price = _check_limit_terms(submission.signed, market, order_id)
    _check_minimums(submission, market, settings, order_id)
    return price


def check_marketable_minimum(signed: SignedOrder, settings: Settings) -> None:
    """Refuses a marketable order below the minimum notional.

    Raises:
        Refusal: with the amount in dollars.
    """
    text = (
        settings.marketable_buy_minimum_usd
        if signed.side is Side.BUY
        else settings.marketable_sell_minimum_usd
    )
    if signed.usd < to_micro(text):
        raise refusals.below_dollar(signed.side.value, to_text(signed.usd), text)


def _check_post_only_type(submission: Submission) -> None:
    if submission.post_only and submission.order_type.immediate:
        raise bad(refusals.POST_ONLY_TYPE)


def _check_expiration(submission: Submission, settings: Settings, now_ms: int) -> None:
    expiration = submission.signed.expiration
    if submission.order_type is OrderType.GTD:
        if expiration < now_ms // 1000 + settings.gtd_minimum_s:
            raise bad(refusals.INVALID_EXPIRATION)
    elif expiration != 0:
        raise bad(refusals.INVALID_EXPIRATION)


def _check_limit_terms(signed: SignedOrder, market: Market, order_id: str) -> int:
    price = signed.limit * MICRO
    if price.denominator != 1 or not market.fits_tick(int(price)):
        raise refusals.off_tick(order_id, fraction_text(signed.limit), market.tick_size)
    places = _decimals(market.tick) + 2
    if signed.shares % CENT or signed.usd % 10 ** (6 - places):
        usd, size = ("maker", "taker") if signed.side is Side.BUY else ("taker", "maker")
        text = refusals.LIMIT_ACCURACY.format(
            side=signed.side.value.lower(), usd=usd, usd_places=places, size=size
        )
        raise bad(text)
    return int(price)


def _check_market_terms(submission: Submission, market: Market, order_id: str) -> int:
    signed = submission.signed
    if signed.maker_amount % CENT or signed.taker_amount % HUNDREDTH_CENT:
        raise bad(refusals.MARKET_ACCURACY.format(side=signed.side.value.lower()))
    price = round(signed.limit * MICRO / market.tick) * market.tick
    if not market.fits_tick(price) or not _implies(signed, price):
        raise refusals.off_tick(order_id, fraction_text(signed.limit), market.tick_size)
    return price


def _implies(signed: SignedOrder, price: int) -> bool:
    """Four decimals of the taker amount may bend a market order's price off the grid, no more."""
    if signed.side is Side.BUY:
        ideal = Fraction(signed.maker_amount * MICRO, price)
    else:
        ideal = Fraction(signed.maker_amount * price, MICRO)
    return abs(signed.taker_amount - ideal) < HUNDREDTH_CENT


def _check_minimums(submission: Submission, market: Market, settings: Settings, order_id: str) -> None:
    immediate = submission.order_type.immediate
    if immediate and not settings.minimum_size_for_market_orders:
        return
    if submission.signed.shares < market.minimum_size:
        raise refusals.too_small(order_id, to_text(submission.signed.shares), market.min_order_size)


def _decimals(tick: int) -> int:
    text = to_text(tick)
    return len(text.partition(".")[2])
