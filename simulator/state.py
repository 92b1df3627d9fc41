"""Everything the exchange remembers, with its indexes; the journal is its image on disk."""

import secrets
from collections import defaultdict
from dataclasses import dataclass, field

from simulator.auth import ApiKey
from simulator.balances import Wallet
from simulator.book import Book, HouseQuotes
from simulator.journal import Journal, Kind
from simulator.markets import Market
from simulator.orders import Order
from simulator.settings import Settings
from simulator.trades import Trade


@dataclass(slots=True)
class Meta:
    """Counters and secrets of this exchange."""

    chain_id: int
    seed: str = field(default_factory=lambda: secrets.token_hex(16))
    order_sequence: int = 0
    trade_number: int = 0
    market_number: int = 0
    ledger_seq: int = 0
    tape_number: int = 0
    fees: int = 0
    """Taker fees collected, in millionths of pUSD."""
    pairs: int = 0
    """Collateral locked behind minted outcome pairs."""


@dataclass(slots=True)
class StoredSettings:
    """The journal's record of the switches."""

    settings: Settings


class State:
    """Records by id. Whoever changes a record saves it in the same step."""

    def __init__(self, journal: Journal, chain_id: int) -> None:
        self.journal = journal
        self.meta = Meta(chain_id)
        self.settings = Settings()
        self.markets: dict[str, Market] = {}
        self.market_of_token: dict[str, Market] = {}
        self.books: dict[str, Book] = {}
        self.wallets: dict[str, Wallet] = {}
        self.api_keys: dict[str, ApiKey] = {}
        self.orders: dict[str, Order] = {}
        self.open_orders: defaultdict[str, dict[str, Order]] = defaultdict(dict)
        """Orders that may still trade, by lower-case wallet: those that rest, and those that are held."""
        self.orders_of: defaultdict[str, list[Order]] = defaultdict(list)
        """Orders by account, oldest first."""
        self.trades: dict[str, Trade] = {}
        self.trades_of: defaultdict[str, list[Trade]] = defaultdict(list)
        self._load()

    def wallet(self, address: str) -> Wallet:
        """Returns the wallet; an unknown address is an empty EOA wallet."""
        key = address.lower()
        if key not in self.wallets:
            self.wallets[key] = Wallet(address, address, 0)
        return self.wallets[key]

    def save_settings(self, settings: Settings) -> None:
        """Replaces the switches."""
        self.settings = settings
        self.journal.put(Kind.META, "settings", {"settings": settings.model_dump(mode="json")})

    def save_meta(self) -> None:
        """Marks the counters as changed."""
        self.journal.put(Kind.META, "meta", self.meta)

    def save_market(self, market: Market) -> None:
        """Adds or updates a market."""
        if market.condition_id not in self.markets:
            self._index_market(market)
            self.books[market.condition_id] = Book(HouseQuotes(market.condition_id))
        self.journal.put(Kind.MARKET, market.condition_id, market)

    def save_house(self, market: Market) -> None:
        """Marks the house's levels of a market as changed."""
        self.journal.put(Kind.HOUSE, market.condition_id, self.books[market.condition_id].house)

    def save_wallet(self, wallet: Wallet) -> None:
        """Adds or updates a wallet."""
        self.wallets[wallet.address.lower()] = wallet
        self.journal.put(Kind.WALLET, wallet.address.lower(), wallet)

    def save_api_key(self, key: ApiKey) -> None:
        """Adds or updates an API key."""
        self.api_keys[key.key] = key
        self.journal.put(Kind.API_KEY, key.key, key)

    def save_order(self, order: Order) -> None:
        """Adds or updates an order and keeps the index of open orders true."""
        if order.id not in self.orders:
            self.orders[order.id] = order
            self.orders_of[order.account].append(order)
        open_orders = self.open_orders[order.wallet.lower()]
        if order.open:
            open_orders[order.id] = order
        else:
            open_orders.pop(order.id, None)
        self.journal.put(Kind.ORDER, order.id, order)

    def save_trade(self, trade: Trade) -> None:
        """Adds or updates a trade."""
        if trade.id not in self.trades:
            self._index_trade(trade)
        self.journal.put(Kind.TRADE, trade.id, trade)

    def _load(self) -> None:
        for meta in self.journal.load_one(Kind.META, "meta", Meta):
            self.meta = meta
        for stored in self.journal.load_one(Kind.META, "settings", StoredSettings):
            self.settings = stored.settings
        for market in self.journal.load(Kind.MARKET, Market):
            self._index_market(market)
            self.books[market.condition_id] = Book(HouseQuotes(market.condition_id))
        for house in self.journal.load(Kind.HOUSE, HouseQuotes):
            self.books[house.condition_id] = Book(house)
        for wallet in self.journal.load(Kind.WALLET, Wallet):
            self.wallets[wallet.address.lower()] = wallet
        for key in self.journal.load(Kind.API_KEY, ApiKey):
            self.api_keys[key.key] = key
        self._load_orders()
        for trade in sorted(self.journal.load(Kind.TRADE, Trade), key=lambda trade: trade.number):
            self._index_trade(trade)
        self.save_meta()

    def _load_orders(self) -> None:
        for order in sorted(self.journal.load(Kind.ORDER, Order), key=lambda order: order.sequence):
            self.orders[order.id] = order
            self.orders_of[order.account].append(order)
            if order.open:
                self.open_orders[order.wallet.lower()][order.id] = order
            if order.resting:
                self.books[order.condition_id].rest(order)

    def _index_market(self, market: Market) -> None:
        self.markets[market.condition_id] = market
        for token_id in market.token_ids:
            self.market_of_token[token_id] = market

    def _index_trade(self, trade: Trade) -> None:
        self.trades[trade.id] = trade
        for account in {trade.taker_account, *(maker.account for maker in trade.makers)}:
            self.trades_of[account].append(trade)
