"""`holdfast demo`: protect a position on the local exchange, live, from price to fill."""

import asyncio
import json
import signal
import sys
import time
from collections.abc import AsyncGenerator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from pydantic import SecretStr
from rich.console import Console
from rich.table import Table

import runtime.logging
from cli.client import ApiClient
from cli.demo_run import Demo, DemoResult
from cli.demo_scene import Scene, scene_of
from cli.errors import EXIT_FAILED, CommandFailed
from cli.up import places
from runtime.embedded.layout import StackAlreadyRunning
from runtime.embedded.ports import Ports
from runtime.embedded.stack import EmbeddedStack, StackOptions
from runtime.embedded.temporal_binary import default_search
from runtime.settings import collect_environment, load

EXIT_DIFFERENT = EXIT_FAILED
SECONDS_SHOWN = 20


def demo(
    tape: Annotated[
        Path | None, typer.Option(help="JSON lines with ts, bid, ask, last; plain or gzip.")
    ] = None,
    speed: Annotated[
        str | None,
        typer.Option(help="Tape time divided by this; `max`: as fast as it goes. Default: some 20 s in all."),
    ] = None,
    exit_after: Annotated[bool, typer.Option("--exit", help="Stop the stack at the end.")] = False,
    json_output: Annotated[bool, typer.Option("--json", help="End with one JSON object.")] = False,
) -> None:
    """Buy a position, arm stop, target and trailing stop, play a tape, compare the books.

    Brings the stack up if none runs. Everything is real but the exchange, which is the local simulator.
    """
    console = Console(stderr=True)
    runtime.logging.configure(level=40)
    scene = scene_of(tape)
    pace = speed or scene.speed_for(SECONDS_SHOWN)
    if pace != "max" and not _is_positive(pace):
        raise CommandFailed(f"--speed {pace} is no number above 0", "give a number, or max", exit_code=2)
    performance = _perform(scene, pace, console, json_output=json_output, stay=not exit_after)
    result = asyncio.run(_until_signalled(performance))
    if json_output:
        sys.stdout.write(json.dumps(asdict(result)) + "\n")
    if not agrees(result):
        raise typer.Exit(EXIT_DIFFERENT)


async def _until_signalled(performance: Coroutine[object, object, DemoResult]) -> DemoResult:
    """Perform; a signal ends it as Ctrl-C does, so that the stack is stopped in order."""
    task = asyncio.ensure_future(performance)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, task.cancel)
    try:
        return await task
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


def _is_positive(value: str) -> bool:
    try:
        return float(value) > 0
    except ValueError:
        return False


def agrees(result: DemoResult) -> bool:
    """Say whether venue, projection and replay tell the same story."""
    same = (result.condition, result.index) == (result.replay["condition"], result.replay["index"])
    return not result.differences and result.duplicates_at_venue == 0 and same


async def _perform(
    scene: Scene, speed: str, console: Console, *, json_output: bool, stay: bool
) -> DemoResult:
    async with _stack(console) as (stack, variables):
        began = time.monotonic()

        def say(actor: str, words: str) -> None:
            at = f"{time.monotonic() - began:7.2f} s"
            console.print(f"[dim]{at}[/]  [bold]{actor:<16}[/] {words}", highlight=False)

        settings = load(variables)
        url = settings.api.url()
        # Imported late: it is the simulator's own client, which nothing else of the CLI needs.
        from simulator.client import SimulatorAdmin

        async with SimulatorAdmin(variables["HOLDFAST_SIMULATOR_ADMIN_URL"]) as admin:
            with ApiClient(url, settings.api.caller_key()) as operator:
                result = await Demo(scene, speed, operator, admin, settings.temporal, say).run(
                    lambda key, account: ApiClient(url, SecretStr(key), account)
                )
        _show(result, console)
        if stay and stack is not None:
            await _stay(stack, console, result, json_output=json_output)
        return result


@asynccontextmanager
async def _stack(console: Console) -> AsyncGenerator[tuple[EmbeddedStack | None, dict[str, str]]]:
    """Start a stack, or use the one that runs here already."""
    embedded = load().embedded
    search = default_search(embedded.temporal_cli)
    ports = Ports(
        temporal=embedded.temporal_port,
        temporal_ui=embedded.temporal_ui_port,
        api=embedded.api_port,
        simulator=embedded.simulator_port,
        simulator_admin=embedded.simulator_admin_port,
        postgres=embedded.postgres_port,
    )
    options = StackOptions(
        data_dir=embedded.data_dir,
        ports=ports,
        fsync=False,
        synchronous="normal",
        temporal_search=search,
        announce=lambda words: console.print(f"[dim]{words}[/]"),
    )
    stack = EmbeddedStack(options)
    console.print("[dim]starting the stack; its data survive killed processes, not a power cut[/]")
    try:
        await stack.start()
    except StackAlreadyRunning:
        console.print("[dim]a stack runs here already; the demo uses it[/]")
        yield None, collect_environment()
        return
    try:
        yield stack, collect_environment(env_file=stack.data_dir.env_file)
    finally:
        console.print("[dim]stopping[/]")
        await stack.stop()


def _show(result: DemoResult, console: Console) -> None:
    table = Table(title="What happened", title_justify="left", title_style="bold")
    table.add_column("what")
    table.add_column("value", overflow="fold")
    replayed = result.replay
    shares = f"bought {result.bought_shares}, sold {result.sold_shares}, held {result.position_quantity}"
    agreed = "venue, Postgres and Temporal agree to the last digit, fees included"
    rows = {
        "rule": f"{result.rule_status} ({result.rule_phase})",
        "fired": f"{result.condition} at row {result.index}" if result.condition else "nothing fired",
        "replay of the same tape": f"{replayed['condition']} at row {replayed['index']}",
        "frame to POST": f"{result.frame_to_post_ms} ms" if result.frame_to_post_ms is not None else "–",
        "exit orders at the venue": str(result.orders_at_venue),
        "shares": shares,
        "books": "; ".join(result.differences) or agreed,
    }
    for name, value in rows.items():
        table.add_row(name, value)
    console.print(table)


async def _stay(stack: EmbeddedStack, console: Console, result: DemoResult, *, json_output: bool) -> None:
    """Leave the stack running for a look, until Ctrl-C."""
    if json_output:
        return
    table = Table(title="Have a look; Ctrl-C stops everything, the data stays", title_justify="left")
    table.add_column("what")
    table.add_column("where", overflow="fold")
    story = f"{stack.temporal_ui_url}/namespaces/default/workflows/rule%2F{result.rule_id}"
    shown = {**places(stack), "this rule": story}
    for name, place in shown.items():
        table.add_row(name.replace("_", " "), place)
    console.print(table)
    await stack.wait_ended()
