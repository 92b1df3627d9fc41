"""With payload keys nothing of a rule stands in clear in Temporal's database; without them it does."""

import base64
import os
import secrets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from temporalio.client import Client, WorkflowHistory
from temporalio.worker import Replayer, Worker

from api.starters import Started
from api.temporal_gateway import TemporalGateway
from domain import messages
from domain.ids import TokenId, rule_workflow_id
from domain.messages import RuleAnswer, RuleStart
from domain.quotes import Ladder, Level, Quote
from domain.rules.crossing import Crossing
from runtime.embedded.layout import DataDir
from runtime.temporal import connect, workflow_runner
from runtime.temporal_codec import key_of
from runtime.temporal_histories import payloads_of
from tests.domain.builders import ACCOUNT, START, WALLET
from tests.fakes.exchange import FakeExchange, fills
from tests.shared_stack import SharedStack
from tests.workflows.floor import QUICK, define, now_ms
from worker.registry import WORKFLOWS
from workflows.order import Order
from workflows.rule import Rule

KEYS = "HOLDFAST_TEMPORAL_PAYLOAD_KEYS"


def ring(*names: str) -> dict[str, str]:
    return {KEYS: ",".join(f"{name}:{base64.b64encode(os.urandom(32)).decode()}" for name in names)}


@dataclass(frozen=True)
class Telltale:
    """Words of one rule that stand nowhere else."""

    level: str
    sold_at: str
    token: str
    question: str

    @staticmethod
    def fresh() -> "Telltale":
        digits = f"{secrets.randbelow(10**11):011}7"  # a last zero would not be said
        return Telltale(
            level=f"0.40{digits}",
            sold_at=f"0.39{digits}",
            token=f"7132{secrets.randbelow(10**60):060}",
            question=f"Will {secrets.token_hex(12)} happen?",
        )

    def words(self) -> dict[str, bytes]:
        """What must not be found; the token id alone is a search attribute, in a message it has a name."""
        return {
            "level": self.level.encode(),
            "price": self.sold_at.encode(),
            "question": self.question.removesuffix("?").encode(),
            "token": b'"token_id":"' + self.token.encode(),
        }


@dataclass(frozen=True)
class Fired:
    """A rule that came to its end on the shared server."""

    client: Client
    start: RuleStart
    answer: RuleAnswer
    details: str


def gateway(client: Client, task_queue_prefix: str) -> TemporalGateway:
    return TemporalGateway(
        client,
        task_queue=f"{task_queue_prefix}core",
        task_timeout=timedelta(seconds=2),
        answer_limit=timedelta(seconds=20),
    )


def rule_of(telltale: Telltale, exchange: FakeExchange) -> RuleStart:
    token = TokenId(telltale.token)
    exchange.instrument = replace(exchange.instrument, token_id=token, question=telltale.question)
    stop = {"type": "stop_loss", "price": telltale.level}
    return RuleStart(
        rule_id=f"rul_{secrets.token_hex(16)}",
        account_id=ACCOUNT,
        mode=messages.Mode.PAPER,
        venue="polymarket",
        definition=define(stop).model_copy(update={"token_id": token}),
        fingerprint="f",
        instrument=exchange.instrument,
        wallet=WALLET,
        holding=exchange.holding(),
        created_at=START,
        tuning=QUICK,
        revision=messages.RULE_REVISION,
    )


def crossing_of(start: RuleStart, telltale: Telltale) -> messages.Crossed:
    price = Decimal(telltale.sold_at)
    crossing = Crossing(
        rule_id=start.rule_id,
        generation=1,
        condition_index=0,
        condition=start.definition.conditions[0].type,
        level=Decimal(telltale.level),
        quote=Quote(price, price, price),
        price=price,
        mark=None,
        confirm_count=1,
        beyond_since_ms=None,
        observed_at_ms=now_ms(),
        venue_timestamp_ms=None,
    )
    return messages.Crossed(crossing=crossing, ladder=Ladder((Level(price, Decimal(1000)),)))


@pytest.fixture
def fire(stack: SharedStack, task_queue_prefix: str):
    """Starts a rule through the API's gateway, fires it with a failure on its way, waits for its end."""

    async def fire(telltale: Telltale, environment: dict[str, str]) -> Fired:
        client = await connect(stack.settings(environment).temporal)
        async with working(client, f"{task_queue_prefix}core") as exchange:
            exchange.script(fills("4"))
            exchange.unreadable = 1
            start = rule_of(telltale, exchange)
            assert await gateway(client, task_queue_prefix).create_rule(start) is Started.READY
            handle = client.get_workflow_handle(rule_workflow_id(start.rule_id), result_type=RuleAnswer)
            await handle.signal(messages.SIGNAL_CROSSED, crossing_of(start, telltale))
            answer = await handle.result()
            described = await handle.describe()
            assert await described.static_summary() == f"Rule on {telltale.question}"
            metadata = await handle.query("__temporal_workflow_metadata")
            return Fired(client, start, answer, str(metadata))

    return fire


@asynccontextmanager
async def working(client: Client, task_queue: str) -> AsyncGenerator[FakeExchange]:
    exchange = FakeExchange(client)
    async with Worker(
        client,
        task_queue=task_queue,
        workflows=[Rule, Order],
        activities=exchange.activities(),
        workflow_runner=workflow_runner(),
    ):
        yield exchange
    assert exchange.faults == []


def found_in_database(stack: SharedStack, words: dict[str, bytes]) -> set[str]:
    """Returns which words stand in the server's file or its log of writes."""
    database = DataDir(Path(stack.env_file).parent).temporal_database
    files = [path for path in database.parent.iterdir() if path.name.startswith(database.name)]
    content = [path.read_bytes() for path in files]
    return {name for name, word in words.items() if any(word in text for text in content)}


async def test_nothing_of_an_encrypted_rule_stands_in_temporals_database(fire, stack: SharedStack) -> None:
    telltale = Telltale.fresh()

    fired = await fire(telltale, ring("here"))

    assert fired.answer.status is messages.RuleStatus.TRIGGERED
    assert telltale.level in fired.details
    assert found_in_database(stack, telltale.words()) == set()


async def test_same_search_finds_a_rule_that_is_not_encrypted(fire, stack: SharedStack) -> None:
    telltale = Telltale.fresh()

    await fire(telltale, {})

    assert found_in_database(stack, telltale.words()) == set(telltale.words())


async def test_encrypted_history_replays(fire) -> None:
    environment = ring("here")
    fired = await fire(Telltale.fresh(), environment)
    workflow_id = rule_workflow_id(fired.start.rule_id)
    history = await fired.client.get_workflow_handle(workflow_id).fetch_history()
    converter = fired.client.data_converter

    replayer = Replayer(workflows=WORKFLOWS, data_converter=converter, workflow_runner=workflow_runner())
    await replayer.replay_workflow(WorkflowHistory(workflow_id, history.events))

    failures = [
        event.activity_task_failed_event_attributes.failure
        for event in history.events
        if event.HasField("activity_task_failed_event_attributes")
    ]
    assert [(failure.message, failure.stack_trace) for failure in failures] == [("Encoded failure", "")]
    assert converter.payload_codec is not None


async def test_rule_armed_in_clear_goes_on_encrypted_and_with_the_next_key(
    stack: SharedStack, task_queue_prefix: str
) -> None:
    telltale, keys = Telltale.fresh(), ring("older", "newer")[KEYS].split(",")
    older, both = {KEYS: keys[0]}, {KEYS: f"{keys[1]},{keys[0]}"}
    plain = await connect(stack.settings().temporal)
    async with working(plain, f"{task_queue_prefix}core") as exchange:
        start = rule_of(telltale, exchange)
        assert await gateway(plain, task_queue_prefix).create_rule(start) is Started.READY
    first = await connect(stack.settings(older).temporal)
    await first.get_workflow_handle(rule_workflow_id(start.rule_id)).signal(
        messages.SIGNAL_CROSSED, crossing_of(start, telltale)
    )

    # A worker without the key fails its task; the crossing waits for one that has it.
    async with working(plain, f"{task_queue_prefix}core"):
        failed = await task_failure(plain, start)
    assert failed.endswith("with the key older, which HOLDFAST_TEMPORAL_PAYLOAD_KEYS lacks")

    rotated = await connect(stack.settings(both).temporal)
    async with working(rotated, f"{task_queue_prefix}core") as exchange:
        handle = rotated.get_workflow_handle(rule_workflow_id(start.rule_id), result_type=RuleAnswer)
        answer = await handle.result()

    assert answer.status is messages.RuleStatus.TRIGGERED
    history = await handle.fetch_history()
    assert {b"older", b"newer"} <= {
        key for event in history.events for each in payloads_of(event) if (key := key_of(each))
    }


async def task_failure(client: Client, start: RuleStart) -> str:
    """Waits until a workflow task of the rule failed and returns what the history says of it."""
    handle = client.get_workflow_handle(rule_workflow_id(start.rule_id))
    async for event in handle.fetch_history_events(wait_new_event=True):
        if event.HasField("workflow_task_failed_event_attributes"):
            return event.workflow_task_failed_event_attributes.failure.message
    raise AssertionError("the rule ended")
