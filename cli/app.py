"""The `holdfast` program: tables of commands whose modules are imported only when they are called.

To add a command, add one line: to `COMMANDS` for a function, to `GROUPS` for a Typer app of several.
"""

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import FunctionType

import typer
from typer.main import get_command, get_group

from cli.errors import EXIT_INTERRUPTED, report


@dataclass(frozen=True, slots=True)
class Entry:
    """A command that is not imported yet.

    Attributes:
        target: `module:attribute`; a function for a command, a `typer.Typer` for a group.
        help: Its line in `holdfast --help`.
    """

    target: str
    help: str


COMMANDS: Mapping[str, Entry] = {
    "up": Entry("cli.up:up", "Run the whole stack on this machine; Ctrl-C stops it."),
    "demo": Entry("cli.demo:demo", "Protect a position on the local exchange, live, from price to fill."),
    "doctor": Entry("cli.doctor:doctor", "Check every part and name the command that mends it."),
    "api": Entry("cli.programs:api", "Run the API alone."),
    "worker": Entry("cli.programs:worker", "Run one worker process."),
    "simulator": Entry("cli.programs:simulator", "Run the local exchange alone."),
    "backup": Entry("cli.backup:backup", "Copy Temporal and Postgres of this machine's stack into a folder."),
    "restore": Entry("cli.backup:restore_backup", "Put a backup in place of what a stopped stack holds."),
    "status": Entry("cli.status:status", "Show whether prices are watched, and how fresh they are."),
    "orders": Entry("cli.orders:orders", "List orders."),
    "events": Entry("cli.events:events", "List what happened to rules."),
    "record": Entry("cli.record:record", "Write a market's live quotes to a tape file."),
    "replay": Entry("cli.replay:replay", "Run a rule over a recorded tape; needs no server."),
}

GROUPS: Mapping[str, Entry] = {
    "account": Entry("cli.accounts:app", "Create and list accounts."),
    "codec": Entry("cli.codec:app", "Encrypt what Temporal stores: make keys, see which are needed."),
    "key": Entry("cli.keys:app", "Create and revoke API keys."),
    "credentials": Entry(
        "cli.credentials:app", "Store a venue's credentials, from a prompt or a descriptor."
    ),
    "positions": Entry("cli.positions:app", "List positions, show their adjustments, import bare ones."),
    "rule": Entry("cli.rules:app", "Create, preview, explain, watch, replay, change and cancel rules."),
    "order": Entry("cli.orders:app", "Place, show and cancel an order of your own."),
}

# Everything behind the name belongs to the real command, `--help` included.
_PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": list[str]()}


class MissingCommand(Exception):
    """A table entry names something that is no command."""


def build() -> typer.Typer:
    """Returns the program with a stand-in for each command, which imports the real one when it is called."""
    program = typer.Typer(
        name="holdfast",
        help="Durable trade protection: every rule is a Temporal workflow.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    for name, entry in {**COMMANDS, **GROUPS}.items():
        program.command(name, help=entry.help, context_settings=dict(_PASS_ON))(_stand_in(name, entry))
    return program


def _stand_in(name: str, entry: Entry) -> Callable[[typer.Context], None]:
    def call(context: typer.Context) -> None:
        run(name, entry, context.args)

    return call


def run(name: str, entry: Entry, arguments: Sequence[str]) -> None:
    """Imports a command and runs it with `arguments`; ends the process as the command asks.

    Raises:
        MissingCommand: The entry's target is neither a function nor a Typer app.
    """
    module, _, attribute = entry.target.partition(":")
    target: object = getattr(importlib.import_module(module), attribute)
    if isinstance(target, typer.Typer):
        command = get_group(target)
    elif isinstance(target, FunctionType):
        alone = typer.Typer(add_completion=False)
        alone.command(name)(target)
        command = get_command(alone)
    else:
        raise MissingCommand(f"{entry.target} is neither a function nor a Typer app")
    command.main(args=list(arguments), prog_name=f"holdfast {name}")


def main() -> None:
    """Runs the program; a foreseeable failure is printed with its next step, a defect keeps its traceback."""
    try:
        build()()
    except KeyboardInterrupt:
        raise SystemExit(EXIT_INTERRUPTED) from None
    except Exception as error:
        code = report(error, as_json="--json" in sys.argv)
        if code is None:
            raise
        raise SystemExit(code) from None


if __name__ == "__main__":
    main()
