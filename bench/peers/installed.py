"""Peers in virtual environments of their own: never a dependency of ours."""

import asyncio
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

THEIRS = Path(__file__).parent / "theirs"
LIMIT_S = 1_800.0


class NotMeasured(Exception):
    """A peer could not be installed or run here; the text says why."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A package and the script that drives it."""

    package: str
    version: str
    script: str


NAUTILUS = Peer("nautilus_trader", "1.221.0", "nautilus_emulator.py")
FREQTRADE = Peer("freqtrade", "2026.9", "freqtrade_loop.py")


async def run_peer(peer: Peer, folder: Path, *arguments: str) -> bytes:
    """Run a peer's script by its own interpreter, installing it first; return what it printed.

    Args:
        peer: The peer.
        folder: Where virtual environments are kept.
        arguments: Arguments of its script.

    Raises:
        NotMeasured: It could not be installed, or its script failed.
    """
    python = await _installed(peer, folder)
    return await _run(str(python), str(THEIRS / peer.script), *arguments)


async def _installed(peer: Peer, folder: Path) -> Path:
    home = folder / f"{peer.package}-{peer.version}"
    python, mark = home / "bin" / "python", home / ".installed"
    if not await asyncio.to_thread(mark.exists):
        await asyncio.to_thread(shutil.rmtree, home, ignore_errors=True)
        await _run(sys.executable, "-m", "venv", str(home))
        requirement = f"{peer.package}=={peer.version}"
        await _run(str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", requirement)
        await asyncio.to_thread(mark.touch)
    return python


async def _run(*command: str) -> bytes:
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(LIMIT_S):
            output, told = await process.communicate()
    except TimeoutError:
        raise NotMeasured(f"{command[1]} did not end within {LIMIT_S:.0f} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise NotMeasured(told.decode(errors="replace").strip()[-600:] or f"exit code {process.returncode}")
    return output
