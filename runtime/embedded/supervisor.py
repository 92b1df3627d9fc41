"""Keeps parts running: starts them, waits for health, restarts what dies, stops in reverse order."""

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import structlog

from runtime.embedded.probes import Probe
from runtime.embedded.process import ChildProcess, Command, PidsFile

log = structlog.stdlib.get_logger(__name__)


class PartState(StrEnum):
    """Where a part stands."""

    STARTING = "starting"
    HEALTHY = "healthy"
    PAUSED = "paused"
    RESTARTING = "restarting"
    STOPPED = "stopped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class PartEvent:
    """A change of a part, for a live view. `asked`: it did not die, the supervisor restarts it."""

    part: str
    state: PartState
    detail: str = ""
    asked: bool = False


Observer = Callable[[PartEvent], None]
Spawn = Callable[[Command, Path], Awaitable[ChildProcess]]


class PartFailed(Exception):
    """A part did not become healthy.

    Args:
        part: Its name.
        reason: What happened, with the end of its log.
        log_file: Where to read more.
    """

    def __init__(self, part: str, reason: str, log_file: Path) -> None:
        super().__init__(f"{part} {reason}\nlog: {log_file}")
        self.part = part
        self.log_file = log_file


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast the supervisor works, in seconds."""

    probe_interval: float = 0.05
    first_backoff: float = 0.05
    longest_backoff: float = 2.0
    """Exits have ten seconds after a kill: a longer pause would use them up."""
    steady_after: float = 10.0
    """A part that was healthy this long starts its backoff anew."""


@dataclass(frozen=True, slots=True)
class PartSpec:
    """What the supervisor knows of a part.

    Attributes:
        name: Its name, unique in a supervisor.
        command: How to run it.
        log_file: Where its output goes.
        probe: Whether it is healthy.
        start_limit: Seconds within which it must be healthy.
        grace: Seconds between the request to stop and the kill.
        restart_grace: The same for a restart after another part's return: what it waits for may be an answer
            of the one that died.
        before_start: Awaited before each start (removes a stale readiness file, say).
        restart_after: Parts after whose return from death this one is restarted.
        restart_last: Whether it then starts only when the others are healthy again.
        give_up_after: Failed first starts after which waiting for it fails; it is still tried again.
    """

    name: str
    command: Command
    log_file: Path
    probe: Probe
    start_limit: float = 30.0
    grace: float = 10.0
    restart_grace: float = 3.0
    before_start: Callable[[], None] | None = None
    restart_after: frozenset[str] = frozenset()
    restart_last: bool = False
    give_up_after: int = 3


def _set_event() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event


@dataclass(slots=True)
class _Keeper:
    """The running state of one part."""

    spec: PartSpec
    pace: Pace
    pids: PidsFile
    observe: Observer
    returned: Callable[[str], None]
    spawn: Spawn
    state: PartState = PartState.STARTING
    child: ChildProcess | None = None
    generation: int = 0
    failures: int = 0
    reason: str = ""
    stopping: bool = False
    asked: bool = False
    spawned_at: float = 0.0
    may_start: asyncio.Event = field(default_factory=_set_event)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def run(self) -> None:
        """Runs the part until it is stopped."""
        await self._enter(PartState.STARTING)
        while not self.stopping:
            await self.may_start.wait()
            began = asyncio.get_running_loop().time()
            healthy = await self._run_once()
            if self.stopping:
                break
            lived = asyncio.get_running_loop().time() - began
            if self.asked or (healthy and lived > self.pace.steady_after):
                self.failures = 0
            else:
                self.failures += 1
            asked, self.asked = self.asked, False
            # Told at once: nobody may take it for alive while it waits for its next start.
            state = PartState.STARTING if self.generation == 0 else PartState.RESTARTING
            await self._enter(state, self.reason, asked=asked)
            if not asked:
                await self._pause(healthy=healthy)
        await self._enter(PartState.STOPPED)

    async def _pause(self, *, healthy: bool) -> None:
        """Waits after a death, the longer the more of them were in a row."""
        log.warning("part.died", part=self.spec.name, reason=self.reason, failures=self.failures)
        if not healthy and self.generation == 0 and self.failures >= self.spec.give_up_after:
            await self._enter(PartState.FAILED, self.reason)
        await asyncio.sleep(self._backoff())
        if self.state is PartState.FAILED:
            await self._enter(PartState.STARTING)

    def _backoff(self) -> float:
        doubled = self.pace.first_backoff * 2.0 ** min(self.failures - 1, 10)
        return min(doubled, self.pace.longest_backoff)

    async def _run_once(self) -> bool:
        """Starts it and waits for its end; returns whether it was healthy in between."""
        child = await self._started()
        if child is None:
            return False
        self.child = child
        self.pids.add(child.record(self.spec.name))
        if self.stopping:  # asked while the child was being made
            await child.stop(self.spec.grace)
        ended = asyncio.ensure_future(child.wait())
        try:
            healthy = await self._become_healthy(child, ended)
            if healthy:
                self.generation += 1
                await self._enter(PartState.HEALTHY)
                if self.generation > 1:
                    self.returned(self.spec.name)
            code = await ended
            self.reason = self.reason if not healthy else _describe_exit(code)
            return healthy
        finally:
            if child.exit_code is None:  # only when this task is cancelled
                child.send(signal.SIGKILL)
                await child.wait()
            self.child = None
            self.pids.remove(self.spec.name)

    async def _started(self) -> ChildProcess | None:
        """Starts the child; None when the machine did not let it (no program, memory, descriptors, disk)."""
        try:
            if self.spec.before_start is not None:
                self.spec.before_start()
            self.spawned_at = asyncio.get_running_loop().time()
            return await self.spawn(self.spec.command, self.spec.log_file)
        except OSError as error:
            self.reason = f"could not be started: {error}"
            return None

    async def _become_healthy(self, child: ChildProcess, ended: "asyncio.Future[int]") -> bool:
        deadline = asyncio.get_running_loop().time() + self.spec.start_limit
        while not ended.done():
            if asyncio.get_running_loop().time() > deadline:
                self.reason = f"was not healthy within {self.spec.start_limit:g} s"
                await child.stop(self.spec.grace)
                return False
            if await self.spec.probe():
                return True
            await asyncio.wait([ended], timeout=self.pace.probe_interval)
        self.reason = _describe_exit(ended.result())
        return False

    async def _enter(self, state: PartState, detail: str = "", *, asked: bool = False) -> None:
        async with self.changed:
            self.state = state
            self.changed.notify_all()
        self.observe(PartEvent(self.spec.name, state, detail, asked))

    async def stop(self) -> None:
        """Ends the child, if any, and lets `run` return."""
        self.stopping = True
        if self.child is not None:
            await self.child.stop(self.spec.grace)

    async def restart(self, grace: float) -> None:
        """Stops the child in order; `run` starts it again at once."""
        if self.child is not None:
            self.asked = True
            await self.child.stop(grace)

    async def wait_healthy(self, timeout: float, *, after: int = 0) -> None:
        """Waits until it is healthy in a generation later than `after`."""

        def settled() -> bool:
            fresh = self.state is PartState.HEALTHY and self.generation > after
            return fresh or self.state is PartState.FAILED

        try:
            async with asyncio.timeout(timeout), self.changed:
                await self.changed.wait_for(settled)
        except TimeoutError:
            raise self._failed(f"is not healthy after {timeout:g} s ({self.state})") from None
        if self.state is PartState.FAILED:
            raise self._failed(self.reason)

    def _failed(self, reason: str) -> PartFailed:
        return PartFailed(self.spec.name, f"{reason}{_log_tail(self.spec.log_file)}", self.spec.log_file)


class Supervisor:
    """Runs parts as children of this process, or as `spawn` makes them."""

    def __init__(
        self,
        pids: PidsFile,
        *,
        observe: Observer | None = None,
        pace: Pace | None = None,
        spawn: Spawn = ChildProcess.spawn,
    ) -> None:
        self._pids = pids
        self._observe = observe or _unobserved
        self._pace = pace or Pace()
        self._spawn = spawn
        self._keepers: dict[str, _Keeper] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._restarts: set[asyncio.Task[None]] = set()

    def add(self, spec: PartSpec) -> None:
        """Starts a part without waiting for it."""
        keeper = _Keeper(spec, self._pace, self._pids, self._observe, self._after_return, self._spawn)
        self._keepers[spec.name] = keeper
        self._tasks[spec.name] = asyncio.create_task(keeper.run(), name=f"part {spec.name}")

    async def start(self, spec: PartSpec) -> None:
        """Starts a part and waits until it is healthy.

        Raises:
            PartFailed: It ended or was not healthy in time, several times.
        """
        self.add(spec)
        await self.wait_healthy(spec.name, spec.start_limit * spec.give_up_after)

    async def wait_healthy(self, part: str, timeout: float = 30.0, *, after: int = 0) -> None:
        """Waits until a part is healthy; with `after`, in a generation later than that.

        Raises:
            PartFailed: It is not, within `timeout` seconds, or its keeper ended.
        """
        keeper, task = self._keepers[part], self._tasks[part]
        waiting = asyncio.ensure_future(keeper.wait_healthy(timeout, after=after))
        done, _ = await asyncio.wait([waiting, task], return_when=asyncio.FIRST_COMPLETED)
        if waiting not in done:
            waiting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await waiting
            task.result()  # raises what the probe raised
            raise PartFailed(part, "was stopped", keeper.spec.log_file)
        waiting.result()

    def generation(self, part: str) -> int:
        """Returns how many times a part has become healthy."""
        return self._keepers[part].generation

    def state(self, part: str) -> PartState:
        """Returns where a part stands."""
        return self._keepers[part].state

    def pid(self, part: str) -> int | None:
        """Returns the process id of a part while it runs."""
        child = self._keepers[part].child
        return child.pid if child else None

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts, in the order of their start."""
        return tuple(self._keepers)

    def kill(self, part: str) -> None:
        """Kills a part and everything below it with SIGKILL; it is restarted."""
        self._child(part).send(signal.SIGKILL)

    def pause(self, part: str) -> None:
        """Stops a part's processes where they are (SIGSTOP)."""
        self._child(part).send(signal.SIGSTOP)
        self._keepers[part].state = PartState.PAUSED

    def resume(self, part: str) -> None:
        """Lets a paused part go on (SIGCONT)."""
        self._keepers[part].state = PartState.HEALTHY
        self._child(part).send(signal.SIGCONT)

    def _child(self, part: str) -> ChildProcess:
        keeper = self._keepers[part]
        if keeper.child is None:
            raise PartFailed(part, "is not running", keeper.spec.log_file)
        return keeper.child

    async def restart(self, part: str, timeout: float = 30.0) -> None:
        """Stops a part in order and waits until it is healthy again."""
        keeper = self._keepers[part]
        before = keeper.generation
        await keeper.restart(keeper.spec.grace)
        await self.wait_healthy(part, timeout, after=before)

    def _after_return(self, part: str) -> None:
        """Restarts the parts that lose time with a connection to one that died and is back."""
        task = asyncio.create_task(self._restart_after(part, asyncio.get_running_loop().time()))
        self._restarts.add(task)
        task.add_done_callback(self._restarts.discard)

    async def _restart_after(self, part: str, returned_at: float) -> None:
        """Stops all of them at once, since one may remember what a rolled back part forgot; then starts them.

        Starts that share the processors take as long as all of them together, and some are wanted first.
        """
        followers = [
            keeper
            for keeper in self._keepers.values()
            if part in keeper.spec.restart_after and keeper.child is not None
            if keeper.spawned_at <= returned_at  # a later one began with the part that is back
        ]
        spare = [keeper for keeper in followers if keeper.spec.restart_last]
        for keeper in spare:
            keeper.may_start.clear()
        try:
            await asyncio.gather(*(self._restart_follower(keeper, part) for keeper in followers))
        finally:
            for keeper in spare:
                keeper.may_start.set()

    async def _restart_follower(self, keeper: _Keeper, part: str) -> None:
        log.info("part.restarted", part=keeper.spec.name, after=part)
        before = keeper.generation
        await keeper.restart(keeper.spec.restart_grace)
        if not keeper.spec.restart_last:
            with contextlib.suppress(PartFailed):  # its keeper goes on trying; the others wait no longer
                await keeper.wait_healthy(keeper.spec.start_limit, after=before)

    async def stop(self, part: str) -> None:
        """Stops one part for good."""
        await self._keepers[part].stop()
        await _settle(self._tasks[part])

    async def stop_all(self, *waves: frozenset[str]) -> None:
        """Stops everything: the given waves one after another, then the rest in reverse order of start."""
        for task in self._restarts:
            task.cancel()
        listed = frozenset[str]().union(*waves)
        rest = [frozenset({name}) for name in reversed(self._keepers) if name not in listed]
        for wave in (*waves, *rest):
            await asyncio.gather(*(self.stop(name) for name in wave if name in self._keepers))

    async def wait_failed(self) -> None:
        """Waits until a keeper itself fails, which is a defect, and raises what it raised."""
        done, _ = await asyncio.wait(self._tasks.values(), return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            task.result()


async def _settle(task: asyncio.Task[None]) -> None:
    """Waits for a keeper's end; one that sleeps in its backoff, or that failed, is cut short."""
    done, _ = await asyncio.wait([task], timeout=0.2)
    if not done:
        task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _unobserved(_event: PartEvent) -> None:
    return


def _describe_exit(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"


def _log_tail(log_file: Path, lines: int = 15) -> str:
    if not log_file.exists():
        return ""
    text = log_file.read_bytes()[-8000:].decode(errors="replace").strip().splitlines()[-lines:]
    return ":\n  " + "\n  ".join(text) if text else ""
