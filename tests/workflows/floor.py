"""A trading floor for workflow tests: real server, real sandbox, a fake exchange."""

import asyncio
import uuid
from dataclasses import dataclass, replace
from decimal import Decimal

from temporalio.client import Client, WorkflowHandle

from domain import messages
from domain.ids import OrderId, RuleId, order_workflow_id, rule_workflow_id
from domain.messages import (
    CancelOrder,
    CancelRule,
    CreateRule,
    Crossed,
    OrderStart,
    PatchRule,
    PositionChanged,
    RuleAnswer,
    RuleStart,
    Tuning,
)
from domain.orders import Mode, Purpose, Side, TimeInForce
from domain.quotes import Ladder, Level, Quote
from domain.rules.crossing import Crossing
from domain.rules.definition import ConditionType, RuleDefinition
from runtime.clock import SystemClock
from runtime.temporal_signals import search_attributes
from tests.domain.builders import ACCOUNT, START, TOKEN, WALLET
from tests.fakes.exchange import LIMIT_S, FakeExchange
from workflows.order import Order
from workflows.rule import Rule

QUICK = Tuning(
    fallback_ms=60,
    fallback_cap_ms=200,
    resting_cap_ms=400,
    retry_ms=40,
    retry_cap_ms=160,
    blocked_retry_ms=80,
    absent_settles_ms=120,
    unsettled_alarm_ms=150,
    rearm_ms=50,
    place_first_retry_ms=20,
)
STOP = {"type": "stop_loss", "price": "0.40"}
TARGET = {"type": "take_profit", "price": "0.60"}
CLOCK = SystemClock()


def now_ms() -> int:
    return int(CLOCK.now().timestamp() * 1000)


@dataclass(frozen=True)
class RunningRule:
    """A started rule, with the messages that others send it."""

    floor: "Floor"
    start: RuleStart
    handle: WorkflowHandle[Rule, RuleAnswer]

    @property
    def exchange(self) -> FakeExchange:
        return self.floor.exchange

    def crossing(self, price, *, index=0, generation=1, **changes) -> Crossing:
        """The feed saw this price, bid and ask and all."""
        price = Decimal(price)
        values = {
            "rule_id": self.start.rule_id,
            "generation": generation,
            "condition_index": index,
            "condition": self.start.definition.conditions[index].type,
            "level": getattr(self.start.definition.conditions[index], "price", None),
            "quote": Quote(price, price, price),
            "price": price,
            "mark": None,
            "confirm_count": 1,
            "beyond_since_ms": None,
            "observed_at_ms": now_ms(),
            "venue_timestamp_ms": None,
        }
        return Crossing(**{**values, **changes})

    async def cross(self, price, *, ladder=None, ladder_at_ms=None, **changes) -> None:
        """Signals a crossing with the feed's ladder (None: deep at the price), which stood so at a time."""
        levels = ladder if ladder is not None else ((price, "1000"),)
        crossed = Crossed(
            crossing=self.crossing(price, **changes),
            ladder=Ladder(tuple(Level(Decimal(p), Decimal(s)) for p, s in levels)),
            ladder_at_ms=ladder_at_ms,
        )
        await self.handle.signal(messages.SIGNAL_CROSSED, crossed)

    async def holds(self, shares) -> None:
        """The ledger holds another number of shares, and says so."""
        change = PositionChanged(holding=self.exchange.hold(shares))
        await self.handle.signal(messages.SIGNAL_POSITION_CHANGED, change)

    async def create(self, fingerprint="f") -> RuleAnswer:
        request = CreateRule(account_id=ACCOUNT, fingerprint=fingerprint)
        return await self.handle.execute_update(
            messages.UPDATE_CREATE, request, result_type=RuleAnswer, id=f"create-{uuid.uuid4()}"
        )

    async def patch(self, *conditions, expected_version=None, **changes) -> RuleAnswer:
        definition = define(*(conditions or (STOP,)), **changes)
        request = PatchRule(account_id=ACCOUNT, definition=definition, expected_version=expected_version)
        return await self.handle.execute_update(messages.UPDATE_PATCH, request, result_type=RuleAnswer)

    async def cancel(self) -> RuleAnswer:
        request = CancelRule(account_id=ACCOUNT)
        return await self.handle.execute_update(messages.UPDATE_CANCEL, request, result_type=RuleAnswer)

    async def run_id(self) -> str | None:
        """Which run of the workflow is the newest."""
        return (await self.handle.describe()).run_id

    async def result(self) -> RuleAnswer:
        """Waits for the rule's end; one that goes round in circles fails its test."""
        async with asyncio.timeout(LIMIT_S):
            return await self.handle.result()


class Floor:
    """Starts rules and orders on a worker of their own."""

    def __init__(self, client: Client, exchange: FakeExchange, task_queue: str) -> None:
        self.client = client
        self.exchange = exchange
        self.task_queue = task_queue
        self.started: list[WorkflowHandle] = []

    async def start_rule(
        self, *conditions, tuning=QUICK, holding=None, rule_id=None, task_timeout=None, **changes
    ) -> RunningRule:
        """Starts a rule on what the exchange holds, without waiting for it."""
        rule_id = RuleId(rule_id or f"rul_{uuid.uuid4().hex}")
        start = RuleStart(
            rule_id=rule_id,
            account_id=ACCOUNT,
            mode=Mode.PAPER,
            venue="polymarket",
            definition=define(*(conditions or (STOP,)), **changes),
            fingerprint="f",
            instrument=self.exchange.instrument,
            wallet=WALLET,
            holding=holding or self.exchange.holding(),
            created_at=START,
            tuning=tuning,
            revision=messages.RULE_REVISION,
        )
        handle = await self.client.start_workflow(
            Rule.run,
            start,
            id=rule_workflow_id(rule_id),
            task_queue=self.task_queue,
            task_timeout=task_timeout,
            search_attributes=search_attributes(ACCOUNT, "polymarket", TOKEN, messages.RULE, "ACTIVE"),
        )
        self.started.append(handle)
        return RunningRule(self, start, handle)

    async def arm(self, *conditions, **changes) -> RunningRule:
        """Starts a rule and waits until it is armed."""
        rule = await self.start_rule(*conditions, **changes)
        await rule.create()
        return rule

    def order_start(self, **changes) -> OrderStart:
        """A BUY of 10 shares at 0.40, FAK, unless told otherwise."""
        values = {
            "order_id": OrderId(f"ord_{uuid.uuid4().hex}"),
            "account_id": ACCOUNT,
            "mode": Mode.PAPER,
            "venue": "polymarket",
            "instrument": self.exchange.instrument,
            "wallet": WALLET,
            "side": Side.BUY,
            "purpose": Purpose.ENTRY,
            "time_in_force": TimeInForce.FAK,
            "shares": Decimal(10),
            "budget_usd": None,
            "limit_price": Decimal("0.40"),
            "tuning": QUICK,
            "revision": messages.ORDER_REVISION,
        }
        return OrderStart(**{**values, **changes})

    async def start_order(self, **changes) -> WorkflowHandle:
        start = self.order_start(**changes)
        handle = await self.client.start_workflow(
            Order.run,
            start,
            id=order_workflow_id(start.order_id),
            task_queue=self.task_queue,
            search_attributes=search_attributes(ACCOUNT, "polymarket", TOKEN, messages.ORDER, "pending"),
        )
        self.started.append(handle)
        return handle

    async def cancel_order(self, handle: WorkflowHandle) -> messages.OrderAnswer:
        return await handle.execute_update(
            messages.UPDATE_CANCEL, CancelOrder(account_id=ACCOUNT), result_type=messages.OrderAnswer
        )


def define(*conditions, **changes) -> RuleDefinition:
    return RuleDefinition.model_validate(
        {"venue": "polymarket", "token_id": TOKEN, "conditions": list(conditions), **changes}
    )


def quick(**changes) -> Tuning:
    return replace(QUICK, **changes)


__all__ = ["QUICK", "STOP", "TARGET", "ConditionType", "Floor", "RunningRule", "define", "now_ms", "quick"]
