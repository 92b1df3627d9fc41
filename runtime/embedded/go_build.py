"""Builds a pinned Go program from one of the module folders in `tools/`, with progress."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

TOOLS = Path(__file__).resolve().parents[2] / "tools"

Announce = Callable[[str], None]
"""Receives one line of progress."""


class WayClosed(Exception):
    """One way to a program (download, build) does not work here; the text says why."""


@dataclass(frozen=True, slots=True)
class GoProgram:
    """A program to build.

    Attributes:
        name: What it is called in messages.
        version: Its pinned version.
        module: Folder with the go.mod that pins it as a tool.
        package: Its import path.
        packages_to_compile: Roughly, for the progress shown; with an empty build cache.
        linker_flags: Beside those that strip it.
    """

    name: str
    version: str
    module: Path
    package: str
    packages_to_compile: int
    linker_flags: str = ""

    def build(self, program: Path, announce: Announce) -> None:
        """Builds it into `program`: some minutes on two cores.

        Raises:
            WayClosed: No Go, no module folder, or the build failed.
        """
        go = shutil.which("go")
        if go is None:
            raise WayClosed("go is not on PATH")
        if not (self.module / "go.mod").is_file():
            raise WayClosed(f"{self.module} is not here; it is part of the source tree, not of the wheel")
        announce(f"building {self.name} {self.version} with {go}: some minutes on two cores, once")
        with subprocess.Popen(  # noqa: S603 - go itself
            self._command(go, program),
            cwd=self.module,
            # The servers' SQLite is pure Go: without cgo no C compiler is needed.
            env={**os.environ, "CGO_ENABLED": "0", "GOWORK": "off"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        ) as process:
            tail = list(self._follow(process, announce))
        if process.returncode != 0:
            raise WayClosed("go build failed: " + " / ".join(tail[-5:]))

    def _command(self, go: str, program: Path) -> list[str]:
        return [
            go, "build", "-v", "-mod=readonly", "-trimpath",
            "-ldflags", f"-s -w {self.linker_flags}".strip(),
            "-o", str(program), self.package,
        ]  # fmt: skip

    def _follow(self, process: subprocess.Popen[str], announce: Announce) -> Iterator[str]:
        """Yields the compiler's lines and announces progress, every now and then."""
        downloaded = compiled = 0
        for line in process.stderr or ():
            text = line.strip()
            yield text
            if text.startswith("go: downloading"):
                downloaded += 1
                if downloaded % 25 == 1:
                    announce(f"downloading Go modules ({downloaded} so far)")
            elif "/" in text and " " not in text:
                compiled += 1
                if compiled % 100 == 0:
                    announce(f"compiled {compiled} packages of about {self.packages_to_compile}")
