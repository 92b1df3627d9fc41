"""A position whose number in the ledger changes, since the ledger learned late of older trades."""

from datetime import timedelta
from decimal import Decimal

from domain.messages import RulePhase, RuleStatus
from tests.domain.builders import START
from tests.fakes.exchange import FakeExchange, reduced
from tests.workflows.floor import TARGET, Floor, RunningRule, quick
from tests.workflows.test_rule_adoption import adopted

D = Decimal
TRAIL = {"type": "trailing_stop", "percent": "10"}


async def renumbered(rule: RunningRule, shares: str = "10") -> None:
    """An older round trip is booked, which makes the position the next one by its number."""
    rule.exchange.learn_of_an_older_round_trip()
    await rule.holds(shares)
    await rule.exchange.until(lambda: rule.exchange.rule.episode == rule.exchange.episode)


async def test_an_armed_rule_goes_on_when_its_position_is_numbered_anew(floor: Floor, exchange: FakeExchange):
    rule = await floor.arm()
    await renumbered(rule)
    assert (exchange.rule.phase, exchange.watch.armed) == (RulePhase.ARMED, True)
    await rule.cross("0.39")

    assert (await rule.result()).sold_shares == D(10)


async def test_an_exit_under_way_sells_a_position_that_is_numbered_anew(floor: Floor, exchange: FakeExchange):
    exchange.script(reduced("0"))
    rule = await floor.arm()
    await rule.cross("0.39")
    await exchange.until(lambda: exchange.rule.phase is RulePhase.WAITING)
    exchange.learn_of_an_older_round_trip()
    await rule.holds("10")
    answer = await rule.result()

    assert (answer.status, exchange.sold) == (RuleStatus.TRIGGERED, D(10))


async def test_the_next_position_is_known_behind_one_that_was_numbered_anew(
    floor: Floor, exchange: FakeExchange
):
    rule = await floor.arm()
    await renumbered(rule)
    exchange.open_next()
    await rule.holds("50")
    answer = await rule.result()

    assert (answer.status, answer.detail) == (RuleStatus.CANCELED, "position_closed")


async def test_the_next_position_is_known_though_it_bears_the_number_that_the_former_one_had(
    floor: Floor, exchange: FakeExchange
):
    exchange.episode = 2
    rule = await floor.arm()
    exchange.episode = 1  # the venue took back what had closed the one before
    await rule.holds("12")
    await exchange.until(lambda: exchange.rule.episode == 1)
    exchange.open_next()
    await rule.holds("50")

    assert (await rule.result()).detail == "position_closed"


async def test_a_followed_position_that_is_numbered_anew_keeps_its_mark(floor: Floor, exchange: FakeExchange):
    rule = await floor.arm(TRAIL, follow_token=True)
    await renumbered(rule)

    assert "rule.follows" not in exchange.kinds
    assert (exchange.watch.generation, exchange.watch.marks_from) == (1, 0)


async def test_a_sale_before_the_rule_that_is_learned_of_late_leaves_it_armed(
    floor: Floor, exchange: FakeExchange
):
    exchange.opened_at = START - timedelta(days=1)  # the rule was made at START
    rule = await floor.arm()
    exchange.opened_at = START - timedelta(hours=1)
    await renumbered(rule)

    assert (exchange.rule.phase, exchange.watch.armed) == (RulePhase.ARMED, True)


async def test_a_sale_behind_the_rule_that_is_learned_of_late_ends_it(floor: Floor, exchange: FakeExchange):
    rule = await floor.arm()
    exchange.opened_at = START + timedelta(hours=1)
    exchange.learn_of_an_older_round_trip()
    await rule.holds("10")

    assert (await rule.result()).detail == "position_closed"


async def test_a_rule_armed_on_nothing_knows_its_position_by_when_it_was_opened(
    floor: Floor, exchange: FakeExchange
):
    exchange.hold("0")
    rule = await floor.arm(expect_position=True)
    exchange.open_next()
    await rule.holds("10")
    await renumbered(rule)

    assert (exchange.rule.phase, exchange.watch.shares) == (RulePhase.ARMED, D(10))


async def test_a_position_is_known_again_in_a_new_run(floor: Floor, exchange: FakeExchange):
    exchange.hold("0")
    rule = await floor.arm(TARGET, expect_position=True, tuning=quick(max_history_events=12))
    first = await rule.run_id()
    exchange.open_next()
    for shares in ("11", "12", "13"):
        await rule.holds(shares)
        await exchange.until(lambda shares=shares: exchange.watch.shares == D(shares))
    await renumbered(rule)

    assert await rule.run_id() != first
    assert (exchange.rule.phase, exchange.watch.armed) == (RulePhase.ARMED, True)


async def test_an_adopted_rule_knows_its_position_by_when_the_rule_was_made(
    floor: Floor, exchange: FakeExchange
):
    rule = await floor.arm()
    exchange.learn_of_an_older_round_trip()
    again = await adopted(floor, rule)
    answer = await again.create()

    assert (answer.status, exchange.watch.armed) == (RuleStatus.ACTIVE, True)
