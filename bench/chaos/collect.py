"""Reads the three ledgers at the end of a run."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from decimal import Decimal

import asyncpg
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from bench.chaos.breakers import BreakerChange, open_breakers
from bench.chaos.evidence import (
    MISSING,
    NOT_FOUND,
    Claim,
    Evidence,
    Holder,
    HoldingRow,
    OrderRow,
    Post,
    Result,
    RuleEvidence,
    Sight,
    Traded,
    VenueOrder,
)
from bench.chaos.outages import Outages
from bench.chaos.paths import CENT, START
from bench.chaos.stage import AT_ONCE, START_USD, Armed, Stage, now_ms
from domain.ids import OrderId, RuleId, order_workflow_id, rule_workflow_id
from domain.messages import ORDER, RuleAnswer
from simulator.client import AdminTrade

_RULES = "SELECT rule_id, status, phase, detail, sold_shares::text AS sold FROM rules"
_CLAIMS = """
    SELECT c.order_id, c.attempt::text AS attempt, c.venue_order_id, o.rule_id
    FROM claims c JOIN orders o USING (order_id)
"""
_ORDERS = """
    SELECT order_id, rule_id, state, time_in_force, filled_shares::text AS shares,
           proceeds_usd::text AS usd, fee_usd::text AS fee
    FROM orders
"""
_POSITIONS = "SELECT account_id, token_id, shares::text AS shares FROM positions WHERE mode = 'live'"
_BREAKERS = """
    SELECT DISTINCT type, split_part(event_key, '/', 4) AS account_id, split_part(event_key, '/', 5) AS at_ms
    FROM rule_events WHERE type IN ('breaker.opened', 'breaker.closed')
"""
_TOLD = "SELECT DISTINCT rule_id, type FROM rule_events WHERE rule_id IS NOT NULL"
_RUNNING_ORDERS = f"WorkflowType = '{ORDER}' AND ExecutionStatus = 'Running'"
_FILLS = """
    SELECT venue_order_id, sum(shares)::text AS shares, sum(notional_usd)::text AS usd,
           sum(fee_usd)::text AS fee
    FROM ledger f
    WHERE kind = 'fill' AND mode = 'live' AND NOT EXISTS (
        SELECT 1 FROM ledger r
        WHERE r.kind = 'reversal' AND (r.account_id, r.venue, r.mode, r.fill_key)
              = (f.account_id, f.venue, f.mode, f.fill_key)
    )
    GROUP BY venue_order_id
"""


async def collect(stage: Stage, outages: Outages, database_url: str, temporal: Client) -> Evidence:
    """Read venue, Postgres and Temporal."""
    connection = await asyncpg.connect(database_url, ssl=False)
    try:
        rows = {str(row["rule_id"]): row for row in await connection.fetch(_RULES)}
        claims = await connection.fetch(_CLAIMS)
        orders = await connection.fetch(_ORDERS)
        positions = await connection.fetch(_POSITIONS)
        fills = await connection.fetch(_FILLS)
        breakers = await connection.fetch(_BREAKERS)
        told = await connection.fetch(_TOLD)
    finally:
        await connection.close()
    results = await _results(temporal, stage.rules)
    running = await _running_orders(temporal)
    trades = await stage.admin.trades()
    until_ms = now_ms()
    return Evidence(
        seed=stage.plan.seed,
        until_ms=until_ms,
        tapes={token: await _tape(stage, token, number) for number, token in _tokens(stage)},
        gaps=outages.gaps(),
        disturbances=(
            *outages.disturbances(),
            *open_breakers(
                map(_breaker_change, breakers), outages.venue_faults(), until_ms, outages.returning_ms
            ),
        ),
        holders=tuple([await _holder(stage, number) for number in range(len(stage.traders))]),
        rules=tuple(
            _rule(rule, rows.get(rule.rule_id), result)
            for rule, result in zip(stage.rules, results, strict=True)
        ),
        posts=await _posts(stage),
        venue_orders=await _venue_orders(stage, trades),
        claims=tuple(
            Claim(
                order_id=str(row["order_id"]),
                attempt=int(str(row["attempt"])),
                venue_order_id=str(row["venue_order_id"]),
                rule_id=_text(row["rule_id"]),
            )
            for row in claims
        ),
        order_rows=tuple(_order_row(row) for row in orders),
        holdings=tuple(
            HoldingRow(str(row["account_id"]), str(row["token_id"]), Decimal(str(row["shares"])))
            for row in positions
        ),
        fills={str(row["venue_order_id"]): _traded(row) for row in fills},
        silences=tuple(outages.silences),
        began_ms=stage.start_ms,
        ended_ms=stage.start_ms + stage.plan.length_ms,
        fallen=outages.unexplained(),
        prints=_prints(trades),
        told=_told(told),
        running_orders=running,
    )


def _tokens(stage: Stage) -> list[tuple[int, str]]:
    return [(number, stage.token(number)) for number in range(len(stage.markets))]


async def _tape(stage: Stage, token: str, market: int) -> tuple[Sight, ...]:
    """Join the plan's rows with the moments at which the venue showed them."""
    state = await stage.admin.tape(stage.tapes[token])
    rows = stage.plan.markets[market].rows
    before = Sight(0, START * CENT, (START + 1) * CENT, None)  # the entry's book, until the tape began
    shown = [
        Sight(frame.timestamp_ms, rows[frame.row].bid, rows[frame.row].ask, rows[frame.row].last)
        for frame in state.frames
    ]
    return (before, *shown)


async def _holder(stage: Stage, number: int) -> Holder:
    trader = stage.traders[number]
    wallet = await stage.admin.wallet(trader.address)
    tokens = {token: Decimal(shares) for token, shares in wallet.tokens.items()}
    return Holder(trader.account_id, trader.address, START_USD, Decimal(wallet.collateral), tokens)


def _rule(rule: Armed, row: asyncpg.Record | None, result: Result) -> RuleEvidence:
    return RuleEvidence(
        rule_id=rule.rule_id,
        account_id=rule.trader.account_id,
        token_id=rule.token_id,
        versions=tuple(rule.versions),
        amount=None if rule.plan.amount is None else Decimal(rule.plan.amount),
        source=rule.plan.source,
        armed_at_ms=rule.armed_at_ms,
        touch=rule.touch,
        patched_at_ms=rule.patched_at_ms,
        status=MISSING if row is None else str(row["status"]),
        phase="missing" if row is None else str(row["phase"]),
        detail="" if row is None else str(row["detail"]),
        sold_shares=Decimal(0) if row is None else Decimal(str(row["sold"])),
        result=result,
    )


async def _results(temporal: Client, rules: Sequence[Armed]) -> list[Result]:
    places = asyncio.Semaphore(AT_ONCE)

    async def one(rule: Armed) -> Result:
        async with places:
            handle = temporal.get_workflow_handle(
                rule_workflow_id(RuleId(rule.rule_id)), result_type=RuleAnswer
            )
            try:
                status = (await handle.describe()).status
            except RPCError as error:
                if error.status is not RPCStatusCode.NOT_FOUND:
                    raise
                return Result(NOT_FOUND)
            name = "UNKNOWN" if status is None else status.name
            if status is not WorkflowExecutionStatus.COMPLETED:
                return Result(name)
            answer = await handle.result()
            return Result(name, answer.status.value, answer.sold_shares)

    return await asyncio.gather(*(one(rule) for rule in rules))


async def _running_orders(temporal: Client) -> frozenset[str]:
    prefix = order_workflow_id(OrderId(""))
    return frozenset([run.id.removeprefix(prefix) async for run in temporal.list_workflows(_RUNNING_ORDERS)])


async def _posts(stage: Stage) -> tuple[Post, ...]:
    posts: list[Post] = []
    after = 0
    while entries := await stage.admin.ledger(after=after):
        after = entries[-1].seq
        posts += [Post(e.received_at_ms, e.order_id or "", e.outcome) for e in entries]
    return tuple(posts)


async def _venue_orders(stage: Stage, trades: Sequence[AdminTrade]) -> tuple[VenueOrder, ...]:
    traded: defaultdict[str, Traded] = defaultdict(Traded)
    for trade in trades:
        if trade.status != "FAILED":
            part = Traded(Decimal(trade.size), Decimal(trade.usd), Decimal(trade.fee))
            traded[trade.taker_order_id] += part
    return tuple(
        VenueOrder(
            venue_order_id=order.id,
            address=order.maker_address,
            token_id=order.token_id,
            side=order.side,
            open=order.status.upper() == "LIVE",
            traded=traded[order.id],
        )
        for order in await stage.admin.orders()
    )


def _prints(trades: Sequence[AdminTrade]) -> dict[str, tuple[tuple[int, Decimal], ...]]:
    found: defaultdict[str, list[tuple[int, Decimal]]] = defaultdict(list)
    for trade in trades:
        found[trade.token_id].append((trade.matched_at_ms, Decimal(trade.price)))
    return {token: tuple(prints) for token, prints in found.items()}


def _told(rows: Sequence[asyncpg.Record]) -> dict[str, frozenset[str]]:
    types: defaultdict[str, set[str]] = defaultdict(set)
    for row in rows:
        types[str(row["rule_id"])].add(str(row["type"]))
    return {rule_id: frozenset(found) for rule_id, found in types.items()}


def _breaker_change(row: asyncpg.Record) -> BreakerChange:
    return BreakerChange(str(row["account_id"]), int(str(row["at_ms"])), row["type"] == "breaker.opened")


def _order_row(row: asyncpg.Record) -> OrderRow:
    return OrderRow(
        order_id=str(row["order_id"]),
        rule_id=_text(row["rule_id"]),
        state=str(row["state"]),
        resting=str(row["time_in_force"]) in ("GTC", "GTD"),
        traded=_traded(row),
    )


def _traded(row: asyncpg.Record) -> Traded:
    return Traded(*(Decimal(str(row[name])) for name in ("shares", "usd", "fee")))


def _text(value: object) -> str | None:
    return None if value is None else str(value)
