"""Switches of the exchange. What the venue does not document is a switch with its default here."""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field


class TradeMode(StrEnum):
    """Who moves trades along their life cycle."""

    AUTO = "auto"
    MANUAL = "manual"


class LimitMode(StrEnum):
    """Whether a limiter counts, and what it does to what is too much."""

    OFF = "off"
    WARNING = "warning"
    """As the venue runs it since 2026-07-24: the answer carries a warning, the request passes."""
    ENFORCED = "enforced"


class PriceSide(StrEnum):
    """What ``GET /price?side=BUY`` means; the sources disagree."""

    BEST_BID = "best_bid"
    PAID = "paid"


class Settings(BaseModel):
    """Every switch; changed by ``POST /settings`` and kept over a restart."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    trade_mined_ms: int = Field(default=50, ge=0)
    trade_confirmed_ms: int = Field(default=100, ge=0)
    trade_mode: TradeMode = TradeMode.AUTO
    balance_lag_ms: int = Field(default=0, ge=0)
    """Bought tokens and received pUSD count for new orders only after this long."""
    balance_refusal_keeps_id: bool = False
    """Undocumented: whether an order refused for its balance occupies its id."""
    post_only_refusal_keeps_id: bool = False
    """Undocumented: the same for a post-only order that would cross."""
    hmac_window_s: int | None = Field(default=60, ge=0)
    """Largest age of an auth timestamp either way; None accepts any. The venue's window is not published."""
    marketable_buy_minimum_usd: str = "1"
    marketable_sell_minimum_usd: str = "0"
    """The documented text names BUY orders alone."""
    minimum_size_for_market_orders: bool = False
    """Whether ``min_order_size`` binds FOK and FAK as well; the documents name resting orders."""
    budget_as_original_size: bool = True
    """Reported: FOK/FAK BUY orders show their pUSD budget as ``original_size``."""
    price_side: PriceSide = PriceSide.BEST_BID
    gtd_minimum_s: int = Field(default=180, ge=0)
    gtd_early_s: int = Field(default=60, ge=0)
    short_hold_ms: int = Field(default=150, ge=0)
    """How long the call waits in markets with a short hold; the changelog says 150, other pages 250."""
    batch_limit: int = Field(default=15, ge=1)
    cancel_limit: int = Field(default=1000, ge=1)
    """One page of the venue says 1,000, another 3,000."""
    page_size: int = Field(default=100, ge=1)
    book_after_trade: bool = True
    socket_idle_ms: int = Field(default=30_000, ge=0)
    """A socket without PING for this long is dropped; 0 keeps it. The venue's time is not published."""
    signer_limits: LimitMode = LimitMode.OFF
    """Token buckets of each signer, those of the standard tier unless said otherwise."""
    signer_tier: str = "standard"
    orders_per_s: int = Field(default=40, ge=1)
    orders_burst: int = Field(default=60, ge=1)
    cancels_per_s: int = Field(default=80, ge=1)
    cancels_burst: int = Field(default=120, ge=1)
    network_limits: bool = False
    """Windows of each network address (``simulator.limits.NETWORK_TABLE``)."""
    network_per_10_s: dict[str, int] = Field(default_factory=dict[str, int])
    """Limits in place of the table's, by ``METHOD /path``; ``*`` is all of the CLOB together."""
    network_delay_ms: int = Field(default=2_000, ge=0)
    """What would be delayed for longer is refused. Neither figure nor order is documented."""
    heartbeat_limit_ms: int = Field(default=10_000, ge=1)
    """A key that began to send heartbeats loses its open orders after this long without one."""
    heartbeat_check_ms: int = Field(default=5_000, ge=1)
    deposit_wallet_only: bool = False
    """Accounts since 2026-05-04: refuse wallets of types 0 to 2 with the venue's text."""
