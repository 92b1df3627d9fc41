"""The gateway against a real Temporal server, with workflows that answer at once."""

import asyncio
import socket
import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.worker import Worker

from api.problems import Problem
from api.starters import Started, StillGoingOn
from api.temporal_gateway import TemporalGateway
from domain.ids import AccountId, OrderId, RuleId, order_workflow_id, rule_workflow_id
from domain.messages import (
    CancelOrder,
    CancelRule,
    Holding,
    OrderStart,
    PatchRule,
    RuleCarry,
    RuleStart,
    RuleStatus,
)
from domain.orders import Mode, OrderState, Purpose, Side, TimeInForce
from domain.rules.definition import RuleDefinition, StopLoss
from runtime.temporal import workflow_runner
from runtime.temporal_payloads import CONVERTER
from tests.api.fakes import NOW, WALLET, YES, instrument
from tests.api.stand_ins import GOING, StandInOrder, StandInRule

ACCOUNT = AccountId("acc_gateway")
DEFINITION = RuleDefinition(token_id=YES, conditions=(StopLoss(price=Decimal("0.4")),))
LONG, SHORT = timedelta(seconds=20), timedelta(seconds=1)


def rule_start(fingerprint: str = "f") -> RuleStart:
    return RuleStart(
        rule_id=RuleId(f"rul_{uuid.uuid4().hex}"),
        account_id=ACCOUNT,
        mode=Mode.PAPER,
        venue="polymarket",
        definition=DEFINITION,
        fingerprint=fingerprint,
        instrument=instrument(YES),
        wallet=WALLET,
        holding=Holding(
            shares=Decimal(10),
            average_entry=Decimal("0.5"),
            opened_at=NOW,
            episode=1,
            unconfirmed_shares=Decimal(0),
            version=1,
        ),
        created_at=NOW,
    )


def order_start() -> OrderStart:
    return OrderStart(
        order_id=OrderId(f"ord_{uuid.uuid4().hex}"),
        account_id=ACCOUNT,
        mode=Mode.PAPER,
        venue="polymarket",
        instrument=instrument(YES),
        wallet=WALLET,
        side=Side.BUY,
        purpose=Purpose.ENTRY,
        time_in_force=TimeInForce.GTC,
        shares=Decimal(10),
        budget_usd=None,
        limit_price=Decimal("0.5"),
    )


def gateway(client: Client, prefix: str, limit: timedelta = LONG, pace: int = 1000) -> TemporalGateway:
    return TemporalGateway(
        client,
        task_queue=f"{prefix}core",
        task_timeout=timedelta(seconds=10),
        answer_limit=limit,
        starts_per_second=pace,
    )


@asynccontextmanager
async def working(client: Client, prefix: str) -> AsyncGenerator[None]:
    """Run a worker with the stand-ins."""
    async with Worker(
        client,
        task_queue=f"{prefix}core",
        workflows=[StandInRule, StandInOrder],
        workflow_runner=workflow_runner(),
    ):
        yield


async def test_adopted_rule_gets_a_workflow_in_the_place_of_a_terminated_one(
    temporal_client: Client, task_queue_prefix: str
) -> None:
    starter, start = gateway(temporal_client, task_queue_prefix), rule_start()
    handle = temporal_client.get_workflow_handle(rule_workflow_id(start.rule_id))
    carry = RuleCarry(
        generation=1,
        version=7,
        episode=1,
        holding=start.holding,
        instrument=start.instrument,
        definition=DEFINITION,
        sold_shares=Decimal(0),
        proceeds_usd=Decimal(0),
        fee_usd=Decimal(0),
        armed_at=NOW,
        adopts=True,
    )
    async with working(temporal_client, task_queue_prefix):
        await starter.create_rule(start)
        first = (await handle.describe()).run_id
        await handle.terminate("by hand")
        adopted = await starter.adopt_rule(replace(start, carry=carry))
        again = await starter.adopt_rule(replace(start, carry=carry))
        found = await handle.describe()
        await handle.terminate()

    assert (adopted, again) == (Started.READY, Started.READY)
    assert (found.status, found.run_id == first) == (WorkflowExecutionStatus.RUNNING, False)


async def test_rule_starts_once_and_carries_what_operators_search_by(
    temporal_client: Client, task_queue_prefix: str
) -> None:
    starter, start = gateway(temporal_client, task_queue_prefix), rule_start()
    async with working(temporal_client, task_queue_prefix):
        first = await starter.create_rule(start)
        again = await starter.create_rule(start)
        found = await temporal_client.get_workflow_handle(rule_workflow_id(start.rule_id)).describe()
        answer = await starter.cancel_rule(start.rule_id, CancelRule(account_id=ACCOUNT), "k")
        await temporal_client.get_workflow_handle(rule_workflow_id(start.rule_id)).result()
        closed = await starter.create_rule(start)
        late = await starter.cancel_rule(start.rule_id, CancelRule(account_id=ACCOUNT), "k2")

    # The create update of a closed rule is answered from its history.
    assert (first, again, closed) == (Started.READY,) * 3
    attributes = {pair.key.name: pair.value for pair in found.typed_search_attributes}
    assert {"AccountId": ACCOUNT, "Venue": "polymarket", "TokenId": YES, "Kind": "Rule"}.items() <= (
        attributes.items()
    )
    assert found.raw_description.workflow_execution_info.priority.fairness_key == ACCOUNT
    assert found.raw_description.workflow_execution_info.priority.priority_key == 1
    assert answer is not None
    assert answer.status is RuleStatus.CANCELED
    assert late is None


async def test_update_of_another_request_is_a_conflict(
    temporal_client: Client, task_queue_prefix: str
) -> None:
    starter, start = gateway(temporal_client, task_queue_prefix), rule_start()
    async with working(temporal_client, task_queue_prefix):
        await starter.create_rule(start)
        with pytest.raises(Problem) as foreign:
            await starter.cancel_rule(start.rule_id, CancelRule(account_id=AccountId("acc_x")), "k")

    assert foreign.value.status == 404


async def test_without_a_worker_the_start_is_pending_and_is_taken_up_later(
    temporal_client: Client, task_queue_prefix: str
) -> None:
    hasty, start = gateway(temporal_client, task_queue_prefix, SHORT), rule_start()

    pending = await hasty.create_rule(start)
    with pytest.raises(Problem) as unheard:
        await hasty.cancel_rule(start.rule_id, CancelRule(account_id=ACCOUNT), "k")
    async with working(temporal_client, task_queue_prefix):
        ready = await gateway(temporal_client, task_queue_prefix).create_rule(start)

    assert (pending, ready) == (Started.PENDING, Started.READY)
    assert (unheard.value.status, unheard.value.code) == (503, "no_answer_yet")


async def test_accepted_change_that_does_not_end_is_still_going_on(
    temporal_client: Client, task_queue_prefix: str
) -> None:
    patient = gateway(temporal_client, task_queue_prefix)
    hasty, start = gateway(temporal_client, task_queue_prefix, timedelta(seconds=1)), rule_start()
    async with working(temporal_client, task_queue_prefix):
        await patient.create_rule(start)
        with pytest.raises(StillGoingOn):
            await hasty.patch_rule(start.rule_id, PatchRule(account_id=ACCOUNT, definition=DEFINITION), "k")
        await patient.cancel_rule(start.rule_id, CancelRule(account_id=ACCOUNT), "k")


async def test_rule_that_was_terminated_before_it_armed_is_closed(
    temporal_client: Client, task_queue_prefix: str
) -> None:
    starter, start = gateway(temporal_client, task_queue_prefix, SHORT), rule_start()
    await starter.create_rule(start)
    await temporal_client.get_workflow_handle(rule_workflow_id(start.rule_id)).terminate()

    assert await starter.create_rule(start) is Started.CLOSED


async def test_change_whose_rule_ended_under_it_finds_the_rule_gone(
    temporal_client: Client, task_queue_prefix: str
) -> None:
    starter, start = gateway(temporal_client, task_queue_prefix), rule_start()
    async with working(temporal_client, task_queue_prefix):
        await starter.create_rule(start)
        last = PatchRule(account_id=ACCOUNT, definition=DEFINITION, expected_version=GOING)

        assert await starter.patch_rule(start.rule_id, last, "k") is None


async def test_order_starts_and_is_cancelled(temporal_client: Client, task_queue_prefix: str) -> None:
    starter, start = gateway(temporal_client, task_queue_prefix), order_start()
    async with working(temporal_client, task_queue_prefix):
        first = await starter.create_order(start)
        again = await starter.create_order(start)
        answer = await starter.cancel_order(start.order_id, CancelOrder(account_id=ACCOUNT), "k")
        await temporal_client.get_workflow_handle(order_workflow_id(start.order_id)).result()
        closed = await starter.create_order(start)
        late = await starter.cancel_order(start.order_id, CancelOrder(account_id=ACCOUNT), "k2")

    assert (first, again, closed) == (Started.PENDING, Started.PENDING, Started.CLOSED)
    assert answer is not None
    assert answer.state is OrderState.CANCELED
    assert late is None


async def test_creation_beyond_the_pace_is_429(temporal_client: Client, task_queue_prefix: str) -> None:
    slow = gateway(temporal_client, task_queue_prefix, timedelta(milliseconds=600), pace=1)

    outcomes = await asyncio.gather(
        *(slow.create_order(order_start()) for _ in range(3)), return_exceptions=True
    )

    refused = [outcome for outcome in outcomes if isinstance(outcome, Problem)]
    assert [(problem.status, problem.code) for problem in refused] == [(429, "temporal_busy")] * 2
    for start in (outcome for outcome in outcomes if not isinstance(outcome, Problem)):
        assert start is Started.PENDING


async def test_temporal_away_is_503_for_every_message() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{nobody.getsockname()[1]}"
        client = await Client.connect(address, data_converter=CONVERTER, lazy=True)
        away = gateway(client, "away-", timedelta(milliseconds=500))
        start, order = rule_start(), order_start()
        calls = [
            away.create_rule(start),
            away.create_order(replace(order)),
            away.cancel_rule(start.rule_id, CancelRule(account_id=ACCOUNT), "k"),
            away.cancel_order(order.order_id, CancelOrder(account_id=ACCOUNT), "k"),
        ]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)

        assert not await away.reachable()

    problems = [outcome for outcome in outcomes if isinstance(outcome, Problem)]
    assert [problem.status for problem in problems] == [503] * 4, outcomes
    assert {problem.code for problem in problems} <= {"temporal_unavailable", "no_answer_yet"}


async def test_reachable_says_so(temporal_client: Client, task_queue_prefix: str) -> None:
    assert await gateway(temporal_client, task_queue_prefix).reachable()
