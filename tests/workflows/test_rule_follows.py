"""A rule that follows its token from one position to the next."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from domain import messages
from domain.messages import PositionChanged, RulePhase, RuleStatus
from tests.domain.builders import START
from tests.fakes.exchange import FakeExchange, reduced
from tests.workflows.floor import Floor, RunningRule, quick

D = Decimal
PERCENT_STOP = {"type": "stop_loss", "percent": "10"}
TRAIL = {"type": "trailing_stop", "percent": "10"}
HELD_AN_HOUR = {"type": "max_hold", "seconds": 3600}


async def buys_anew(rule: RunningRule, shares: str, entry: str | None) -> None:
    """The position was sold elsewhere; another one was bought."""
    await rule.holds("0")
    rule.exchange.episode, rule.exchange.opened_at = 2, START + timedelta(days=20_000)
    held = replace(rule.exchange.hold(shares), average_entry=D(entry) if entry is not None else None)
    await rule.handle.signal(messages.SIGNAL_POSITION_CHANGED, PositionChanged(holding=held))


async def test_percent_levels_are_those_of_the_new_entry(floor: Floor, exchange: FakeExchange):
    rule = await floor.arm(PERCENT_STOP, follow_token=True)
    assert exchange.rule.resolved.conditions[0].level == D("0.45")
    await buys_anew(rule, "20", "0.8")
    await exchange.event("rule.follows")

    row, watch = exchange.rule, exchange.watch
    assert (row.resolved.conditions[0].level, row.entry_price, row.episode) == (D("0.72"), D("0.8"), 2)
    assert (watch.generation, watch.shares, watch.armed) == (2, D(20), True)
    await rule.cross("0.71", generation=2, level=D("0.72"))
    assert (await rule.result()).sold_shares == D(20)


async def test_a_crossing_of_the_former_level_is_judged_by_the_new_one(floor: Floor, exchange: FakeExchange):
    rule = await floor.arm(PERCENT_STOP, follow_token=True)
    await buys_anew(rule, "20", "0.3")
    await exchange.event("rule.follows")
    await rule.cross("0.44", generation=1, level=D("0.45"))
    await exchange.event("crossing.refused")

    assert (exchange.rule.status, exchange.attempts) == (RuleStatus.ACTIVE, [])


async def test_a_trail_begins_with_a_new_mark(floor: Floor, exchange: FakeExchange):
    rule = await floor.arm(TRAIL, follow_token=True)
    await buys_anew(rule, "20", "0.8")
    await exchange.event("rule.follows")

    assert (exchange.watch.generation, exchange.watch.marks_from) == (2, 2)


async def test_the_age_is_that_of_the_new_position(floor: Floor, exchange: FakeExchange):
    rule = await floor.arm(PERCENT_STOP, HELD_AN_HOUR, follow_token=True, holding=young(exchange))
    await buys_anew(rule, "20", "0.8")
    await exchange.event("rule.follows")

    assert exchange.rule.resolved.next_time() == START + timedelta(days=20_000, hours=1)


async def test_levels_that_cannot_be_resolved_stay_and_alarm(floor: Floor, exchange: FakeExchange):
    rule = await floor.arm(PERCENT_STOP, follow_token=True)
    await buys_anew(rule, "20", None)
    await exchange.event("rule.levels_kept")

    assert exchange.rule.resolved.conditions[0].level == D("0.45")
    assert exchange.alarms == ["rule.levels_kept"]


async def test_the_new_levels_outlive_a_new_run(floor: Floor, exchange: FakeExchange):
    rule = await floor.arm(PERCENT_STOP, follow_token=True, tuning=quick(max_history_events=12))
    first = await rule.run_id()
    await buys_anew(rule, "20", "0.8")
    await exchange.event("rule.follows")
    for shares in ("21", "22", "23"):
        held = replace(exchange.hold(shares), average_entry=D("0.8"))
        await rule.handle.signal(messages.SIGNAL_POSITION_CHANGED, PositionChanged(holding=held))
        await exchange.until(lambda shares=shares: exchange.watch.shares == D(shares))

    assert exchange.rule.resolved.conditions[0].level == D("0.72")
    assert await rule.run_id() != first


async def test_an_exit_that_waits_lets_its_rule_follow_to_the_next_position(
    floor: Floor, exchange: FakeExchange
):
    exchange.script(reduced("0"))
    rule = await floor.arm(PERCENT_STOP, follow_token=True)
    await rule.cross("0.44", level=D("0.45"))
    await exchange.until(lambda: exchange.rule.phase is RulePhase.WAITING)
    exchange.open_next()
    await rule.holds("20")
    await exchange.event("rule.follows")

    assert (exchange.rule.status, exchange.sold) == (RuleStatus.ACTIVE, 0)
    assert (exchange.watch.armed, exchange.watch.shares) == (True, D(20))


async def test_a_rule_that_follows_nothing_ends_with_its_position(floor: Floor, exchange: FakeExchange):
    rule = await floor.arm(PERCENT_STOP)
    await buys_anew(rule, "20", "0.8")

    assert (await rule.result()).status is RuleStatus.CANCELED


def young(exchange: FakeExchange):
    return replace(exchange.holding(), opened_at=START + timedelta(days=10_000))
