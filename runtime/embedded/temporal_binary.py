"""Finds the `temporal` program, or gets it: named, on PATH, cached, downloaded by the SDK, built by Go.

`python -m runtime.embedded.temporal_binary` resolves it and prints where it is and which way it came.
"""

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from runtime.embedded.go_build import TOOLS, Announce, GoProgram, WayClosed

VERSION = "1.5.1"
MODULE_FOLDER = TOOLS / "temporal"
COMMAND_PACKAGE = "github.com/temporalio/cli/cmd/temporal"
VERSION_VARIABLE = "github.com/temporalio/cli/temporalcli.Version"
DOWNLOAD_LIMIT_SECONDS = 90


class Source(StrEnum):
    """The way by which the program was found, in the order tried."""

    NAMED = "named"
    PATH = "path"
    CACHE = "cache"
    DOWNLOAD = "download"
    BUILD = "build"


@dataclass(frozen=True, slots=True)
class TemporalBinary:
    """The program and where it came from."""

    path: Path
    source: Source


class TemporalBinaryMissing(Exception):
    """No way led to the program; the text lists what was tried and what to do."""


@dataclass(frozen=True, slots=True)
class BinarySearch:
    """Where to look and how to get it; the functions are arguments so that each way can be tested alone.

    Attributes:
        named: Value of `HOLDFAST_TEMPORAL_CLI`.
        search_path: Value of PATH.
        cache: Folder that holds programs got earlier.
        download: Puts the program at the given path; raises WayClosed.
        build: The same, by Go.
    """

    named: Path | None
    search_path: str
    cache: Path
    download: Callable[[Path, Announce], None]
    build: Callable[[Path, Announce], None]

    @property
    def cached(self) -> Path:
        """Where a program that was got is kept."""
        return self.cache / f"temporal-{VERSION}" / "temporal"

    def present(self) -> TemporalBinary | None:
        """Returns the program when it is there already, without network or compiler.

        Raises:
            TemporalBinaryMissing: `HOLDFAST_TEMPORAL_CLI` names no program.
        """
        if self.named is not None:
            if not is_program(self.named):
                raise TemporalBinaryMissing(
                    f"HOLDFAST_TEMPORAL_CLI names {self.named}, which is no program: correct it or unset it"
                )
            return TemporalBinary(self.named, Source.NAMED)
        if found := shutil.which("temporal", path=self.search_path):
            return TemporalBinary(Path(found), Source.PATH)
        if is_program(self.cached):
            return TemporalBinary(self.cached, Source.CACHE)
        return None

    def resolve(self, announce: Announce) -> TemporalBinary:
        """Returns the program, getting it when it is not there; several processes may call it at once.

        Raises:
            TemporalBinaryMissing: No way led to it.
        """
        if found := self.present():
            return found
        self.cached.parent.mkdir(parents=True, exist_ok=True)
        with locked(self.cached.with_name("lock"), announce):
            # Another process may have got it while this one waited.
            return self.present() or self._get(announce)

    def _get(self, announce: Announce) -> TemporalBinary:
        refusals: list[str] = []
        for source, way in ((Source.DOWNLOAD, self.download), (Source.BUILD, self.build)):
            with tempfile.TemporaryDirectory(dir=self.cached.parent, prefix="new-") as folder:
                program = Path(folder) / "temporal"
                try:
                    way(program, announce)
                except WayClosed as closed:
                    announce(f"{source}: {closed}")
                    refusals.append(f"{source}: {closed}")
                    continue
                program.chmod(0o755)
                program.replace(self.cached)
                return TemporalBinary(self.cached, source)
        raise TemporalBinaryMissing(
            f"the temporal program {VERSION} is neither on PATH nor cached, and could not be got "
            f"({'; '.join(refusals)}). Install Go 1.25 or newer, or put temporal on PATH, "
            "or name it in HOLDFAST_TEMPORAL_CLI."
        )


def default_search(named: Path | None = None) -> BinarySearch:
    """Returns the search of this machine: PATH, the user's cache, the SDK's download, a Go build."""
    return BinarySearch(
        named, os.environ.get("PATH", os.defpath), cache_folder(), download_by_sdk, build_by_go
    )


def cache_folder() -> Path:
    """Returns `$XDG_CACHE_HOME/holdfast`, by default `~/.cache/holdfast`."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "holdfast"


def download_by_sdk(program: Path, announce: Announce) -> None:
    """Lets the Temporal SDK download it; where that is blocked the refusal comes at once.

    Raises:
        WayClosed: Refused, failed, or not done within the limit.
    """
    announce(f"downloading temporal {VERSION} by the Temporal SDK")
    command = [sys.executable, "-m", "runtime.embedded.sdk_download", str(program.parent), f"v{VERSION}"]
    try:
        subprocess.run(  # noqa: S603 - our own module
            command,
            check=True,
            capture_output=True,
            timeout=DOWNLOAD_LIMIT_SECONDS,
            cwd=MODULE_FOLDER.parents[1],
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        raise WayClosed(f"not done within {DOWNLOAD_LIMIT_SECONDS} s") from None
    except subprocess.CalledProcessError as error:
        raise WayClosed(_last_line(error.stderr) or f"exit code {error.returncode}") from None
    downloaded = [path for path in program.parent.iterdir() if is_program(path)]
    if not downloaded:
        raise WayClosed("the SDK left no program behind")
    downloaded[0].replace(program)


def build_by_go(program: Path, announce: Announce) -> None:
    """Builds it from the pinned module in `tools/temporal`: about two minutes on two cores.

    Raises:
        WayClosed: No Go, no module folder, or the build failed.
    """
    GoProgram(
        name="temporal",
        version=VERSION,
        module=MODULE_FOLDER,
        package=COMMAND_PACKAGE,
        packages_to_compile=1400,
        linker_flags=f"-X {VERSION_VARIABLE}={VERSION}",
    ).build(program, announce)


def is_program(path: Path) -> bool:
    """Tells whether a file is there that may be executed."""
    return path.is_file() and os.access(path, os.X_OK)


def _last_line(output: bytes | None) -> str:
    lines = (output or b"").decode(errors="replace").strip().splitlines()
    return lines[-1].strip() if lines else ""


@contextmanager
def locked(path: Path, announce: Announce) -> Generator[None]:
    """Holds a lock file, so that only one process gets a program while the others wait for it."""
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            announce("another process is getting it; waiting")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def main() -> None:
    """Resolves the program with progress on standard error and prints its path and source."""
    named = os.environ.get("HOLDFAST_TEMPORAL_CLI")

    def announce(text: str) -> None:
        sys.stderr.write(f"  {text}\n")
        sys.stderr.flush()

    try:
        found = default_search(Path(named) if named else None).resolve(announce)
    except TemporalBinaryMissing as missing:
        raise SystemExit(str(missing)) from None
    sys.stdout.write(f"temporal: {found.path} ({found.source})\n")


if __name__ == "__main__":
    main()
