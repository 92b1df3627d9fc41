"""Reads the books of a simulated day's end: Postgres and the venue."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from decimal import Decimal

import asyncpg

from bench.day_verdict import DayBooks, DayRule, Place, Print
from bench.market import Trader
from simulator.client import AdminTrade, SimulatorAdmin

UNANSWERED = "armed as the day ended"
_RULES = """
    SELECT rule_id, account_id, token_id, status, sold_shares::text AS sold,
           (extract(epoch FROM updated_at) * 1000)::bigint::text AS updated_ms
    FROM rules
"""
_POSITIONS = "SELECT account_id, token_id, shares::text AS shares FROM positions WHERE mode = 'live'"


async def day_books(
    database_url: str, admin: SimulatorAdmin, traders: Sequence[Trader], kinds: Mapping[str, str]
) -> DayBooks:
    """Read all of them.

    Args:
        database_url: Of the projection.
        admin: Of the venue.
        traders: Whose wallets and trades are looked at.
        kinds: Of which kind each rule was whose arming was answered.
    """
    connection = await asyncpg.connect(database_url, ssl=False)
    try:
        rows = {str(row["rule_id"]): row for row in await connection.fetch(_RULES)}
        positions = await connection.fetch(_POSITIONS)
    finally:
        await connection.close()
    sold: defaultdict[Place, Decimal] = defaultdict(Decimal)
    held: dict[Place, Decimal] = {}
    prints: list[Print] = []
    for trader in traders:
        for trade in await admin.trades(trader.address):
            if trade.status == "FAILED":
                continue
            prints.append(_print(trade))
            if trade.side == "SELL":
                sold[trader.account_id, trade.token_id] += Decimal(trade.size)
        wallet = await admin.wallet(trader.address)
        held |= {(trader.account_id, token): Decimal(shares) for token, shares in wallet.tokens.items()}
    return DayBooks(
        rules=[_rule(row, kinds.get(rule_id, UNANSWERED)) for rule_id, row in rows.items()],
        vanished=[rule_id for rule_id in kinds if rule_id not in rows],
        sold=sold,
        held=held,
        positions={
            (str(row["account_id"]), str(row["token_id"])): Decimal(str(row["shares"])) for row in positions
        },
        prints=prints,
    )


def _rule(row: asyncpg.Record, kind: str) -> DayRule:
    return DayRule(
        rule_id=str(row["rule_id"]),
        kind=kind,
        account_id=str(row["account_id"]),
        token_id=str(row["token_id"]),
        status=str(row["status"]),
        sold_shares=Decimal(str(row["sold"])),
        updated_ms=int(str(row["updated_ms"])),
    )


def _print(trade: AdminTrade) -> Print:
    return Print(trade.token_id, trade.matched_at_ms, Decimal(trade.price))
