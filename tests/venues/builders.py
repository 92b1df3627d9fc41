"""Values that venue tests share."""

from decimal import Decimal

from domain.ids import AccountId, MarketId, OrderId, TokenId, WalletId, attempt_salt
from domain.money import to_micros
from domain.orders import Attempt, Mode, Purpose, Side, TimeInForce, WalletIdentity

KEY = "0x" + "11" * 32
ADDRESS = "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A"
TOKEN = TokenId("71321045679252212594626385532706912750332728571942532289631379312455583992563")
CONDITION = MarketId("0xdd22472e552920b8438158ea7238bfadfa4f736aa4cee91a6b86c39ead110917")
CHAIN = 137


def make_wallet(**changes: object) -> WalletIdentity:
    values: dict[str, object] = {
        "wallet_id": WalletId("wal_1"),
        "signer": ADDRESS,
        "funder": ADDRESS,
        "signature_type": 0,
        "chain_id": CHAIN,
    }
    return WalletIdentity(**(values | changes))  # type: ignore[arg-type]


def make_attempt(**changes: object) -> Attempt:
    """Return a SELL of 10 shares at 0.40, FAK; amounts follow `shares` and `limit_price` unless given."""
    values: dict[str, object] = {
        "order_id": OrderId("ord_1"),
        "attempt": 1,
        "account_id": AccountId("acc_1"),
        "venue": "polymarket",
        "mode": Mode.LIVE,
        "market_id": CONDITION,
        "token_id": TOKEN,
        "side": Side.SELL,
        "purpose": Purpose.EXIT,
        "time_in_force": TimeInForce.FAK,
        "post_only": False,
        "shares": Decimal(10),
        "limit_price": Decimal("0.40"),
        "timestamp_ms": 1795246965626,
        "expiration_s": 0,
        "tick": Decimal("0.01"),
        "neg_risk": False,
        "wallet": make_wallet(),
    } | changes
    shares, price = values["shares"], values["limit_price"]
    assert isinstance(shares, Decimal)
    assert isinstance(price, Decimal)
    usd, size = to_micros(shares * price), to_micros(shares)
    if values["side"] is Side.BUY:
        usd, size = size, usd
    values.setdefault("maker_amount", size)
    values.setdefault("taker_amount", usd)
    values.setdefault("salt", attempt_salt(OrderId(str(values["order_id"])), int(str(values["attempt"]))))
    return Attempt(**values)  # type: ignore[arg-type]
