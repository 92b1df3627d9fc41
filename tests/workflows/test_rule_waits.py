"""Rules that were armed before there was a position: what time decides, and when."""

from datetime import timedelta
from decimal import Decimal

from domain.messages import RuleStatus
from tests.domain.builders import START
from tests.fakes.exchange import FakeExchange
from tests.workflows.floor import STOP, Floor, quick
from tests.workflows.test_rule_adoption import adopted
from tests.workflows.test_rule_ends import in_ms

D = Decimal
HELD_A_SECOND = {"type": "max_hold", "seconds": 1}
LATER = START + timedelta(days=20_000)


async def test_no_time_is_due_before_the_expected_position_is_held(floor: Floor, exchange: FakeExchange):
    exchange.hold("0")
    rule = await floor.start_rule(
        STOP, {"type": "at", "time": in_ms(200)}, expect_position=True, expires_at=in_ms(500)
    )

    assert (await rule.result()).status is RuleStatus.EXPIRED
    assert "rule.triggered" not in exchange.kinds


async def test_a_time_that_passed_is_due_once_the_expected_position_is_held(
    floor: Floor, exchange: FakeExchange
):
    exchange.hold("0")
    rule = await floor.arm(STOP, {"type": "at", "time": in_ms(-1_000)}, expect_position=True)
    await rule.holds("10")
    answer = await rule.result()

    assert (answer.status, answer.sold_shares) == (RuleStatus.TRIGGERED, D(10))


async def test_max_hold_counts_from_the_opening_of_the_expected_position(
    floor: Floor, exchange: FakeExchange
):
    exchange.hold("0")
    rule = await floor.arm(STOP, HELD_A_SECOND, expect_position=True)
    exchange.opened_at = LATER
    await rule.holds("10")
    await exchange.until(lambda: exchange.watch.armed)

    assert exchange.rule.resolved.next_time() == LATER + timedelta(seconds=1)
    await rule.cross("0.39")
    assert (await rule.result()).sold_shares == D(10)


async def test_a_new_run_counts_the_age_of_a_position_that_may_come_back_from_its_opening(
    floor: Floor, exchange: FakeExchange
):
    exchange.hold("0")
    rule = await floor.arm(STOP, HELD_A_SECOND, expect_position=True, tuning=quick(max_history_events=12))
    first = await rule.run_id()
    exchange.opened_at = LATER
    exchange.sold_by_others = D(10)
    for shares in ("11", "12", "0"):  # sold elsewhere, and not confirmed
        await rule.holds(shares)
        await exchange.until(lambda shares=shares: exchange.watch.shares == D(shares))
    await rule.patch(STOP, HELD_A_SECOND, expect_position=True)

    assert await rule.run_id() != first
    assert exchange.rule.resolved.next_time() == LATER + timedelta(seconds=1)


async def test_an_adopted_rule_protects_what_was_bought_meanwhile(floor: Floor, exchange: FakeExchange):
    exchange.hold("0")
    rule = await floor.arm(STOP, expect_position=True)
    exchange.hold("5")  # while no workflow lived that could hear of it
    again = await adopted(floor, rule, episode=0)
    await again.create()
    assert exchange.watch.shares == D(5)
    await again.holds("0")

    assert (await again.result()).detail == "position_closed"
