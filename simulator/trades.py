"""Trades: executions, their life cycle and the transfers that a failure takes back."""

from dataclasses import dataclass
from enum import StrEnum

from simulator.orders import Side

COLLATERAL = "pUSD"
"""Asset name of the collateral inside transfers; token ids name the others."""
FEES = "fees"
"""Account that receives taker fees."""
PAIRS = "pairs"
"""Account that locks the collateral of minted outcome pairs."""


class TradeStatus(StrEnum):
    """States of a trade (order life cycle page, 2026)."""

    MATCHED = "MATCHED"
    MINED = "MINED"
    CONFIRMED = "CONFIRMED"
    RETRYING = "RETRYING"
    FAILED = "FAILED"

    @property
    def final(self) -> bool:
        """Whether nothing follows."""
        return self in (TradeStatus.CONFIRMED, TradeStatus.FAILED)


NEXT_STATUSES: dict[TradeStatus, frozenset[TradeStatus]] = {
    TradeStatus.MATCHED: frozenset(
        {TradeStatus.MINED, TradeStatus.CONFIRMED, TradeStatus.RETRYING, TradeStatus.FAILED}
    ),
    TradeStatus.MINED: frozenset({TradeStatus.CONFIRMED, TradeStatus.RETRYING, TradeStatus.FAILED}),
    TradeStatus.RETRYING: frozenset({TradeStatus.MATCHED, TradeStatus.MINED, TradeStatus.FAILED}),
    TradeStatus.CONFIRMED: frozenset(),
    TradeStatus.FAILED: frozenset(),
}


@dataclass(frozen=True, slots=True)
class Transfer:
    """A change of one account's holding of one asset, in millionths."""

    account: str
    asset: str
    amount: int


@dataclass(frozen=True, slots=True)
class MakerFill:
    """The part of one resting order in a trade; price and side are of its own token."""

    order_id: str
    owner: str
    account: str
    wallet: str
    token_id: str
    outcome: str
    side: Side
    shares: int
    price: int


@dataclass(slots=True)
class Trade:
    """One execution of a taker order at one price against one or more makers."""

    id: str
    number: int
    condition_id: str
    token_id: str
    outcome: str
    side: Side
    shares: int
    price: int
    usd: int
    fee: int
    taker_order_id: str
    taker_owner: str
    taker_account: str
    taker_wallet: str
    makers: list[MakerFill]
    transfers: list[Transfer]
    matched_ms: int
    updated_ms: int
    status: TradeStatus = TradeStatus.MATCHED
    transaction_hash: str = ""
    bucket_index: int = 0

    def involves(self, account: str) -> bool:
        """Whether the signer address took part on either side."""
        return self.taker_account == account or any(maker.account == account for maker in self.makers)
