"""`python -m bench.cluster.restore_drill`: back a cluster up with rules in flight, lose it, restore it.

It follows the page on operations to the letter, with the deployment's own scripts. Three positions are
protected. When the backup is taken one rule is armed, one is about to be crossed, and of one the venue has
just accepted the exit, whose answer is still held back. What happens later is lost to the stores and
stands at the venue alone.
"""

import argparse
import json
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import httpx2
from rich.console import Console

import runtime.logging
from bench.client import Api, Json
from bench.cluster.__main__ import POSTGRES_PACKAGES, get_programs
from bench.cluster.kills import hold_after_accept, is_empty
from bench.market import BELOW, DEPTH, Trader
from bench.program import EXIT_DIFFERENT, carry_through, data_folder
from bench.waiting import missed, until
from runtime.cluster.stack import ROLES, ClusterOptions, ClusterStack
from simulator.client import SimulatorAdmin

NAME = "restore drill"
BOOKKEEPER = "io"
BOOKED_LIMIT_S = 300.0
GONE = "gone"


@dataclass(frozen=True, slots=True)
class Kept:
    """What is known of a protected position across the loss of the stores."""

    token_id: str
    rule_id: str


@dataclass(frozen=True, slots=True)
class Before:
    """What stood when the cluster was lost."""

    account_id: str
    armed: Kept
    sold: Kept
    flying: Kept
    backup_s: float


@dataclass(frozen=True, slots=True)
class After:
    """How the rules ended on the restored cluster; see `Drill`."""

    ends: dict[str, str]
    orders: dict[str, int]
    missed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Drill:
    """What the drill saw.

    Attributes:
        backup_s: How long the dumps took, everything running.
        restore_s: How long the restore took, Postgres alone running.
        booked_s: From the start of the bookkeepers until the sales since the backup stood in the ledger.
        ends: Status and detail of each rule at the end; one that the restore lost is `GONE`.
        orders: Exit orders that the venue accepted for each position; one is right.
        missed: In words, what the restored product owed and did not bring in time.
    """

    backup_s: float
    restore_s: float
    booked_s: float
    ends: dict[str, str]
    orders: dict[str, int]
    missed: tuple[str, ...]

    @property
    def failures(self) -> list[str]:
        """In words, what is not as it must be."""
        twice = [f"{name}: {count} exits at the venue" for name, count in self.orders.items() if count != 1]
        wanted = {"armed": "TRIGGERED", "flying": "TRIGGERED", "sold": "CANCELED position_closed"}
        return [*self.missed, *twice] + [
            f"{name}: {end} where {wanted[name]} had to be"
            for name, end in self.ends.items()
            if not end.startswith(wanted[name])
        ]


async def run(folder: Path, packages: Path, console: Console) -> Drill:
    """Run the drill on a cluster of its own."""
    began = time.monotonic()

    def say(words: str) -> None:
        console.print(f"{time.monotonic() - began:7.1f} s  {words}", markup=False, highlight=False)

    options = ClusterOptions(folder / "data", packages, announce=say)
    backup = folder / "backup"
    say("a cluster with three protected positions")
    async with ClusterStack(options) as stack:
        before = await _until_lost(stack, backup)
    say(f"backed up in {before.backup_s} s, went on, and lost; restoring")
    clock = time.monotonic()
    await ClusterStack(options).restore(backup)
    restore_s = round(time.monotonic() - clock, 1)
    say(f"restored in {restore_s} s; Postgres, Temporal, API and the io workers alone")
    async with ClusterStack(replace(options, roles=(BOOKKEEPER,))) as stack, _http(stack) as http:
        clock = time.monotonic()
        api = Api(http, stack.admin_key.get_secret_value(), before.account_id, patient=True)
        unbooked = await missed(_gone(api, before.sold))
        booked_s = round(time.monotonic() - clock, 1)
        say(f"the sale since the backup is booked after {booked_s} s; the other workers")
        await stack.start_workers(*(role for role in ROLES if role != BOOKKEEPER))
        after = await _after(stack, api, before)
        missing = unbooked + after.missed
        return Drill(before.backup_s, restore_s, booked_s, after.ends, after.orders, missing)


async def _until_lost(stack: ClusterStack, backup: Path) -> Before:
    """Protect, back up in the middle of an exit, and let two exits come to their end."""
    async with (
        SimulatorAdmin(stack.simulator_admin_url) as admin,
        Trader(stack.api_url, stack.admin_key.get_secret_value(), admin) as trader,
    ):
        await trader.open_account(NAME)
        made = [await trader.protect(f"{NAME}: {name}") for name in ("armed", "sold", "flying")]
        armed, sold, flying = [Kept(one.token_id, one.rule_id) for one in made]
        release = await hold_after_accept(admin, flying.token_id, lambda: _cross(admin, flying))
        clock = time.monotonic()
        await stack.postgres_script("backup.sh", str(backup))
        backup_s = round(time.monotonic() - clock, 1)
        await release()
        await _cross(admin, sold)
        for kept in (flying, sold):
            await trader.done(kept.rule_id)
        return Before(trader.account_id, armed, sold, flying, backup_s)


async def _after(stack: ClusterStack, api: Api, before: Before) -> After:
    """Let the rules come to their ends, and count what the venue accepted."""
    named = {"armed": before.armed, "sold": before.sold, "flying": before.flying}
    async with SimulatorAdmin(stack.simulator_admin_url) as admin:
        unended = [await missed(_ended(api, kept)) for kept in (before.sold, before.flying)]
        await _cross(admin, before.armed)
        unended.append(await missed(_ended(api, before.armed)))
        ends: dict[str, str] = {}
        for name, kept in named.items():
            ends[name] = told(await api.find(f"/api/v2/rules/{kept.rule_id}"))
        orders: dict[str, int] = {}
        for name, kept in named.items():
            entries = await admin.ledger(token_id=kept.token_id)
            orders[name] = sum(entry.side == "SELL" and entry.outcome == "accepted" for entry in entries)
    return After(ends, orders, tuple(words for one in unended for words in one))


def told(row: Json | None) -> str:
    """Return how a rule ended by its row."""
    return GONE if row is None else f"{row['status']} {row['detail']}"


async def _cross(admin: SimulatorAdmin, kept: Kept) -> None:
    bid, ask = BELOW
    await admin.set_book(kept.token_id, [(bid, DEPTH)], [(ask, DEPTH)])


async def _gone(api: Api, kept: Kept) -> None:
    await until(
        lambda: api.get("/api/v2/positions", token_id=kept.token_id),
        is_empty,
        "the sale since the backup in the ledger",
        limit_s=BOOKED_LIMIT_S,
    )


async def _ended(api: Api, kept: Kept) -> Json | None:
    path = f"/api/v2/rules/{kept.rule_id}"
    return await until(lambda: api.find(path), _is_done, f"the end of {path}")


def _is_done(row: Json | None) -> bool:
    return row is not None and row["phase"] == "done"


def _http(stack: ClusterStack) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(base_url=stack.api_url, timeout=30, trust_env=False)


def main() -> None:
    """Drill, print, exit with 1 when anything is not as it must be."""
    parser = argparse.ArgumentParser(prog="python -m bench.cluster.restore_drill", description=__doc__)
    parser.add_argument("--data-dir", type=Path, default=None, help="keep data, logs and the backup here")
    parser.add_argument("--postgres-packages", type=Path, default=POSTGRES_PACKAGES)
    given = parser.parse_args()
    runtime.logging.configure(level=50)
    console = Console(stderr=True)
    get_programs(console)
    with data_folder(given.data_dir, NAME, console) as folder:
        drill = carry_through(run(folder, given.postgres_packages, console), NAME, console)
    print(json.dumps(asdict(drill)))
    for words in drill.failures:
        console.print(words, style="red", markup=False)
    sys.exit(EXIT_DIFFERENT if drill.failures else 0)


if __name__ == "__main__":
    main()
