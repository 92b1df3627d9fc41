"""A rule whose workflow was terminated, taken over by another workflow of the same id."""

from dataclasses import replace
from decimal import Decimal

from temporalio.common import WorkflowIDReusePolicy

from domain import messages
from domain.ids import VenueOrderId, exit_order_id
from domain.messages import ClaimedAttempt, ExecutionCarry, RuleCarry, RulePhase, RuleStatus
from domain.orders import AnswerKind
from tests.fakes.exchange import FakeExchange, accepts, answers, fills
from tests.workflows.floor import STOP, TARGET, Floor, RunningRule, quick
from workflows.rule import Rule

D = Decimal


async def adopted(floor: Floor, rule: RunningRule, **changes) -> RunningRule:
    """Terminates the rule's workflow and starts another by its row, as an adoption does."""
    await rule.handle.terminate("by hand")
    row = floor.exchange.rule
    values = {
        "generation": row.generation,
        "version": row.version,
        "episode": row.episode,
        "holding": floor.exchange.holding(),
        "instrument": floor.exchange.instrument,
        "definition": row.definition,
        "sold_shares": D(0),
        "proceeds_usd": D(0),
        "fee_usd": D(0),
        "armed_at": row.created_at,
        "fired": row.fired,
        "adopts": True,
    }
    start = replace(rule.start, carry=RuleCarry(**{**values, **changes}))
    handle = await floor.client.start_workflow(
        Rule.run,
        start,
        id=rule.handle.id,
        task_queue=floor.task_queue,
        id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
    )
    floor.started.append(handle)
    return RunningRule(floor, start, handle)


async def test_an_adopted_rule_watches_again_as_its_next_generation(floor: Floor, exchange: FakeExchange):
    rule = await floor.arm()
    before = exchange.rule.version
    again = await adopted(floor, rule)
    answer = await again.create()

    assert (answer.status, answer.phase) == (RuleStatus.ACTIVE, RulePhase.ARMED)
    assert (exchange.rule.generation, exchange.watch.generation, exchange.watch.armed) == (2, 2, True)
    assert exchange.rule.version > before
    assert exchange.kinds == ["rule.armed", "rule.adopted", "rule.armed"]

    await again.cross("0.39", generation=2)
    assert (await again.result()).status is RuleStatus.TRIGGERED
    assert exchange.sold == D(10)


async def test_an_adopted_rule_goes_on_with_the_order_that_is_out(floor: Floor, exchange: FakeExchange):
    exchange.script(accepts())
    rule = await floor.arm(tuning=quick(fallback_ms=10_000))
    await rule.cross("0.39")
    await exchange.until(lambda: bool(exchange.orders))
    again = await adopted(floor, rule)
    assert (await again.create()).status is RuleStatus.TRIGGERED
    await exchange.fill("10")
    answer = await again.result()

    assert (answer.status, answer.sold_shares) == (RuleStatus.TRIGGERED, D(10))
    assert len({(a.order_id, a.attempt) for a in exchange.attempts}) == 1
    assert exchange.rule.sold_shares == D(10)


async def test_an_exit_is_found_by_its_claim_when_the_row_never_heard_of_it(
    floor: Floor, exchange: FakeExchange
):
    exchange.script(fills("4"))
    exchange.bids = [("0.55", "1000")]
    rule = await floor.arm(TARGET)
    await rule.cross("0.60")
    await exchange.event("rule.rearmed")
    again = await adopted(floor, rule, generation=1)
    await again.create()
    await exchange.until(lambda: exchange.kinds.count("rule.rearmed") == 2)

    assert exchange.rule.sold_shares == D(4)
    assert exchange.watch.shares == D(6)
    assert exchange.sold == D(4)


async def test_a_blocked_exit_goes_on_after_its_adoption(floor: Floor, exchange: FakeExchange):
    exchange.script(answers(AnswerKind.BLOCKED))
    rule = await floor.arm(tuning=quick(blocked_retry_ms=60_000))
    await rule.cross("0.39")
    await exchange.until(lambda: exchange.rule.phase is RulePhase.BLOCKED)
    again = await adopted(floor, rule)
    answer = await again.result()

    assert (answer.status, answer.sold_shares) == (RuleStatus.TRIGGERED, D(10))
    assert {a.order_id for a in exchange.attempts} == {exit_order_id(rule.start.rule_id, 1)}


async def test_what_earlier_exits_sold_is_not_forgotten(floor: Floor, exchange: FakeExchange):
    rule = await floor.arm(STOP, action={"type": "SELL_PARTIAL", "amount": 7})
    again = await adopted(floor, rule, sold_shares=D(4), proceeds_usd=D(2))
    await again.create()
    assert exchange.watch.shares == D(3)
    await again.cross("0.39", generation=2)
    answer = await again.result()

    assert (answer.sold_shares, exchange.sold) == (D(7), D(3))


async def test_a_position_that_was_closed_meanwhile_ends_the_rule(floor: Floor, exchange: FakeExchange):
    rule = await floor.arm()
    exchange.hold("0")
    again = await adopted(floor, rule)
    answer = await again.result()

    assert (answer.status, answer.detail) == (RuleStatus.CANCELED, "position_closed")
    assert not exchange.watch.armed


async def test_a_rule_that_waits_for_its_position_goes_on_waiting(floor: Floor, exchange: FakeExchange):
    exchange.hold("0")
    rule = await floor.arm(STOP, expect_position=True)
    again = await adopted(floor, rule, episode=0)
    await again.create()
    assert not exchange.watch.armed
    await again.holds("5")
    await exchange.until(lambda: exchange.watch.armed)

    assert exchange.watch.shares == D(5)


async def test_a_rule_that_is_asked_for_its_rows_writes_them_again(floor: Floor, exchange: FakeExchange):
    rule = await floor.arm()
    before = exchange.rule.version
    await rule.handle.signal(messages.SIGNAL_SHOW)
    await exchange.until(lambda: exchange.rule.version > before)

    assert exchange.rule.phase is RulePhase.ARMED


async def test_an_adopted_rule_follows_to_what_was_bought_meanwhile(floor: Floor, exchange: FakeExchange):
    percent = {"type": "stop_loss", "percent": "10"}
    rule = await floor.arm(percent, follow_token=True)
    exchange.open_next()
    exchange.hold("20")
    again = await adopted(floor, rule)
    await again.create()

    assert "rule.follows" in exchange.kinds
    assert (exchange.watch.armed, exchange.watch.shares) == (True, D(20))


async def test_an_adopted_rule_counts_what_an_unconfirmed_exit_before_it_sold(
    floor: Floor, exchange: FakeExchange
):
    exchange.script(fills("4", confirmed=False))
    exchange.bids = [("0.55", "1000")]
    rule = await floor.arm(TARGET)
    await rule.cross("0.60")
    await exchange.event("rule.rearmed")
    again = await adopted(floor, rule, former=(left_behind(exchange),))
    await again.create()
    exchange.bids = [("0.60", "1000")]
    await exchange.confirm()
    await again.cross("0.60", generation=exchange.watch.generation)
    answer = await again.result()

    assert (answer.status, exchange.rule.sold_shares) == (RuleStatus.TRIGGERED, D(10))


def left_behind(exchange: FakeExchange) -> ExecutionCarry:
    """The exit of the only attempt so far, as an adoption hands it on."""
    attempt = exchange.attempts[0]
    return ExecutionCarry(
        order_id=attempt.order_id,
        settled_attempt=1,
        version=0,
        fruitless=0,
        filled_shares=D(0),
        notional_usd=D(0),
        fee_usd=D(0),
        attempts=(
            ClaimedAttempt(
                attempt=attempt, venue_order_id=VenueOrderId("0x1"), settled=True, last_post_at_ms=0
            ),
        ),
    )
