"""How a command's failure is shown: the problem, the next step, and an exit code that is not zero."""

import json
import sys
from collections.abc import Mapping
from typing import Protocol, runtime_checkable

EXIT_FAILED = 1
EXIT_UNUSABLE = 2
EXIT_INTERRUPTED = 130


class CommandFailed(Exception):
    """A command could not do its work.

    Args:
        problem: What happened, in a sentence.
        next_step: What the reader can do, ideally a command.
        exit_code: 1 for a failure, 2 for input that cannot be used.
    """

    def __init__(self, problem: str, next_step: str | None = None, *, exit_code: int = EXIT_FAILED) -> None:
        super().__init__(problem)
        self.problem = problem
        self.next_step = next_step
        self.exit_code = exit_code


@runtime_checkable
class HasNextStep(Protocol):
    """An error that knows what its reader can do."""

    next_step: str


# Foreseen errors of other modules. Named, not imported: an error can only come from a module that is loaded,
# and `replay` must not load the others.
FORESEEN: Mapping[str, str | None] = {
    "cli.client:CallFailed": None,
    "runtime.settings:SettingsError": None,
    "runtime.embedded.layout:StackAlreadyRunning": None,
    "runtime.embedded.ports:PortBusy": None,
    "runtime.embedded.temporal_binary:TemporalBinaryMissing": "run `holdfast doctor` for more",
    "runtime.embedded.unprivileged:NoUnprivilegedUser": None,
    "runtime.embedded.postgres:PostgresUnusable": None,
    "runtime.embedded.backup:BackupUnusable": None,
    "runtime.embedded.stack:VenueContradicted": (
        "start without the simulator, each part with --part; or unset it, or take another folder"
    ),
    "runtime.embedded.supervisor:PartFailed": "run `holdfast doctor`, or read the log",
    "runtime.embedded.local_stack:MigrationFailed": "restore a backup, or start with another --data-dir",
    "pydantic:ValidationError": "correct the named setting",
    "httpx2:TransportError": "is the stack running? start it with `holdfast up`",
}


def report(error: Exception, *, as_json: bool) -> int | None:
    """Prints a foreseen error on standard error and returns the exit code; None for a defect."""
    failure = error if isinstance(error, CommandFailed) else _foreseen(error)
    if failure is None:
        return None
    if as_json:
        text = json.dumps({**_document(error), "error": failure.problem, "next_step": failure.next_step})
    else:
        text = f"error: {failure.problem}" + (f"\n  next: {failure.next_step}" if failure.next_step else "")
    sys.stderr.write(text + "\n")
    return failure.exit_code


@runtime_checkable
class HasDocument(Protocol):
    """An error that carries the problem document of the API."""

    document: Mapping[str, object]


def _document(error: Exception) -> Mapping[str, object]:
    return error.document if isinstance(error, HasDocument) else {}


def _foreseen(error: Exception) -> CommandFailed | None:
    for name, next_step in FORESEEN.items():
        module, _, attribute = name.partition(":")
        kind = getattr(sys.modules.get(module), attribute, None)
        if isinstance(kind, type) and isinstance(error, kind):
            own_step = error.next_step if isinstance(error, HasNextStep) else next_step
            return CommandFailed(str(error), own_step)
    return None
