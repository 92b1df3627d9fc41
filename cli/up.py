"""`holdfast up`: the whole stack in the foreground."""

import asyncio
import json
import os
import signal
import sys
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

import runtime.logging
from runtime.embedded.layout import DataDir
from runtime.embedded.ports import LOOPBACK, Ports
from runtime.embedded.stack import ALL_PARTS, EmbeddedStack, Part, StackOptions
from runtime.embedded.supervisor import Observer, PartEvent, PartState
from runtime.embedded.temporal_binary import BinarySearch, TemporalBinary, default_search
from runtime.embedded.temporal_server import Synchronous
from runtime.settings import EmbeddedSettings, Settings, load

PORT_OPTIONS = {
    "temporal": "--temporal-port or HOLDFAST_TEMPORAL_PORT",
    "temporal_ui": "--ui-port or HOLDFAST_TEMPORAL_UI_PORT",
    "api": "--api-port or HOLDFAST_API_PORT",
    "simulator": "--simulator-port or HOLDFAST_SIMULATOR_PORT",
    "simulator_admin": "--simulator-admin-port or HOLDFAST_SIMULATOR_ADMIN_PORT",
    "postgres": "--postgres-port or HOLDFAST_POSTGRES_PORT",
}


class Durability(StrEnum):
    """What Temporal's file survives."""

    FULL = "full"
    NORMAL = "normal"


def _port(what: str, name: str) -> typer.models.OptionInfo:
    default = EmbeddedSettings.model_fields[name].default
    return typer.Option(
        min=0, max=65535, metavar="PORT", help=f"Port of {what}: {default} by default, 0 takes any free one."
    )


def up(
    data_dir: Annotated[
        Path | None, typer.Option(help="Where everything is kept; HOLDFAST_DATA_DIR by default.")
    ] = None,
    temporal_port: Annotated[int | None, _port("Temporal", "temporal_port")] = None,
    ui_port: Annotated[int | None, _port("Temporal's UI", "temporal_ui_port")] = None,
    api_port: Annotated[int | None, _port("the API", "api_port")] = None,
    simulator_port: Annotated[int | None, _port("the local exchange", "simulator_port")] = None,
    simulator_admin_port: Annotated[int | None, _port("its admin endpoint", "simulator_admin_port")] = None,
    postgres_port: Annotated[int | None, _port("Postgres", "postgres_port")] = None,
    parts: Annotated[
        list[Part] | None,
        typer.Option(
            "--part",
            metavar="PART",
            help=f"Run only this part; may be given several times: {', '.join(Part)}.",
        ),
    ] = None,
    durability: Annotated[
        Durability | None,
        typer.Option(help="full: a power cut loses nothing; normal: a killed process loses nothing, faster."),
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print one JSON line when all is up.")] = False,
) -> None:
    """Run Temporal, Postgres, the local exchange, the API and the workers; Ctrl-C stops them.

    Data stays in the data directory, so that the next start goes on where this one ended.
    """
    console = Console(stderr=True)
    runtime.logging.configure()
    settings = settings_of(data_dir)
    embedded = settings.embedded
    ports = Ports(
        temporal=_chosen(temporal_port, embedded.temporal_port),
        temporal_ui=_chosen(ui_port, embedded.temporal_ui_port),
        api=_chosen(api_port, embedded.api_port),
        simulator=_chosen(simulator_port, embedded.simulator_port),
        simulator_admin=_chosen(simulator_admin_port, embedded.simulator_admin_port),
        postgres=_chosen(postgres_port, embedded.postgres_port),
    )
    search = default_search(embedded.temporal_cli)
    _get_temporal(search, console)
    options = StackOptions(
        data_dir=data_dir or embedded.data_dir,
        parts=frozenset(parts) if parts else parts_of(settings),
        ports=ports,
        port_options=PORT_OPTIONS,
        fsync=embedded.postgres_fsync,
        synchronous=_synchronous(durability, embedded),
        temporal_search=search,
        observe=_narrator(console),
    )
    asyncio.run(run_until_stopped(options, console, json_output=json_output))


def settings_of(data_dir: Path | None) -> Settings:
    """Read the settings as the stack of a folder will: one that is named has lines of its own."""
    return load() if data_dir is None else load(env_file=DataDir(data_dir).env_file)


def parts_of(settings: Settings) -> frozenset[Part]:
    """Return what the settings ask for: with HOLDFAST_FEED_STANDBY a worker for the standby feeds too."""
    return ALL_PARTS | {Part.WORKER_FEED_STANDBY} if settings.feeds.standby else ALL_PARTS


def _chosen(option: int | None, setting: int) -> int:
    return setting if option is None else option


def _synchronous(durability: Durability | None, embedded: EmbeddedSettings) -> Synchronous:
    return embedded.sqlite_synchronous if durability is None else durability.value


def _get_temporal(search: BinarySearch, console: Console) -> TemporalBinary:
    """Finds or gets the program before the event loop runs, so that Ctrl-C ends a long build at once."""
    if found := search.present():
        return found
    with console.status("[bold]Getting the Temporal server (once)") as status:
        return search.resolve(
            lambda text: status.update(f"[bold]Getting the Temporal server (once):[/] {text}")
        )


def _narrator(console: Console) -> Observer:
    began = time.monotonic()

    def narrate(event: PartEvent) -> None:
        colour = {PartState.HEALTHY: "green", PartState.FAILED: "red", PartState.RESTARTING: "yellow"}
        style = colour.get(event.state, "dim")
        at = f"{time.monotonic() - began:6.1f} s"
        console.print(f"[dim]{at}[/]  {event.part:<14} [{style}]{event.state}[/] {event.detail}")

    return narrate


async def run_until_stopped(options: StackOptions, console: Console, *, json_output: bool) -> None:
    """Starts the stack, shows where it is, and runs it until a signal asks it to stop."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    stack = EmbeddedStack(options)
    stopped = asyncio.create_task(stop.wait())
    try:
        starting = asyncio.create_task(stack.start())
        await asyncio.wait([starting, stopped], return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
            show(stack, console, json_output=json_output)
            ended = asyncio.create_task(stack.wait_ended())
            await asyncio.wait([ended, stopped], return_when=asyncio.FIRST_COMPLETED)
            if ended.done():
                ended.result()
            ended.cancel()
        else:
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
    finally:
        stopped.cancel()
        console.print("[dim]stopping[/]")
        await stack.stop()


def places(stack: EmbeddedStack) -> dict[str, str]:
    """Returns the addresses of a running stack by name."""
    found = {
        Part.API: {"api": stack.api_url, "api_docs": f"{stack.api_url}/docs"},
        Part.TEMPORAL: {"temporal_ui": stack.temporal_ui_url, "temporal": stack.temporal_address},
        Part.SIMULATOR: {"simulator": stack.simulator_url, "simulator_admin": stack.simulator_admin_url},
        Part.POSTGRES: {"postgres": f"{LOOPBACK}:{stack.ports.postgres}"},
    }
    running = stack.supervisor.parts
    return {name: place for part, named in found.items() if part in running for name, place in named.items()}


def show(stack: EmbeddedStack, console: Console, *, json_output: bool) -> None:
    """Prints the addresses: a table, or one JSON line on standard output."""
    if json_output:
        details = {
            "data_dir": str(stack.data_dir.root),
            "env_file": str(stack.data_dir.env_file),
            "metrics": str(stack.data_dir.metrics),
            "pid": os.getpid(),
        }
        sys.stdout.write(json.dumps({**places(stack), **details}) + "\n")
        sys.stdout.flush()
        return
    table = Table(title="Holdfast is up", title_justify="left", title_style="bold green")
    table.add_column("what")
    table.add_column("where")
    for name, place in places(stack).items():
        table.add_row(name.replace("_", " "), place)
    console.print(table)
    console.print(f"logs: {stack.data_dir.logs}/*.log", soft_wrap=True)
    console.print(f"settings and secrets: {stack.data_dir.env_file}", soft_wrap=True)
    console.print(f"metrics: named for Prometheus in {stack.data_dir.metrics}/*.json", soft_wrap=True)
    console.print("[dim]Ctrl-C stops it; the data stays.[/]")
