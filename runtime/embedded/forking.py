"""The supervisor's end of the fork server: our programs start as copies of it, everything else as ever."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import structlog

from runtime.embedded.fork_messages import (
    ANSWER,
    MESSAGE_BYTES,
    REQUEST,
    Answer,
    CopyEnded,
    Declined,
    Forked,
    ForkRequest,
    SpareRequest,
)
from runtime.embedded.process import ChildProcess, Command, PidsFile, signal_process

log = structlog.stdlib.get_logger(__name__)

FORK_SERVER = "fork-server"
_SPARE = "fork-server-spare"
_ASKED_ANEW_AFTER_S = 10.0
"""A spare that died, or could not be made: no memory, or an import has started a thread."""
_ANSWERS_WITHIN_S = 60.0
"""Its imports take seconds, and longer where everything else starts, too."""


class Copy:
    """A program, or a spare, that runs as a copy of the fork server."""

    def __init__(self, pid: int) -> None:
        """Take the copy's process id."""
        self.pid = pid
        self._ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    @property
    def returncode(self) -> int | None:
        """Exit code once it ended (negative: the signal), else None."""
        return self._ended.result() if self._ended.done() else None

    async def wait(self) -> int:
        """Wait for its end and return the exit code."""
        return await asyncio.shield(self._ended)

    def end(self, code: int) -> None:
        """Take the exit code."""
        if not self._ended.done():
            self._ended.set_result(code)


class _Connection:
    """One life of a fork server."""

    def __init__(self, process: ChildProcess, channel: socket.socket, spare: Copy | None = None) -> None:
        self.process = process
        self._channel = channel
        self._spare = spare
        self._waiting: dict[int, asyncio.Future[Copy | None]] = {}
        self._copies: dict[int, Copy] = {}
        self._number = 0
        self._closing = False
        self.reading = asyncio.create_task(self._read(), name="answers of the fork server")
        """Done once the server is dead."""

    @property
    def is_open(self) -> bool:
        return not self.reading.done()

    async def program(self, command: Command, module: str, log_file: Path) -> Copy | None:
        """Ask for a copy that runs a program; None when there is none."""
        number = self._next_number()
        request = REQUEST.dump_json(
            ForkRequest(
                number,
                module,
                command.arguments,
                dict(command.environment),
                str(command.directory),
                str(log_file),
                int(command.orphan_signal),
            )
        )
        if len(request) > MESSAGE_BYTES:
            log.warning("fork_server.request_too_long", bytes=len(request))
            return None
        return await self._ask(number, asyncio.get_running_loop().sock_sendall(self._channel, request))

    async def spare(self) -> "_Connection | None":
        """Ask for a copy that serves as this one does; None when there is none."""
        number = self._next_number()
        ours, theirs = _channel()
        forked = None
        try:
            with theirs:
                forked = await self._ask(number, self._hand_over(theirs, SpareRequest(number)))
        finally:
            if forked is None:
                ours.close()  # which ends a copy of which nobody heard
        if forked is None:
            return None
        self._copies.pop(forked.pid, None)  # it does not end with this server
        copy = Copy(forked.pid)
        return _Connection(ChildProcess(copy, self.process.command), ours, copy)

    async def _hand_over(self, channel: socket.socket, request: SpareRequest) -> None:
        socket.send_fds(self._channel, [REQUEST.dump_json(request)], [channel.fileno()])

    def _next_number(self) -> int:
        self._number += 1
        return self._number

    async def _ask(self, number: int, sending: Awaitable[None]) -> Copy | None:
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            await sending
            # Not `wait_for`, which forgets that it was cancelled when the answer comes in the same moment.
            async with asyncio.timeout(_ANSWERS_WITHIN_S):
                return await answer
        except (OSError, TimeoutError) as error:
            log.warning("fork_server.silent", error=repr(error))
            return None
        finally:
            self._waiting.pop(number, None)

    async def close(self) -> None:
        """End the server; copies that still run end with it."""
        self._closing = True
        await self.process.stop(1.0)
        await asyncio.wait([self.reading])

    async def _read(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while message := await loop.sock_recv(self._channel, MESSAGE_BYTES):
                self._take(ANSWER.validate_json(message))
        except ConnectionError as error:
            log.warning("fork_server.lost", error=repr(error))
        finally:
            if not self._closing:
                log.warning("fork_server.died", copies=len(self._copies))
            self._channel.close()
            self._forget()
            if self._spare is not None:
                self._spare.end(-signal.SIGKILL)

    def _take(self, answer: Answer) -> None:
        match answer:
            case CopyEnded():
                ended = self._copies.pop(answer.pid, None)
                if ended is not None:  # of a spare's end its own channel tells
                    ended.end(answer.code)
            case Declined():
                log.warning("fork_server.declined", reason=answer.reason)
                self._answer(answer.number, None)
            case Forked():
                copy = self._copies[answer.pid] = Copy(answer.pid)
                if not self._answer(answer.number, copy):  # nobody waits any more: it runs otherwise by now
                    signal_process(answer.pid, signal.SIGKILL)

    def _answer(self, number: int, copy: Copy | None) -> bool:
        waiting = self._waiting.get(number)
        if waiting is None or waiting.done():
            return False
        waiting.set_result(copy)
        return True

    def _forget(self) -> None:
        """The server is dead: the kernel kills its copies."""
        for copy in self._copies.values():
            copy.end(-signal.SIGKILL)
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_result(None)


def _can_watch_copies() -> bool:
    """Tells whether this system says when a process ends by a descriptor: Linux since 5.3 does."""
    if sys.platform != "linux":
        return False
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError as error:
        log.info("fork_server.impossible", error=str(error))
        return False
    return True


def _channel() -> tuple[socket.socket, socket.socket]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    return ours, theirs


class Forking:
    """Starts programs: ours as copies of a fork server where there can be one, all others by themselves.

    Beside the server stands a spare, a copy of it that takes its place when it dies: another one would have
    to import everything anew, while none of our programs runs.
    """

    def __init__(self, pids: PidsFile, log_file: Path, environment: Callable[[], dict[str, str]]) -> None:
        """Take where the server is remembered and writes, and what its imports see."""
        self._pids = pids
        self._log_file = log_file
        self._environment = environment
        self._modules: Sequence[str] = ()
        self._connection: _Connection | None = None
        self._spare: _Connection | None = None
        self._connecting = asyncio.Lock()
        self._beginning: asyncio.Task[_Connection] | None = None
        self._sparing: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """Process id of the fork server while there is one."""
        return _pid(self._connection)

    @property
    def spare_pid(self) -> int | None:
        """Process id of the spare while there is one."""
        return _pid(self._spare)

    def begin(self, modules: Sequence[str]) -> None:
        """Let a server import these programs, beside whatever else starts; nothing waits for it here."""
        if _can_watch_copies():
            self._modules = tuple(modules)
            self._beginning = asyncio.create_task(self._connected(), name="start of the fork server")

    async def spawn(self, command: Command, log_file: Path) -> ChildProcess:
        """Start a program with both outputs appended to `log_file`."""
        module = command.module
        if module is not None and module in self._modules and command.user is None:
            connection = await self._connected()
            copy = await connection.program(command, module, log_file)
            if copy is not None:
                return ChildProcess(copy, command)
        return await ChildProcess.spawn(command, log_file)

    async def stop(self) -> None:
        """End the server and its spare, and whatever still runs as a copy of it."""
        if self._beginning is not None:
            await asyncio.wait([self._beginning])  # the part that asked next was told what it failed of
        if self._sparing is not None:
            self._sparing.cancel()
            await asyncio.wait([self._sparing])
        for connection, name in ((self._spare, _SPARE), (self._connection, FORK_SERVER)):
            if connection is not None:
                await connection.close()
                self._pids.remove(name)
        self._connection, self._spare, self._modules = None, None, ()

    async def _connected(self) -> _Connection:
        async with self._connecting:
            if self._connection is None or not self._connection.is_open:
                self._connection = self._promoted() or await self._connect()
                self._pids.add(self._connection.process.record(FORK_SERVER))
                if self._sparing is not None:
                    self._sparing.cancel()
                self._sparing = asyncio.create_task(self._keep_spare(self._connection), name="spare")
            return self._connection

    def _promoted(self) -> _Connection | None:
        spare, self._spare = self._spare, None
        return spare if spare is not None and spare.is_open else None

    async def _keep_spare(self, server: _Connection) -> None:
        """Have a spare beside this server for as long as it lives."""
        while server.is_open:
            try:
                spare = await server.spare()
            except OSError as error:  # no descriptor is left for its channel
                log.warning("fork_server.no_spare", error=str(error))
                spare = None
            if spare is not None and self._connection is not server:
                await spare.close()  # the server died in that moment, and another one has its place
                return
            if spare is not None:
                self._spare = spare
                self._pids.add(spare.process.record(_SPARE))
                await asyncio.wait([spare.reading, server.reading], return_when=asyncio.FIRST_COMPLETED)
            await asyncio.sleep(_ASKED_ANEW_AFTER_S)

    async def _connect(self) -> _Connection:
        ours, theirs = _channel()
        with theirs:
            descriptor = theirs.fileno()
            argv = (sys.executable, "-m", "runtime.embedded.fork_server", str(descriptor), *self._modules)
            command = Command(argv, self._environment(), Path.cwd())
            process = await ChildProcess.spawn(command, self._log_file, pass_fds=(descriptor,))
        return _Connection(process, ours)


def _pid(connection: _Connection | None) -> int | None:
    return connection.process.pid if connection is not None and connection.is_open else None
