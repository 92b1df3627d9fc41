"""Checks of an installation: each says what it found and names the command that mends it.

A check gets its probes injected, so that each can be shown failing; the real ones are in `doctor_probes`.
"""

import asyncio
import stat
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from runtime.embedded.temporal_binary import VERSION, BinarySearch, TemporalBinaryMissing

CHECK_LIMIT_SECONDS = 10.0
WARN_SKEW_SECONDS = 2.0
FAIL_SKEW_SECONDS = 10.0
"""The venue's authentication headers carry seconds and are refused when they are far off."""


class Outcome(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found.

    Attributes:
        name: The check.
        outcome: Whether it is well.
        detail: A sentence; never a secret.
        fix: The command or step that mends it; None when all is well.
    """

    name: str
    outcome: Outcome
    detail: str
    fix: str | None = None


class ProbeFailed(Exception):
    """A probe could not do its work; the text says why, without secrets."""


class Check(Protocol):
    """One check."""

    @property
    def name(self) -> str:
        """Its name in the report."""
        ...

    async def run(self) -> Sequence[Finding]:
        """Returns what it found; a failure of its probe is a finding, not an error."""
        ...


@dataclass(frozen=True, slots=True)
class TemporalBinaryCheck:
    """Is the `temporal` program there, which way did it come, is it the version that was tested?"""

    search: BinarySearch
    version: Callable[[Path], str]
    name: str = "temporal program"

    async def run(self) -> Sequence[Finding]:
        """Looks without downloading or building."""
        try:
            found = self.search.present()
        except TemporalBinaryMissing as missing:
            return [Finding(self.name, Outcome.FAIL, str(missing), "unset HOLDFAST_TEMPORAL_CLI")]
        if found is None:
            detail = "neither named, nor on PATH, nor cached"
            return [Finding(self.name, Outcome.FAIL, detail, "make setup")]
        text = await asyncio.to_thread(self.version, found.path)
        detail = f"{found.path} ({found.source}), {text}"
        if VERSION not in text:
            fix = f"unset HOLDFAST_TEMPORAL_CLI or take it off PATH, then make setup (tested: {VERSION})"
            return [Finding(self.name, Outcome.WARN, detail, fix)]
        return [Finding(self.name, Outcome.OK, detail)]


@dataclass(frozen=True, slots=True)
class PortsCheck:
    """Are the ports free, or held by our own running stack?"""

    ports: Mapping[str, int]
    options: Mapping[str, str]
    is_free: Callable[[int], bool]
    stack_pid: Callable[[], int | None]
    name: str = "ports"

    async def run(self) -> Sequence[Finding]:
        """Tries to bind each port."""
        if pid := self.stack_pid():
            return [Finding(self.name, Outcome.OK, f"held by the running stack, process {pid}")]
        busy = {name: port for name, port in self.ports.items() if not self.is_free(port)}
        if not busy:
            return [Finding(self.name, Outcome.OK, "all free")]
        return [
            Finding(
                f"{self.name}: {name}",
                Outcome.FAIL,
                f"{port} is in use by another program",
                f"holdfast up {self.options[name]}",
            )
            for name, port in busy.items()
        ]


@dataclass(frozen=True, slots=True)
class EnvFileCheck:
    """Can only its owner read the file with the secrets?"""

    path: Path | None
    name: str = "env file"

    async def run(self) -> Sequence[Finding]:
        """Reads the file's mode."""
        if self.path is None:
            return [Finding(self.name, Outcome.WARN, "there is none", "holdfast up")]
        mode = stat.S_IMODE(self.path.stat().st_mode)
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            detail = f"{self.path} holds secrets and others may read it (mode {mode:o})"
            return [Finding(self.name, Outcome.FAIL, detail, f"chmod 600 {self.path}")]
        return [Finding(self.name, Outcome.OK, str(self.path))]


@dataclass(frozen=True, slots=True)
class ClockCheck:
    """Does this machine's clock agree with the venue's?"""

    venue_time: Callable[[], Awaitable[float]]
    now: Callable[[], float] = time.time
    name: str = "clock"

    async def run(self) -> Sequence[Finding]:
        """Compares with the middle of the request, since the answer took time to come."""
        before = self.now()
        try:
            venue = await self.venue_time()
        except ProbeFailed as failure:
            return [
                Finding(self.name, Outcome.WARN, f"the venue's time is unknown: {failure}", "holdfast doctor")
            ]
        skew = venue - (before + self.now()) / 2
        detail = f"{abs(skew):.1f} s {'behind' if skew > 0 else 'ahead of'} the venue"
        # The venue answers in whole seconds, so up to one second says nothing.
        if abs(skew) <= WARN_SKEW_SECONDS:
            return [Finding(self.name, Outcome.OK, detail)]
        outcome = Outcome.FAIL if abs(skew) > FAIL_SKEW_SECONDS else Outcome.WARN
        return [Finding(self.name, outcome, detail, "timedatectl set-ntp true")]


@dataclass(frozen=True, slots=True)
class DatabaseCheck:
    """Does Postgres answer, with our tables up to date?"""

    revision: Callable[[], Awaitable[str | None]]
    head: str | None
    name: str = "database"

    async def run(self) -> Sequence[Finding]:
        """Reads the revision of the tables."""
        try:
            found = await self.revision()
        except ProbeFailed as failure:
            return [Finding(self.name, Outcome.FAIL, str(failure), "holdfast up")]
        if found != self.head:
            detail = f"tables at {found or 'no revision'}, this version needs {self.head}"
            return [Finding(self.name, Outcome.FAIL, detail, "python -m storage.migrate upgrade")]
        return [Finding(self.name, Outcome.OK, f"answers, tables at {found}")]


@dataclass(frozen=True, slots=True)
class ReachableCheck:
    """Does something answer?"""

    name: str
    probe: Callable[[], Awaitable[str]]
    fix: str

    async def run(self) -> Sequence[Finding]:
        """Asks it once."""
        try:
            return [Finding(self.name, Outcome.OK, await self.probe())]
        except ProbeFailed as failure:
            return [Finding(self.name, Outcome.FAIL, str(failure), self.fix)]


@dataclass(frozen=True, slots=True)
class TemporalExposureCheck:
    """Is Temporal's port closed to other machines? Who reaches it can command every workflow."""

    host: str
    port: int
    tls: bool
    other_addresses: Callable[[], Sequence[str]]
    accepts: Callable[[str, int], Awaitable[bool]]
    name: str = "temporal exposure"

    async def run(self) -> Sequence[Finding]:
        """Knocks at the port on this machine's other addresses; beyond loopback it asks for TLS."""
        if self.host not in {"127.0.0.1", "localhost", "::1"}:
            if self.tls:
                return [Finding(self.name, Outcome.OK, f"{self.host} is reached by TLS")]
            detail = f"{self.host} is another machine and is reached without TLS"
            return [Finding(self.name, Outcome.FAIL, detail, "set HOLDFAST_TEMPORAL_TLS=true")]
        open_at = [address for address in self.other_addresses() if await self.accepts(address, self.port)]
        if open_at:
            detail = f"port {self.port} is open to other machines at {', '.join(open_at)}"
            fix = "run it by `holdfast up`, or start Temporal with --ip 127.0.0.1"
            return [Finding(self.name, Outcome.FAIL, detail, fix)]
        return [Finding(self.name, Outcome.OK, "bound to loopback")]


@dataclass(frozen=True, slots=True)
class GeoblockCheck:
    """May this place trade at the venue?"""

    probe: Callable[[], Awaitable[tuple[bool, str | None]]]
    name: str = "geoblock"

    async def run(self) -> Sequence[Finding]:
        """Asks the venue's own page."""
        try:
            blocked, country = await self.probe()
        except ProbeFailed as failure:
            return [Finding(self.name, Outcome.WARN, str(failure), "check the network, then holdfast doctor")]
        place = country or "this place"
        if blocked:
            detail = f"the venue blocks {place}: orders that open positions are refused"
            return [
                Finding(self.name, Outcome.FAIL, detail, "stay in paper mode: holdfast account mode paper")
            ]
        return [Finding(self.name, Outcome.OK, f"{place} is not blocked")]


@dataclass(frozen=True, slots=True)
class AccountCheck:
    """One check of an account, as the API answers it.

    Attributes:
        account: The account's id or name.
        name: What was checked (credentials, allowance, balance, …).
        ok: Whether it is well.
        detail: A sentence.
        fix: What mends it.
    """

    account: str
    name: str
    ok: bool
    detail: str
    fix: str | None


@dataclass(frozen=True, slots=True)
class AccountsCheck:
    """Do the accounts have what they need: credentials, allowance, balance?"""

    probe: Callable[[], Awaitable[Sequence[AccountCheck]]]
    name: str = "accounts"

    async def run(self) -> Sequence[Finding]:
        """Asks the API, which holds the credentials."""
        try:
            answers = await self.probe()
        except ProbeFailed as failure:
            return [Finding(self.name, Outcome.FAIL, str(failure), "holdfast up")]
        if not answers:
            return [Finding(self.name, Outcome.WARN, "there is no account", "holdfast account create NAME")]
        return [
            Finding(
                f"{answer.name} of {answer.account}",
                Outcome.OK if answer.ok else Outcome.FAIL,
                answer.detail,
                None if answer.ok else answer.fix or "holdfast credentials set",
            )
            for answer in answers
        ]


async def examine(checks: Sequence[Check], limit_seconds: float = CHECK_LIMIT_SECONDS) -> list[Finding]:
    """Runs all checks side by side and returns their findings in order; one that hangs has failed."""
    answers = await asyncio.gather(*(_within(check, limit_seconds) for check in checks))
    return [finding for findings in answers for finding in findings]


async def _within(check: Check, limit_seconds: float) -> Sequence[Finding]:
    try:
        return await asyncio.wait_for(check.run(), limit_seconds)
    except TimeoutError:
        detail = f"no answer within {limit_seconds:g} s"
        return [Finding(check.name, Outcome.FAIL, detail, "holdfast up, or read .holdfast/logs")]
