"""The venue's refusals, word for word (error table of the venue's documentation, 2026-10)."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Refusal(Exception):
    """An answer that is not a success.

    Args:
        status: HTTP status.
        text: value of ``error``.
        extra: further members of the JSON body.
        keeps_id: the order's id stays occupied although nothing was placed.
    """

    status: int
    text: str
    extra: dict[str, object] = field(default_factory=dict[str, object])
    headers: dict[str, str] = field(default_factory=dict[str, str])
    keeps_id: bool = False

    def __str__(self) -> str:
        """Returns the venue's text."""
        return self.text

    def body(self) -> dict[str, object]:
        """Returns the JSON body of the answer."""
        return {"error": self.text, **self.extra}


UNAUTHORIZED = "Unauthorized/Invalid api key"
INVALID_L1 = "Invalid L1 Request headers"
INVALID_PAYLOAD = "Invalid order payload"
INVALID_ORDER_ID = "Invalid orderID"
INVALID_SIGNATURE = "invalid signature"
VERSION_MISMATCH = "order_version_mismatch"
FOREIGN_OWNER = "the order owner has to be the owner of the API KEY"
FOREIGN_SIGNER = "the order signer address has to be the address of the API KEY"
MAKER_NOT_ALLOWED = "maker address not allowed, please use the deposit wallet flow"
NO_BOOK_FOR_ORDER = "the orderbook does not exist"
NOT_READY = "the market is not yet ready to process new orders"
NO_BOOK = "No orderbook exists for the requested token id"
MARKET_NOT_FOUND = "market not found"
INVALID_EXPIRATION = "invalid expiration"
POST_ONLY_CROSSES = "invalid post-only order: order crosses book"
POST_ONLY_TYPE = "invalid post-only order: only GTC and GTD order types are allowed"
FOK_KILLED = "order couldn't be fully filled. FOK orders are fully filled or killed."
FAK_UNMATCHED = (
    "no orders found to match with FAK order. FAK orders are partially filled or killed if no match is found."
)
LIMIT_ACCURACY = (
    "invalid amounts, the {side} orders {usd} amount supports a max accuracy of {usd_places} decimals, "
    "{size} amount a max of 2 decimals"
)
MARKET_ACCURACY = (
    "invalid amounts, the market {side} orders maker amount supports a max accuracy of 2 decimals, "
    "taker amount a max of 4 decimals"
)
DISABLED = "Trading is currently disabled. Check polymarket.com for updates"
CANCEL_ONLY = "Trading is currently cancel-only. New orders are not accepted, but cancels are allowed."
POST_ONLY_MODE = "post-only mode: only post-only orders and cancels are allowed"
SERVICE_NOT_READY = "service not ready"
TOO_MANY_REQUESTS = "Too Many Requests"
KEY_EXISTS = "Could not create api key"
KEY_MISSING = "Could not derive api key!"
ALREADY_DONE = "already canceled or matched"
ORDER_NOT_FOUND = "order not found"
ORDER_HELD = "order is delayed and can't be canceled"
"""Undocumented: only the fact is documented, not the text."""


def bad(text: str, *, keeps_id: bool = False) -> Refusal:
    """Returns a refusal with HTTP 400."""
    return Refusal(400, text, keeps_id=keeps_id)


def duplicated(order_id: str) -> Refusal:
    """The same signed order came before: it is registered, whatever became of it."""
    return bad(f"order {order_id} is invalid. Duplicated.")


def off_tick(order_id: str, price: str, tick: str) -> Refusal:
    """The implied price is not a multiple of the tick, or outside tick..1 − tick."""
    return bad(f"order {order_id} is invalid. Price ({price}) breaks minimum tick size rule: {tick}")


def too_small(order_id: str, size: str, minimum: str) -> Refusal:
    """Fewer shares than ``min_order_size``."""
    return bad(f"order {order_id} is invalid. Size ({size}) lower than the minimum: {minimum}")


def below_dollar(side: str, amount: str, minimum: str) -> Refusal:
    """A marketable order below the minimum notional."""
    return bad(f"invalid amount for a marketable {side} order (${amount}), min size: ${minimum}")


def short_balance(balance: int, active: int, amount: int, *, keeps_id: bool) -> Refusal:
    """The wallet cannot cover the order; amounts are six-decimal integers, as the venue writes them."""
    sums = f", sum of active orders: {active}" if active else ""
    return bad(
        "not enough balance / allowance: the balance is not enough -> "
        f"balance: {balance}{sums}, order amount: {amount}",
        keeps_id=keeps_id,
    )


def short_allowance(amount: int, *, keeps_id: bool) -> Refusal:
    """The wallet has not approved the exchange."""
    return bad(
        "not enough balance / allowance: the allowance is not enough -> "
        f"allowance: 0, order amount: {amount}",
        keeps_id=keeps_id,
    )


def banned(address: str) -> Refusal:
    """The venue has banned the address."""
    return bad(f"'{address}' address banned")


def closed_only(address: str) -> Refusal:
    """The address may close positions but not open any."""
    return bad(f"'{address}' address in closed only mode")


def too_many(count: int, limit: int) -> Refusal:
    """A batch above the limit."""
    return bad(f"Too many orders in payload: {count}, max allowed: {limit}")
