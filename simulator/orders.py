"""Orders: what a trader signed and what became of it."""

from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from fractions import Fraction

from simulator.money import MICRO


class Side(StrEnum):
    """Direction of an order, in the words of the wire."""

    BUY = "BUY"
    SELL = "SELL"

    @property
    def opposite(self) -> "Side":
        """The other direction."""
        return Side.SELL if self is Side.BUY else Side.BUY


class OrderType(StrEnum):
    """Time in force."""

    GTC = "GTC"
    GTD = "GTD"
    FOK = "FOK"
    FAK = "FAK"

    @property
    def immediate(self) -> bool:
        """FOK and FAK never rest and follow the 2/4 decimals rule."""
        return self in (OrderType.FOK, OrderType.FAK)


class SignatureType(IntEnum):
    """Wallet kinds whose signatures are checked."""

    EOA = 0
    POLY_PROXY = 1
    POLY_GNOSIS_SAFE = 2
    POLY_1271 = 3
    """Deposit wallet: a contract that signs for itself, by its owner's key."""


class OrderStatus(StrEnum):
    """Order states of REST and user socket; the POST reply writes some of them in lower case."""

    LIVE = "LIVE"
    DELAYED = "DELAYED"
    """Held for a while before it meets the book; it binds its balance and cannot be cancelled."""
    UNMATCHED = "UNMATCHED"
    """The hold is over, nothing matched, the order rests."""
    MATCHED = "MATCHED"
    CANCELED = "CANCELED"
    CANCELED_MARKET_RESOLVED = "CANCELED_MARKET_RESOLVED"
    INVALID = "INVALID"


@dataclass(frozen=True, slots=True)
class SignedOrder:
    """The signed payload, as received; amounts in millionths."""

    salt: str
    maker: str
    signer: str
    token_id: str
    maker_amount: int
    taker_amount: int
    side: Side
    signature_type: int
    timestamp: str
    metadata: str
    builder: str
    expiration: int
    signature: str

    @property
    def shares(self) -> int:
        """Shares named by the order."""
        return self.taker_amount if self.side is Side.BUY else self.maker_amount

    @property
    def usd(self) -> int:
        """PUSD named by the order."""
        return self.maker_amount if self.side is Side.BUY else self.taker_amount

    @property
    def limit(self) -> Fraction:
        """Worst acceptable price, exact, in pUSD per share."""
        return Fraction(self.usd, self.shares)


@dataclass(frozen=True, slots=True)
class Submission:
    """A signed order with the unsigned fields that travel beside it."""

    signed: SignedOrder
    owner: str
    order_type: OrderType
    post_only: bool


@dataclass(slots=True)
class Order:
    """An order the exchange has registered; it is never forgotten, nor is its id."""

    id: str
    signed: SignedOrder
    owner: str
    account: str
    """Signer address: every API key of it sees the order."""
    wallet: str
    condition_id: str
    token_index: int
    order_type: OrderType
    post_only: bool
    price: int
    """Limit price in millionths, rounded where a market order implies a finer one."""
    sequence: int
    created_ms: int
    status: OrderStatus = OrderStatus.LIVE
    reason: str = ""
    filled: int = 0
    usd_filled: int = 0
    trade_ids: list[str] = field(default_factory=list[str])
    held_until_ms: int = 0
    """When a held order meets the book; zero for those that were never held."""

    @property
    def spends_budget(self) -> bool:
        """A market BUY spends its pUSD and takes as many shares as that buys."""
        return self.signed.side is Side.BUY and self.order_type.immediate

    @property
    def remaining(self) -> int:
        """Unfilled shares; of a market BUY unspent pUSD."""
        if self.spends_budget:
            return self.signed.usd - self.usd_filled
        return self.signed.shares - self.filled

    @property
    def open(self) -> bool:
        """Whether it may still trade: it rests in the book, or is held before it."""
        return self.resting or self.status is OrderStatus.DELAYED

    @property
    def resting(self) -> bool:
        """Whether it stands in the book."""
        return self.status in (OrderStatus.LIVE, OrderStatus.UNMATCHED)

    @property
    def bids(self) -> bool:
        """Whether it stands on the bid side of the first outcome's price space."""
        return (self.signed.side is Side.BUY) == (self.token_index == 0)

    @property
    def book_price(self) -> int:
        """Price in the first outcome's space; a bid for NO at q is an ask for YES at 1 − q."""
        return self.price if self.token_index == 0 else MICRO - self.price
