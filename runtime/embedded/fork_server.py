"""`python -m runtime.embedded.fork_server`: imports our programs once, and is copied for each that shall run.

A start costs seconds of CPU, nearly all of it imports. A copy of a process that has them costs hundredths,
and shares their memory (decision 0011). It speaks over the socket whose descriptor is its first argument.
"""

import gc
import importlib
import os
import selectors
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import cast

from setproctitle import setproctitle

from runtime.embedded.fork_messages import (
    ANSWER,
    MESSAGE_BYTES,
    REQUEST,
    Answer,
    CopyEnded,
    Declined,
    Forked,
    ForkRequest,
    Request,
)
from runtime.embedded.process import die_with_parent


class ForkServer:
    """Copies this process for each request, and tells when a copy ended."""

    def __init__(self, channel: socket.socket) -> None:
        """Take the socket to whoever asks."""
        self._channel = channel
        self._pid = os.getpid()
        self._copies: dict[int, int] = {}  # process ids by the descriptors that tell of their ends
        self._selector = selectors.DefaultSelector()
        self._selector.register(channel, selectors.EVENT_READ)

    def serve(self) -> ForkRequest | socket.socket | None:
        """Answer until the other end closes.

        Returns:
            In the server None. In a copy what it is to run, or the socket over which it is to serve.
        """
        while True:
            for key, _ in self._selector.select():
                if key.fd in self._copies:
                    self._tell_end(key.fd)
                    continue
                message, descriptors, _, _ = socket.recv_fds(self._channel, MESSAGE_BYTES, 1)
                if not message:
                    return None
                request = REQUEST.validate_json(message)
                with ExitStack() as received:
                    sockets = [received.enter_context(socket.socket(fileno=fd)) for fd in descriptors]
                    if not self._copy(request):
                        continue
                    received.pop_all()
                    return self._become(request, *sockets)

    def _copy(self, request: Request) -> bool:
        """Make a copy; whether this process is it."""
        if _threads() > 1:
            # A copy has only the thread that made it: locks that others held stay locked in it for ever.
            self._tell(Declined(request.number, "an import started a thread"))
            return False
        try:
            pid = os.fork()
        except OSError as error:  # no memory, or too many processes: the copies that run must not die of it
            self._tell(Declined(request.number, str(error)))
            return False
        if pid == 0:
            return True
        descriptor = os.pidfd_open(pid)
        self._copies[descriptor] = pid
        self._selector.register(descriptor, selectors.EVENT_READ)
        self._tell(Forked(request.number, pid))
        return False

    def _become(self, request: Request, *channel: socket.socket) -> ForkRequest | socket.socket:
        """In a copy: be what was asked for."""
        self._leave()
        os.setsid()
        if isinstance(request, ForkRequest):
            _take_over(request, self._pid)
            return request
        # No death signal: a spare outlives its server, and ends when the supervisor's end closes.
        (served,) = channel
        return served

    def _tell_end(self, descriptor: int) -> None:
        pid = self._copies.pop(descriptor)
        self._selector.unregister(descriptor)
        os.close(descriptor)
        _, status = os.waitpid(pid, 0)
        self._tell(CopyEnded(pid, os.waitstatus_to_exitcode(status)))

    def _tell(self, answer: Answer) -> None:
        self._channel.send(ANSWER.dump_json(answer))

    def _leave(self) -> None:
        """In a copy: let go of what belongs to the server."""
        self._selector.close()
        self._channel.close()
        for descriptor in self._copies:
            os.close(descriptor)


def _threads() -> int:
    return len(os.listdir("/proc/self/task"))


def _take_over(request: ForkRequest, server: int) -> None:
    """Take over a program's outputs, environment and name."""
    die_with_parent(server, signal.Signals(request.orphan_signal))()
    output = os.open(request.log_file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)
    os.environ.clear()
    os.environ.update(request.environment)
    os.chdir(request.directory)
    sys.argv = [f"{request.module}/__main__.py", *request.arguments]
    setproctitle(" ".join([Path(sys.executable).name, "-m", request.module, *request.arguments]))


def _program(module: str) -> Callable[[], None]:
    return cast("Callable[[], None]", importlib.import_module(f"{module}.__main__").main)


def _preload(modules: Sequence[str]) -> None:
    for module in modules:
        try:
            _program(module)
        except Exception:  # a copy imports it again, and fails with the same in the program's own log
            traceback.print_exc()
    gc.collect()
    gc.freeze()  # a collection in a copy would write to, and so copy, all that is shared


def main() -> None:
    """Import the programs that are named behind the socket's descriptor, then serve."""
    descriptor, *modules = sys.argv[1:]
    setproctitle("holdfast: fork server")  # before an environment is replaced: it has to find the old one
    _preload(modules)
    served = ForkServer(socket.socket(fileno=int(descriptor))).serve()
    while isinstance(served, socket.socket):  # a copy that serves in its turn
        served = ForkServer(served).serve()
    if served is not None:
        _program(served.module)()


if __name__ == "__main__":
    main()
