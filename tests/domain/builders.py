"""Values of the domain with everything filled in that a test does not care about."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from domain.exits import ExitRequest, OrderRequest
from domain.fills import EntryKind, LedgerEntry
from domain.ids import AccountId, MarketId, OrderId, TokenId, VenueOrderId, WalletId
from domain.orders import (
    Attempt,
    Instrument,
    MarketState,
    Mode,
    Purpose,
    Side,
    TimeInForce,
    WalletIdentity,
)
from domain.positions import PositionKey
from domain.quotes import Ladder, Level

D = Decimal
ACCOUNT = AccountId("acc_1")
MARKET = MarketId("0xmarket")
TOKEN = TokenId("71321")
START = datetime(2026, 1, 1, tzinfo=UTC)
KEY = PositionKey(account_id=ACCOUNT, venue="polymarket", mode=Mode.LIVE, token_id=TOKEN)
WALLET = WalletIdentity(
    wallet_id=WalletId("wal_1"), signer="0xsigner", funder="0xfunder", signature_type=0, chain_id=137
)


def make_entry(fill_key, side, shares, usd, *, fee="0", kind=EntryKind.FILL, at=0, order="0xorder"):
    """An entry of the ledger; `at` is in seconds."""
    return LedgerEntry(
        account_id=ACCOUNT,
        venue="polymarket",
        mode=Mode.LIVE,
        kind=kind,
        fill_key=fill_key,
        market_id=MARKET,
        token_id=TOKEN,
        side=side,
        shares=D(shares),
        notional_usd=D(usd),
        fee_usd=D(fee),
        venue_order_id=VenueOrderId(order),
        traded_at=START + timedelta(seconds=at),
    )


def make_instrument(tick="0.01", *, min_shares="5", state=MarketState.OPEN, venue="polymarket"):
    return Instrument(
        venue=venue,
        market_id=MARKET,
        token_id=TOKEN,
        tick=D(tick),
        min_shares=D(min_shares),
        neg_risk=False,
        state=state,
    )


def make_ladder(*levels):
    return Ladder(tuple(Level(D(price), D(size)) for price, size in levels))


def make_attempt(order="ord_1", attempt=1, shares="10", **changes):
    """A FAK exit that sells `shares` at 0.40, unless told otherwise."""
    values = {
        "order_id": OrderId(order),
        "attempt": attempt,
        "account_id": ACCOUNT,
        "venue": "polymarket",
        "mode": Mode.LIVE,
        "market_id": MARKET,
        "token_id": TOKEN,
        "side": Side.SELL,
        "purpose": Purpose.EXIT,
        "time_in_force": TimeInForce.FAK,
        "post_only": False,
        "shares": D(shares),
        "limit_price": D("0.4"),
        "maker_amount": int(D(shares) * 10**6),
        "taker_amount": int(D(shares) * 4 * 10**5),
        "salt": 7,
        "timestamp_ms": 1_767_225_600_000,
        "expiration_s": 0,
        "tick": D("0.01"),
        "neg_risk": False,
        "wallet": WALLET,
    }
    return Attempt(**{**values, **changes})


def make_exit(**changes):
    """A request to sell 10 shares into a deep book at 0.40."""
    values = {
        "order_id": OrderId("ord_1"),
        "attempt": 1,
        "account_id": ACCOUNT,
        "venue": "polymarket",
        "mode": Mode.LIVE,
        "wallet": WALLET,
        "instrument": make_instrument(),
        "wanted_shares": D(10),
        "available_shares": D(10),
        "ladder": make_ladder(("0.40", "1000")),
        "reference_price": D("0.41"),
        "slippage_points": D("0.05"),
        "floor": None,
        "lowest": None,
        "timestamp_ms": 1_767_225_600_000,
    }
    return ExitRequest(**{**values, **changes})


def make_order(**changes):
    """A request for a GTC BUY of 10 shares at 0.40."""
    values = {
        "order_id": OrderId("ord_1"),
        "attempt": 1,
        "account_id": ACCOUNT,
        "venue": "polymarket",
        "mode": Mode.LIVE,
        "wallet": WALLET,
        "instrument": make_instrument(),
        "side": Side.BUY,
        "purpose": Purpose.ENTRY,
        "time_in_force": TimeInForce.GTC,
        "shares": D(10),
        "budget_usd": None,
        "limit_price": D("0.40"),
        "timestamp_ms": 1_767_225_600_000,
    }
    return OrderRequest(**{**values, **changes})
