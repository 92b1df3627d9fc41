"""The Temporal server's own programs, built by Go from the module in `tools/temporal-server` and cached.

`python -m runtime.cluster.programs` gets both and prints where they are.
"""

import sys
import tempfile
from pathlib import Path

from runtime.embedded.go_build import TOOLS, Announce, GoProgram, WayClosed
from runtime.embedded.temporal_binary import cache_folder, is_program, locked

SERVER_VERSION = "1.32.1"
MODULE_FOLDER = TOOLS / "temporal-server"

SERVER = GoProgram(
    name="temporal-server",
    version=SERVER_VERSION,
    module=MODULE_FOLDER,
    package="go.temporal.io/server/cmd/server",
    packages_to_compile=1400,
)
SQL_TOOL = GoProgram(
    name="temporal-sql-tool",
    version=SERVER_VERSION,
    module=MODULE_FOLDER,
    package="go.temporal.io/server/cmd/tools/sql",
    packages_to_compile=500,
)


class ServerProgramMissing(Exception):
    """A program of the Temporal server could not be built; the text says why and what to do."""


def program_folder() -> Path:
    """Returns where the programs are kept, one folder for each version."""
    return cache_folder() / f"temporal-server-{SERVER_VERSION}"


def present(program: GoProgram) -> Path | None:
    """Returns the program when it was built earlier."""
    path = program_folder() / program.name
    return path if is_program(path) else None


def resolve(program: GoProgram, announce: Announce) -> Path:
    """Returns the program, building it when it is not there; several processes may call it at once.

    Raises:
        ServerProgramMissing: It could not be built.
    """
    if found := present(program):
        return found
    folder = program_folder()
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / "lock", announce):
        return present(program) or _build(program, folder, announce)


def _build(program: GoProgram, folder: Path, announce: Announce) -> Path:
    path = folder / program.name
    with tempfile.TemporaryDirectory(dir=folder, prefix="new-") as scratch:
        fresh = Path(scratch) / program.name
        try:
            program.build(fresh, announce)
        except WayClosed as closed:
            raise ServerProgramMissing(
                f"{program.name} {program.version} could not be built: {closed}. "
                "It needs Go and, the first time, its module proxy."
            ) from None
        fresh.chmod(0o755)
        fresh.replace(path)
    return path


def main() -> None:
    """Gets both programs, with progress on standard error."""

    def announce(text: str) -> None:
        sys.stderr.write(f"  {text}\n")
        sys.stderr.flush()

    for program in (SQL_TOOL, SERVER):
        try:
            path = resolve(program, announce)
        except ServerProgramMissing as missing:
            raise SystemExit(str(missing)) from None
        sys.stdout.write(f"{program.name}: {path}\n")


if __name__ == "__main__":
    main()
