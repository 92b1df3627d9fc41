"""Another account sees nothing: every read method of the repositories is asked as a stranger."""

import inspect
from collections.abc import Awaitable, Callable

import pytest

from domain.ids import AccountId, OrderId, RuleId
from domain.messages import OrderProjection, RulePhase, RuleStatus
from domain.orders import Mode
from domain.positions import PositionKey
from storage.records import Page
from storage.repositories.accounts import Accounts
from storage.repositories.audit import Audit
from storage.repositories.events import Events
from storage.repositories.ledger_entries import NOTHING_HELD
from storage.repositories.orders import Orders
from storage.repositories.positions import Positions
from storage.repositories.rules import Rules
from tests.storage.builders import VENUE, Store, order_id, pass_visible_edge, rule_id

# Reads for the system's own work: they name no account on purpose and no route calls them.
SYSTEM_READS = {
    "all_open",
    "quiet_exits",
    "may_be_held",
    "waiting_at",
    "open_rule_ids",
    "find_any",
    "watch_of",
    "untold",
    "concerned_by",
    "listen",
    "busy_accounts",
}


class Owned:
    """What one account has in every table that accounts read."""

    def __init__(self, store: Store, rule: RuleId, order: OrderId, ended: RuleId) -> None:
        self.store, self.rule, self.order, self.ended = store, rule, order, ended


@pytest.fixture
async def owned(store: Store) -> Owned:
    rule, order, ended = rule_id(), order_id(), rule_id()
    await store.hold("10")
    await store.projections.apply(
        store.rule_projection(rule, events=(store.event("e", rule=rule),)),
        OrderProjection(order=store.order_row(order), events=(store.event("e", order=order),)),
    )
    await store.projections.apply(
        store.rule_projection(ended, status=RuleStatus.CANCELED, phase=RulePhase.DONE, armed=None)
    )
    await store.granted(store.attempt(order_id(), "1"))
    await pass_visible_edge(store.database)
    return Owned(store, rule, order, ended)


@pytest.fixture
async def stranger(store: Store) -> AccountId:
    return (await Accounts(store.database).create("stranger")).account_id


Read = Callable[[Owned, AccountId], Awaitable[object]]


def _key(owned: Owned, account: AccountId) -> PositionKey:
    return PositionKey(account_id=account, venue=VENUE, mode=Mode.PAPER, token_id=owned.store.token_id)


READS: dict[str, Read] = {
    "Rules.get": lambda o, a: Rules(o.store.database).get(a, o.rule),
    "Rules.ended_at": lambda o, a: Rules(o.store.database).ended_at(a, o.ended),
    "Rules.page": lambda o, a: Rules(o.store.database).page(a),
    "Rules.count_by_status": lambda o, a: Rules(o.store.database).count_by_status(a),
    "Rules.count_by_phase": lambda o, a: Rules(o.store.database).count_by_phase(a),
    "Rules.open_rules_on": lambda o, a: Rules(o.store.database).open_rules_on(_key(o, a)),
    "Orders.get": lambda o, a: Orders(o.store.database).get(a, o.order),
    "Orders.page": lambda o, a: Orders(o.store.database).page(a),
    "Positions.get": lambda o, a: Positions(o.store.database).get(_key(o, a)),
    "Positions.page": lambda o, a: Positions(o.store.database).page(a),
    "Positions.entries": lambda o, a: Positions(o.store.database).entries(a),
    "Events.page": lambda o, a: Events(o.store.database).page(a),
    "Events.after": lambda o, a: Events(o.store.database).after(a, 0),
    "Events.newest": lambda o, a: Events(o.store.database).newest(a),
    "Ledger.holding": lambda o, a: o.store.ledger.holding(_key(o, a)),
    "Ledger.unsettled_orders": lambda o, a: o.store.ledger.unsettled_orders(a, VENUE, Mode.PAPER),
    "Claims.unsettled_of": lambda o, a: o.store.claims.unsettled_of(a, VENUE, Mode.PAPER, o.store.token_id),
}


def shows_something(answer: object) -> bool:
    if isinstance(answer, Page):
        return answer.total > 0 or bool(answer.items)
    if isinstance(answer, dict):
        return any(answer.values())
    return answer != NOTHING_HELD and bool(answer)


@pytest.mark.parametrize("name", READS)
async def test_owner_sees_it_and_a_stranger_does_not(owned: Owned, stranger: AccountId, name: str) -> None:
    assert shows_something(await READS[name](owned, owned.store.account_id))
    assert not shows_something(await READS[name](owned, stranger))


async def test_stranger_reads_no_audit_lines_but_its_own(owned: Owned, stranger: AccountId) -> None:
    lines = await Audit(owned.store.database).page(stranger)
    assert {line.account_id for line in lines} == {stranger}


@pytest.mark.parametrize("repository", [Rules, Orders, Positions, Events])
def test_every_read_of_a_repository_is_in_the_table_above(repository: type) -> None:
    methods = {
        name
        for name, member in inspect.getmembers(repository, inspect.iscoroutinefunction)
        if not name.startswith("_")
    }
    listed = {name.partition(".")[2] for name in READS if name.startswith(f"{repository.__name__}.")}
    assert methods - SYSTEM_READS == listed
