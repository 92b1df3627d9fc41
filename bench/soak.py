"""`python -m bench.soak`: many idle rules under prices that never rest and never cross; nothing may grow.

Watches the memory and the connections of every process, the histories of idle rules, the tape's compaction
and the workers' logs. In the end rules are changed and cancelled at the same moment, so that a handler that
is left unfinished shows. Exit status 1 when anything is not as it must be.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from random import Random

from rich.console import Console
from temporalio.client import Client

import runtime.logging
from bench.client import Refused
from bench.endurance import is_compacted, look_often, plant_old_tape, show_memory, tape_row, unfinished
from bench.histories import KEEP_HELP, keep_histories
from bench.market import DEPTH, Trader, stop_body
from bench.program import EXIT_DIFFERENT, Say, with_a_folder
from bench.side_by_side import side_by_side
from bench.soak_verdict import HistorySize, Observed, Verdict, judge
from bench.stack import measured, running
from bench.waiting import NeverCame, missed
from bench.weight import scales_of
from domain.ids import RuleId, rule_workflow_id
from runtime.embedded.stack import EmbeddedStack
from runtime.temporal import connect
from simulator.client import SimulatorAdmin

NAME = "soak"
ACCOUNTS = 4
TOKENS = 20
ARMED_AT_ONCE = 16
BEATS_PER_S = 2
SEGMENT_S = 30
WALK = range(54, 66)
"""Bids in cents; stops lie below, targets above."""
CENT = Decimal("0.01")
WATCHED_HISTORIES = 50
CHANGED_AND_CANCELED = 20


async def soak(rules: int, minutes: float, folder: Path, say: Say, keep: Path | None = None) -> Verdict:
    """Run on a stack of its own and judge what was seen; `keep` receives histories of its workflows.

    Raises:
        BenchFailed: The run could not be carried through.
    """
    async with (
        running(measured(folder)) as stack,
        SimulatorAdmin(stack.simulator_admin_url) as admin,
    ):
        await plant_old_tape(stack.database_url)
        traders = [Trader(stack.api_url, stack.admin_key.get_secret_value(), admin) for _ in range(ACCOUNTS)]
        try:
            armed = await _arm(traders, rules, say)
            prices = asyncio.create_task(_move_prices(admin, armed.tokens))
            try:
                verdict = await _watch(stack, admin, armed, minutes * 60, prices, say)
                if keep is not None:
                    await keep_histories(await connect(stack.settings().temporal), keep)
                return verdict
            finally:
                prices.cancel()
                await asyncio.gather(prices, return_exceptions=True)
        finally:
            for trader in traders:
                await trader.aclose()


class Armed:
    """The rules of a soak, by the account that holds them."""

    def __init__(self, tokens: Sequence[str]) -> None:
        """Begin with none."""
        self.tokens = tokens
        self.rules: list[tuple[Trader, str]] = []


async def _arm(traders: Sequence[Trader], rules: int, say: Say) -> Armed:
    for number, trader in enumerate(traders):
        await trader.open_account(f"soak {number}")
    tokens = [await traders[0].open_market(f"soak {number}") for number in range(TOKENS)]
    say("positions")
    await side_by_side((trader.buy(token) for trader in traders for token in tokens), ARMED_AT_ONCE)
    armed, random = Armed(tokens), Random(rules)

    async def one(number: int) -> None:
        trader, token = traders[number % len(traders)], tokens[number // len(traders) % len(tokens)]
        armed.rules.append((trader, await trader.arm(token, str(CENT * random.randrange(10, 45)))))
        say(f"rules: {len(armed.rules)} of {rules}")

    await side_by_side((one(number) for number in range(rules)), ARMED_AT_ONCE)
    return armed


async def _move_prices(admin: SimulatorAdmin, tokens: Sequence[str]) -> None:
    """Let every token walk, for ever."""
    random = Random(1)
    bids = dict.fromkeys(tokens, WALK[len(WALK) // 2])
    while True:
        began = time.monotonic()
        for token in tokens:
            rows: list[dict[str, str | None]] = []
            for beat in range(SEGMENT_S * BEATS_PER_S):
                bids[token] = min(WALK[-1], max(WALK[0], bids[token] + random.choice((-1, 1))))
                cents = bids[token]
                rows.append(tape_row(beat / BEATS_PER_S, str(cents * CENT), str((cents + 1) * CENT)))
            await admin.load_tape(token, rows=rows, speed="1", depth=DEPTH, levels=2)
        await asyncio.sleep(max(0.0, SEGMENT_S - (time.monotonic() - began)))


async def _watch(
    stack: EmbeddedStack,
    admin: SimulatorAdmin,
    armed: Armed,
    seconds: float,
    prices: "asyncio.Task[None]",
    say: Say,
) -> Verdict:
    temporal, scales = await connect(stack.settings().temporal), scales_of(stack)
    watched = [rule_id for _, rule_id in armed.rules[:: max(1, len(armed.rules) // WATCHED_HISTORIES)]]
    generations = {part: stack.supervisor.generation(part) for part in stack.supervisor.parts}
    settling = await look_often(scales, seconds / 4, prices, say)  # what arming still had to tell is told
    before = await _histories(temporal, watched)
    weights = settling + await look_often(scales, seconds * 3 / 4, prices, say)
    after = await _histories(temporal, watched)
    sold = [entry for entry in await admin.ledger() if entry.side == "SELL"]
    say("the tape's compaction")
    compacted = await is_compacted(stack.database_url)
    say("changes and cancellations at one moment")
    unanswered = await _change_and_cancel(armed.rules[:CHANGED_AND_CANCELED])  # histories are read
    return judge(
        Observed(
            rules=len(armed.rules),
            minutes=round(seconds / 60, 2),
            weights=weights,
            histories=tuple(zip(before, after, strict=True)),
            fired=len(sold),
            restarted=tuple(
                part for part, was in generations.items() if stack.supervisor.generation(part) != was
            ),
            tape_compacted=compacted,
            unanswered=unanswered,
            unfinished=await asyncio.to_thread(unfinished, stack.data_dir.logs),
        )
    )


async def _histories(temporal: Client, rules: Sequence[str]) -> list[HistorySize]:
    async def one(rule_id: str) -> HistorySize:
        described = await temporal.get_workflow_handle(rule_workflow_id(RuleId(rule_id))).describe()
        size = described.raw_description.workflow_execution_info.history_size_bytes
        return HistorySize(rule_id, described.history_length, size)

    return await side_by_side((one(rule_id) for rule_id in rules), ARMED_AT_ONCE)


async def _change_and_cancel(rules: Sequence[tuple[Trader, str]]) -> tuple[str, ...]:
    """Change and cancel each rule at the same moment; either may be refused.

    Returns in words what was left without an answer or an end.
    """

    async def both(trader: Trader, rule_id: str) -> tuple[str, ...]:
        path = f"/api/v2/rules/{rule_id}"
        body = {"conditions": stop_body("", "0.30")["conditions"]}
        answers = await asyncio.gather(
            trader.api.patch(path, body), trader.api.delete(path), return_exceptions=True
        )
        for answer in answers:
            if isinstance(answer, BaseException) and not isinstance(answer, Refused | NeverCame):
                raise answer
        never = (str(answer) for answer in answers if isinstance(answer, NeverCame))
        return (*never, *await missed(trader.done(rule_id)))

    told = await side_by_side((both(trader, rule_id) for trader, rule_id in rules), ARMED_AT_ONCE)
    return tuple(words for one in told for words in one)


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    made = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    made.add_argument("--rules", type=int, default=2000, help="idle rules")
    made.add_argument("--minutes", type=float, default=60, help="how long prices move")
    made.add_argument("--data-dir", type=Path, default=None, help="keep the stack's data and logs here")
    made.add_argument("--keep-histories", type=Path, default=None, help=KEEP_HELP)
    made.add_argument("--json", action="store_true", help="print the verdict as one JSON object")
    return made


def main() -> None:
    """Run, print the verdict, exit with 1 when anything grew."""
    given = parser().parse_args()
    runtime.logging.configure(level=50)
    verdict = with_a_folder(
        NAME,
        given.data_dir,
        lambda folder, say: soak(given.rules, given.minutes, folder, say, given.keep_histories),
    )
    if given.json:
        print(json.dumps({**asdict(verdict), "passed": verdict.passed}))
    else:
        show(verdict, Console())
    sys.exit(0 if verdict.passed else EXIT_DIFFERENT)


def show(verdict: Verdict, console: Console) -> None:
    """Print what was seen, and what is not as it must be."""
    console.print(f"{verdict.rules} rules, {verdict.minutes} minutes")
    show_memory(verdict.memory_mb, console)
    console.print(f"  history of an idle rule: {verdict.history_growth_events:+d} events at most")
    for words in verdict.failures:
        console.print(words, style="red", markup=False)
    console.print("passed" if verdict.passed else "failed")


if __name__ == "__main__":
    main()
