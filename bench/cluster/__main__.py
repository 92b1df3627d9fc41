"""`python -m bench.cluster`: two Temporal servers on Postgres, two workers of each role, and the proof of it.

Brings the cluster up (the server is built by Go the first time, which takes minutes), then checks how the
servers are tuned, plays the demo, measures the latency against the bare floor of the same cluster, and kills
each kind of part while prices cross. Exit status 1 when anything is not as it must be.
"""

import argparse
import json
import sys
import time
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from pydantic import SecretStr
from rich.console import Console
from rich.table import Table

import runtime.logging
from bench.cluster.kills import Arena, Round, kills
from bench.cluster.tuning import Effect, effects, knows
from bench.latency import Report, measure_on
from bench.latency import show as show_latency
from bench.market import Trader
from bench.program import EXIT_DIFFERENT, EXIT_FAILED, EXIT_STOPPED, Say, carry_through, data_folder
from bench.waiting import BenchFailed
from cli.client import ApiClient
from cli.demo import agrees
from cli.demo_run import Demo, DemoResult
from cli.demo_scene import scene_of
from runtime.cluster.programs import SERVER, SQL_TOOL, ServerProgramMissing, present, resolve
from runtime.cluster.stack import NODES, ClusterOptions, ClusterStack
from runtime.embedded.supervisor import PartEvent, PartState
from runtime.temporal import connect
from runtime.temporal_tuning import TUNED_DYNAMIC_CONFIG
from simulator.client import SimulatorAdmin

POSTGRES_PACKAGES = Path(sys.prefix) / "postgres-contrib"
SECONDS_OF_TAPE = 12
NAME = "cluster"


class Act(StrEnum):
    """What can be done on the cluster."""

    DEMO = "demo"
    TUNING = "tuning"
    KILLS = "kills"
    LATENCY = "latency"


@dataclass(frozen=True, slots=True)
class Proof:
    """What was found; None where an act was not asked for."""

    demo: DemoResult | None = None
    tuning: list[Effect] | None = None
    kills: list[Round] | None = None
    latency: Report | None = None

    @property
    def failures(self) -> list[str]:
        """In words, everything that is not as it must be."""
        found: list[str] = []
        if self.demo is not None and not agrees(self.demo):
            found.append(
                f"the demo's books differ: {'; '.join(self.demo.differences) or self.demo.condition}"
            )
        found += [f"not tuned: {effect.seen}" for effect in self.tuning or () if not effect.tuned]
        for done in self.kills or ():
            found += [f"{done.victims}: {words}" for words in (*done.differences, *done.late)]
        return found


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    made = argparse.ArgumentParser(prog="python -m bench.cluster", description=__doc__)
    made.add_argument("--acts", default=",".join(Act), help=f"which of {','.join(Act)}; `none`: only run it")
    made.add_argument("--n", type=int, default=100, help="samples of the latency")
    made.add_argument("--armed", type=int, default=100, help="rules armed beside, that never fire")
    made.add_argument("--data-dir", type=Path, default=None, help="keep the cluster's data and logs here")
    made.add_argument(
        "--postgres-packages", type=Path, default=POSTGRES_PACKAGES, help="folder of the installed Postgres"
    )
    made.add_argument(
        "--stay", action="store_true", help="leave the cluster running at the end, until Ctrl-C"
    )
    made.add_argument("--json", action="store_true", help="end with one JSON object")
    return made


def acts_of(text: str) -> tuple[Act, ...]:
    """Read a list of acts, or `none`.

    Raises:
        ValueError: A word is unknown.
    """
    words = [word.strip() for word in text.split(",") if word.strip()]
    return () if words == ["none"] else tuple(Act(word) for word in words)


def main() -> None:
    """Run, print, exit with 1 when anything is not as it must be."""
    commands = parser()
    given = commands.parse_args()
    try:
        acts = acts_of(given.acts)
    except ValueError as error:
        commands.error(str(error))
    runtime.logging.configure(level=50)
    console = Console(stderr=True)
    get_programs(console)
    with data_folder(given.data_dir, NAME, console) as folder:
        proof = carry_through(_prove(given, acts, folder, console), NAME, console)
    if given.json:
        print(json.dumps(asdict(proof)))
    for words in proof.failures:
        console.print(words, style="red", markup=False)
    sys.exit(EXIT_DIFFERENT if proof.failures else 0)


def get_programs(console: Console) -> None:
    """Build what is missing of the Temporal server, outside of any event loop, so that Ctrl-C ends it."""
    say = _teller(console)
    try:
        for program in (SQL_TOOL, SERVER):
            resolve(program, say)
    except KeyboardInterrupt:
        sys.exit(EXIT_STOPPED)
    except ServerProgramMissing as missing:
        say(str(missing))
        sys.exit(EXIT_FAILED)


async def _prove(given: argparse.Namespace, acts: tuple[Act, ...], folder: Path, console: Console) -> Proof:
    say = _teller(console)
    options = ClusterOptions(
        folder, given.postgres_packages, announce=say, observe=lambda event: _tell(event, say)
    )
    stack = ClusterStack(options)
    try:
        try:
            await stack.start()
        except Exception as error:
            raise BenchFailed(f"the cluster did not start: {error}") from error
        console.print(_places(stack))
        async with SimulatorAdmin(stack.simulator_admin_url) as admin:
            proof = await _play(stack, admin, acts, given.n, given.armed, console, say)
        if given.stay:
            say("the cluster stays; Ctrl-C stops it")
            await stack.wait_ended()
        return proof
    finally:
        say("stopping")
        await stack.stop()


async def _play(
    stack: ClusterStack,
    admin: SimulatorAdmin,
    acts: tuple[Act, ...],
    n: int,
    armed: int,
    console: Console,
    say: Say,
) -> Proof:
    demo = tuning = rounds = latency = None
    if Act.TUNING in acts:
        tuning = await _tuning(stack)
        _show_tuning(tuning, console)
    if Act.DEMO in acts:
        demo = await _demo(stack, admin, say)
        say("the demo's books agree" if agrees(demo) else "the demo's books DIFFER")
    if Act.LATENCY in acts:
        latency = await measure_on(stack, n, armed, console, durability="Postgres, fsync")
        show_latency(latency, console)
    if Act.KILLS in acts:
        trader = Trader(stack.api_url, stack.admin_key.get_secret_value(), admin)
        await trader.open_account("kills")
        temporal = await connect(stack.settings().temporal, lazy=True)
        rounds = await kills(Arena(stack, admin, trader, temporal), say)
        await trader.aclose()
        _show_kills(rounds, console)
    return Proof(demo, tuning, rounds, latency)


async def _demo(stack: ClusterStack, admin: SimulatorAdmin, say: Say) -> DemoResult:
    """Play the demo's own tape and compare the books, as `holdfast demo` does."""
    scene = scene_of(None)
    speed = scene.speed_for(SECONDS_OF_TAPE)
    settings = stack.settings()
    with ApiClient(stack.api_url, stack.admin_key) as operator:
        play = Demo(
            scene, speed, operator, admin, settings.temporal, lambda actor, words: say(f"{actor:<10} {words}")
        )
        return await play.run(lambda key, account: ApiClient(stack.api_url, SecretStr(key), account))


async def _tuning(stack: ClusterStack) -> list[Effect]:
    """See the effects on each server, and look every key up in the program."""
    found: list[Effect] = []
    for number in NODES:
        address = {"HOLDFAST_TEMPORAL_ADDRESS": stack.node(number).address}
        client = await connect(stack.settings(address).temporal)
        found += await effects(client)
    program = present(SERVER)
    unknown = [key for key in TUNED_DYNAMIC_CONFIG if program is None or not knows(program, key)]
    words = (
        f"{len(TUNED_DYNAMIC_CONFIG) - len(unknown)} of {len(TUNED_DYNAMIC_CONFIG)} keys are in the program"
    )
    return [*found, Effect(tuple(TUNED_DYNAMIC_CONFIG), words, not unknown)]


def _places(stack: ClusterStack) -> Table:
    table = Table(title="The cluster is up", title_justify="left", title_style="bold green")
    table.add_column("what")
    table.add_column("where", overflow="fold")
    rows = {
        "api": stack.api_url,
        "api docs": f"{stack.api_url}/docs",
        **{
            f"temporal {number}": f"{stack.node(number).address}, {stack.node(number).http_url}"
            for number in NODES
        },
        "simulator": stack.simulator_url,
        "simulator admin": stack.simulator_admin_url,
        "postgres": f"127.0.0.1:{stack.postgres.port}",
        "logs": f"{stack.data_dir.logs}/*.log",
        "settings and secrets": str(stack.data_dir.env_file),
    }
    for name, place in rows.items():
        table.add_row(name, place)
    return table


def _show_tuning(found: list[Effect], console: Console) -> None:
    table = Table(title="How the servers are tuned, by effect", title_justify="left")
    for name in ("keys", "seen", "as tuned"):
        table.add_column(name, overflow="fold")
    for effect in found:
        table.add_row("\n".join(effect.keys[:3]), effect.seen, "yes" if effect.tuned else "NO")
    console.print(table)


def _show_kills(rounds: list[Round], console: Console) -> None:
    table = Table(title="Killed while prices crossed, three exits each", title_justify="left")
    for name in (
        "killed",
        "orders",
        "crossed before → POST",
        "crossed after → POST",
        "all back",
        "differences",
    ):
        table.add_column(name)
    for done in rounds:
        table.add_row(
            done.victims,
            str(done.orders),
            f"{done.crossed_to_post_s} s",
            f"{done.away_to_post_s} s",
            f"{done.all_back_s} s",
            "; ".join((*done.differences, *done.late)) or "none",
        )
    console.print(table)


def _teller(console: Console) -> Say:
    began = time.monotonic()

    def say(words: str) -> None:
        console.print(f"{time.monotonic() - began:7.1f} s  {words}", markup=False, highlight=False)

    return say


def _tell(event: PartEvent, say: Say) -> None:
    if event.state in (PartState.HEALTHY, PartState.FAILED):
        say(f"{event.part:<14} {event.state} {event.detail}")


if __name__ == "__main__":
    main()
