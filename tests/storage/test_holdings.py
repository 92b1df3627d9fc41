"""What is read of holdings: places to compare, origins of positions, the report of adjustments."""

from datetime import timedelta
from decimal import Decimal

from domain.ids import TokenId, WalletId
from domain.orders import Mode, WalletIdentity
from domain.outside import HoldingsPlace, LedgerToken, Origin
from storage.repositories.accounts import Accounts
from storage.repositories.holdings import Holdings
from storage.repositories.ledger import Booked
from storage.repositories.positions import Positions
from storage.repositories.wallets import Wallets
from tests.storage.builders import START, VENUE, Store, rule_id


async def adjust(store: Store, ledger: str, venue: str, key: str = "one") -> Booked:
    return await store.ledger.adjust(
        store.key,
        store.market_id,
        ledger_shares=Decimal(ledger),
        venue_shares=Decimal(venue),
        price=Decimal("0.50"),
        at=START + timedelta(minutes=5),
        adjustment_key=f"{store.token_id}/{key}",
    )


async def origin(store: Store) -> Origin:
    position = await Positions(store.database).get(store.key)
    assert position is not None
    return (await Holdings(store.database).origins(store.account_id, [position]))[store.key]


async def test_only_accounts_that_went_live_with_a_wallet_are_compared(store: Store) -> None:
    holdings, place = Holdings(store.database), HoldingsPlace(account_id=store.account_id, venue=VENUE)
    identity = WalletIdentity(
        wallet_id=WalletId(f"wal_{store.account_id}"),
        signer="0x1",
        funder="0x1",
        signature_type=0,
        chain_id=137,
    )
    await Wallets(store.database).add(store.account_id, VENUE, identity)
    assert place not in await holdings.places()
    accounts = Accounts(store.database)
    await accounts.set_mode(store.account_id, Mode.LIVE, acknowledge_live=True)
    assert place in await holdings.places()
    await accounts.set_mode(store.account_id, Mode.PAPER)
    assert place in await holdings.places(), "what was opened live is live still"


async def test_open_tokens_are_those_that_are_held(store: Store) -> None:
    holdings, place = Holdings(store.database), HoldingsPlace(account_id=store.account_id, venue=VENUE)
    await store.hold("10")
    mode = store.key.mode
    token = LedgerToken(token_id=store.token_id, market_id=store.market_id)
    assert await holdings.open_tokens(place, mode) == [token]
    await adjust(store, "10", "0")
    assert await holdings.open_tokens(place, mode) == []


async def test_shares_that_no_order_of_ours_bought_are_found(store: Store) -> None:
    await adjust(store, "0", "7")
    assert await origin(store) is Origin.FOUND


async def test_an_adjustment_lists_both_numbers_newest_first(store: Store) -> None:
    await store.hold("10")
    await adjust(store, "10", "7", "one")
    await adjust(store, "7", "9", "two")
    holdings = Holdings(store.database)
    report = await holdings.adjustments(store.account_id)
    shown = [(a.side.value, a.shares, a.ledger_shares, a.venue_shares) for a in report.items]
    assert report.total == 2
    assert shown == [("BUY", 2, 7, 9), ("SELL", 3, 10, 7)]
    assert (await holdings.adjustments(store.account_id, limit=1, offset=1)).items == report.items[1:]
    none = await holdings.adjustments(store.account_id, token_id=TokenId("x"))
    assert (none.items, none.total) == ((), 0)


async def test_rules_on_a_position_are_counted_whatever_became_of_them(store: Store) -> None:
    holdings = Holdings(store.database)
    await store.projections.apply(store.rule_projection(rule_id()))
    assert await holdings.rules_ever_on(store.key) == 1
