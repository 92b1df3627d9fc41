"""Booking facts and telling those whom they concern."""

import asyncio
from dataclasses import replace
from decimal import Decimal

import pytest

from domain.errors import StorageUnavailable
from domain.fills import EntryKind, Fill, FillState
from domain.ids import RuleId, adopting_order_id
from domain.messages import RulePhase, RuleRow, RuleStatus, Severity
from domain.orders import Mode, Purpose, Side
from domain.quotes import PriceRules, Quote
from domain.rules.crossing import Crossing
from domain.rules.definition import ConditionType, RuleDefinition
from domain.rules.levels import resolve
from storage.repositories.ledger import Booked, Reversed
from tests.activities.floor import Desk, make_ref
from tests.domain.builders import ACCOUNT, KEY, MARKET, START, TOKEN, make_entry
from tests.fakes.trading import WALLET, make_holding

HOST = "rule/rul_1"
D = Decimal


@pytest.fixture
def desk() -> Desk:
    return Desk()


async def book(desk: Desk, booked: Booked | None = None) -> Booked:
    if booked is not None:
        desk.ledger.next.append(booked)
    return await desk.ingest.book(ACCOUNT, "polymarket", Mode.LIVE)


def reversal(*, side=Side.SELL, host=HOST) -> Booked:
    entry = make_entry("fill_1", side, "4", "2", kind=EntryKind.REVERSAL)
    return Booked(
        new_entries=1,
        changed_positions=((KEY, make_holding("4", version=2)),),
        hosts=(host,),
        reversals=(Reversed(entry=entry, order_id="ord_1", host_workflow_id=host),),
    )


def make_rule(status=RuleStatus.TRIGGERED, *, condition="stop_loss", price="0.40", floor=None) -> RuleRow:
    definition = RuleDefinition.model_validate(
        {"conditions": [{"type": condition, "price": price}], "floor": floor}
    )
    return RuleRow(
        rule_id=RuleId("rul_1"),
        account_id=ACCOUNT,
        mode=Mode.LIVE,
        venue="polymarket",
        market_id=MARKET,
        token_id=TOKEN,
        status=status,
        phase=RulePhase.DONE,
        definition=definition,
        resolved=resolve(
            definition, None, armed_at=START, opened_at=None, market_end=None, rules=PriceRules()
        ),
        sentence="",
        generation=1,
        episode=1,
        entry_price=None,
        fired=Crossing(
            rule_id="rul_1",
            generation=1,
            condition_index=0,
            condition=ConditionType(condition),
            level=D(price),
            quote=Quote(None, None, None),
            price=D(price),
            mark=None,
            confirm_count=1,
            beyond_since_ms=None,
            observed_at_ms=0,
            venue_timestamp_ms=None,
        ),
        order_id=None,
        sold_shares=D(10),
        residual_shares=D(0),
        dust_shares=D(0),
        proceeds_usd=D(4),
        fee_usd=D(0),
        detail="",
        fingerprint="f",
        version=1,
        created_at=START,
    )


async def test_what_is_known_already_tells_nobody(desk: Desk):
    desk.rules.open = ["rul_1"]
    await book(desk)

    assert desk.signals.updates == {}
    assert desk.signals.positions == []


async def test_hosts_are_told_of_their_orders_and_rules_of_their_position(desk: Desk):
    desk.rules.open = ["rul_1", "rul_2"]
    held = make_holding("3", version=2)
    await book(desk, Booked(new_entries=1, changed_positions=((KEY, held),), hosts=(HOST, "order/ord_9")))

    assert desk.signals.updates == {HOST: 1, "order/ord_9": 1}
    # The host reads the holding with its order's facts; one message is enough.
    assert desk.signals.positions == [("rul_2", held)]


async def test_host_that_awaits_the_venue_s_answer_is_not_told_what_it_learns_with_it(desk: Desk):
    desk.rules.open = ["rul_1", "rul_2"]
    desk.ledger.sending = {HOST}
    held = make_holding("3", version=2)
    facts = Booked(new_entries=1, changed_positions=((KEY, held),), hosts=(HOST,), sending=("0x1",))
    await book(desk, facts)
    assert (desk.signals.updates, desk.signals.positions) == ({}, [("rul_2", held)])

    desk.ledger.sending = set()  # the answer was written down between the booking and the look
    await book(desk, facts)
    assert desk.signals.updates == {HOST: 1}


async def test_host_is_told_to_be_sure_when_nobody_can_say_whether_its_answer_is_written(desk: Desk):
    async def away(venue_order_ids):
        raise StorageUnavailable("away")

    desk.ledger.still_sending = away
    await book(desk, Booked(new_entries=1, hosts=(HOST,), sending=("0x1",)))
    assert desk.signals.updates == {HOST: 1}


async def test_reversal_is_told_to_a_host_that_awaits_an_answer_too(desk: Desk):
    desk.ledger.sending = {HOST}
    await book(desk, replace(reversal(), sending=("0x1",)))
    assert desk.signals.updates == {HOST: 1}


async def test_what_temporal_could_not_take_is_told_after_a_later_booking(desk: Desk):
    desk.rules.open = ["rul_2"]
    held = make_holding("3", version=2)
    desk.signals.away = True
    booked = await book(desk, Booked(new_entries=1, changed_positions=((KEY, held),), hosts=(HOST,)))
    assert booked.new_entries == 1

    desk.signals.away = False
    await book(desk)
    assert desk.signals.updates == {HOST: 1}
    assert desk.signals.positions == [("rul_2", held)]
    await book(desk)
    assert desk.signals.updates == {HOST: 1}


async def test_a_reversal_with_a_living_host_is_the_hosts_business(desk: Desk):
    await book(desk, reversal())

    assert desk.signals.updates == {HOST: 1}
    assert desk.signals.adopted == []


async def test_a_reversal_without_a_host_starts_an_adopting_order(desk: Desk):
    desk.signals.closed.add(HOST)
    desk.rules.rows["rul_1"] = make_rule()
    await book(desk, reversal())

    [start] = desk.signals.adopted
    assert start.order_id == adopting_order_id("fill_1", ACCOUNT)
    assert (start.side, start.purpose, start.shares, start.adopts) == (Side.SELL, Purpose.EXIT, D(4), True)
    assert start.limit_price == desk.data.token.tick


@pytest.mark.parametrize(
    ("rule", "lowest"),
    [
        (make_rule(condition="take_profit", price="0.60"), "0.60"),
        (make_rule(floor="0.20"), "0.20"),
    ],
)
async def test_an_adopted_exit_keeps_the_rules_lowest_price(desk: Desk, rule: RuleRow, lowest: str):
    desk.signals.closed.add(HOST)
    desk.rules.rows["rul_1"] = rule
    await book(desk, reversal())

    assert desk.signals.adopted[0].limit_price == D(lowest)


async def test_an_adopted_exit_is_signed_by_the_wallet_that_holds_the_shares_again(desk: Desk):
    former = replace(WALLET, wallet_id="wal_former")
    desk.venues.holders[TOKEN] = former
    desk.signals.closed.add(HOST)
    desk.rules.rows["rul_1"] = make_rule()
    await book(desk, reversal())

    assert desk.signals.adopted[0].wallet == former


async def test_what_comes_back_after_a_cancel_stays_with_its_owner(desk: Desk):
    desk.signals.closed.add(HOST)
    desk.rules.rows["rul_1"] = make_rule(RuleStatus.CANCELED)
    await book(desk, reversal())
    await book(desk, reversal())

    assert desk.signals.adopted == []
    [alarm] = desk.projections.told.values()
    assert (alarm.type, alarm.severity, alarm.rule_id) == ("fill.reversed", Severity.ALARM, "rul_1")
    assert (alarm.data["token_id"], alarm.data["shares"], alarm.account_id) == (TOKEN, "4", ACCOUNT)


async def test_a_purchase_that_is_taken_back_is_not_sold(desk: Desk):
    desk.signals.closed.add(HOST)
    await book(desk, reversal(side=Side.BUY))

    assert desk.signals.adopted == []
    assert [alarm.severity for alarm in desk.projections.told.values()] == [Severity.ALARM]


async def test_an_adoption_that_the_venue_delays_is_made_up_for(desk: Desk):
    desk.signals.closed.add(HOST)
    desk.rules.rows["rul_1"] = make_rule()
    desk.data.away = 1
    await book(desk, reversal())
    assert desk.signals.adopted == []

    await book(desk)
    assert len(desk.signals.adopted) == 1


async def test_a_reversal_whose_telling_is_cut_off_is_adopted_after_a_later_booking(desk: Desk):
    desk.signals.closed.add(HOST)
    desk.rules.rows["rul_1"] = make_rule()
    under_way, never = asyncio.Event(), asyncio.Event()

    async def held(host):
        under_way.set()
        await never.wait()

    answers, desk.signals.order_update = desk.signals.order_update, held
    cut = asyncio.create_task(book(desk, reversal()))
    await under_way.wait()
    cut.cancel()
    await asyncio.gather(cut, return_exceptions=True)
    desk.signals.order_update = answers
    await book(desk)

    assert len(desk.signals.adopted) == 1


async def test_a_look_up_books_the_order_with_its_own_fills_only(desk: Desk):
    ref = make_ref()
    own = make_fill(ref.venue_order_id)
    desk.trading.all_fills = [own, make_fill("0xother")]
    assert await desk.ingest.look_up(ref) is None

    assert desk.ledger.bookings == [((own,), ())]


async def test_a_look_up_that_finds_nothing_books_nothing(desk: Desk):
    assert await desk.ingest.look_up(make_ref()) is None
    assert desk.ledger.bookings == []


def make_fill(venue_order_id):
    return Fill(
        fill_key=f"fill-{venue_order_id}",
        venue_order_id=venue_order_id,
        market_id=MARKET,
        token_id=TOKEN,
        side=Side.SELL,
        shares=D(1),
        notional_usd=D("0.4"),
        fee_usd=D(0),
        state=FillState.PROVISIONAL,
        traded_at=START,
    )
