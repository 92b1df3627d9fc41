"""Wallets: holdings, allowances, and the lagging view that the venue's cache has of them."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Credit:
    """A received amount that the venue's cache does not show before its time."""

    asset: str
    amount: int
    visible_ms: int
    trade_id: str


@dataclass(slots=True)
class Wallet:
    """One funder wallet; holdings in millionths by asset."""

    address: str
    signer: str
    signature_type: int
    approved: bool = True
    closed_only: bool = False
    banned: bool = False
    holdings: dict[str, int] = field(default_factory=dict[str, int])
    costs: dict[str, int] = field(default_factory=dict[str, int])
    """pUSD paid for the present holding of a token; the Data API shows it as average price."""
    bought: dict[str, int] = field(default_factory=dict[str, int])
    realized: dict[str, int] = field(default_factory=dict[str, int])
    fees_paid: int = 0
    credits: list[Credit] = field(default_factory=list[Credit])

    def holding(self, asset: str) -> int:
        """Returns what the chain shows."""
        return self.holdings.get(asset, 0)

    def visible(self, asset: str, now_ms: int) -> int:
        """Returns what the venue's cache shows, which orders are judged by."""
        hidden = sum(c.amount for c in self.credits if c.asset == asset and c.visible_ms > now_ms)
        return self.holding(asset) - hidden

    def move(self, asset: str, amount: int) -> None:
        """Adds to a holding; a reversal may push it below zero."""
        self.holdings[asset] = self.holding(asset) + amount

    def hide(self, asset: str, amount: int, visible_ms: int, trade_id: str) -> None:
        """Keeps a fresh credit out of the cached view until ``visible_ms``."""
        self.credits.append(Credit(asset, amount, visible_ms, trade_id))

    def forget_credits(self, *, trade_id: str | None = None, before_ms: int | None = None) -> None:
        """Drops hidden credits of a trade, or those whose time has come."""
        self.credits = [
            c
            for c in self.credits
            if not (c.trade_id == trade_id or (before_ms is not None and c.visible_ms <= before_ms))
        ]

    def note_buy(self, token_id: str, shares: int, usd: int) -> None:
        """Books a purchase for the Data API's average price."""
        self.costs[token_id] = self.costs.get(token_id, 0) + usd
        self.bought[token_id] = self.bought.get(token_id, 0) + shares

    def note_sell(self, token_id: str, shares: int, usd: int) -> None:
        """Books a sale; call it before the shares have moved."""
        held = self.holding(token_id)
        cost = self.costs.get(token_id, 0)
        part = cost * shares // held if held > 0 else 0
        self.costs[token_id] = cost - part
        self.realized[token_id] = self.realized.get(token_id, 0) + usd - part
