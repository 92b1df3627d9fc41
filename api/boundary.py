"""The outermost layers of the API: size of bodies, who calls, one log line a request, no bare errors."""

import re
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus

import structlog
from fastapi import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.deps import Caller, services_of
from api.errors import problem_of, unexpected
from api.problems import Problem, too_large
from domain.errors import HoldfastError
from runtime.log_context import speaking_of

MAX_BODY_BYTES = 64 * 1024
_TRACE_PARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}\Z")
_log = structlog.stdlib.get_logger("api")


class _TooLarge(HTTPException):
    """The body outgrew the limit while it was read; a kind that the framework passes on as it is."""

    def __init__(self) -> None:
        super().__init__(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)


class Boundary:
    """Answers every failure with a problem document, refuses oversized bodies, and logs each request once.

    The log line holds method, route, status and duration; never a body, a header or a query.

    Args:
        app: What it stands around.
        larger: Paths whose bodies may be larger, with their limits in bytes.
    """

    def __init__(self, app: ASGIApp, larger: Mapping[str, int]) -> None:
        self._app = app
        self._larger = larger

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(scope, receive, send, self._larger.get(scope["path"], MAX_BODY_BYTES))
        with speaking_of(exchange.ids):
            try:
                await exchange.serve(self._app)
            finally:
                exchange.log()


class _Exchange:
    """One request and its answer."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, limit: int) -> None:
        self._scope = scope
        self._limit = limit
        self._receive = receive
        self._send = send
        self._read = 0
        self._status: int | None = None
        self._began = time.monotonic()
        self._trace_id = _trace_of(Request(scope))

    def ids(self) -> dict[str, str]:
        """Return what every line that this request causes in the API says of it."""
        known = {"trace_id": self._trace_id}
        caller = self._scope.get("state", {}).get("caller")
        if isinstance(caller, Caller):
            known["key_id"] = caller.key_id
            if caller.account_id is not None:
                known["account_id"] = caller.account_id
        return known

    async def serve(self, app: ASGIApp) -> None:
        """Run the app on this request; what it raises becomes an answer unless one has begun."""
        try:
            if self._announced() > self._limit:
                raise _TooLarge
            await app(self._scope, self._limited, self._noted)
        except _TooLarge:
            await self._answer(too_large(self._limit))
        except Problem as problem:
            await self._answer(problem)
        except HoldfastError as error:
            await self._answer(problem_of(error))
        except Exception as error:
            await self._answer(unexpected(error))

    def log(self) -> None:
        """Write the request's line."""
        method, seconds = self._scope["method"], time.monotonic() - self._began
        route = getattr(self._scope.get("route"), "path", "(none)")
        _log.info("api.request", method=method, route=route, status=self._status, ms=round(seconds * 1000, 1))
        metrics = services_of(Request(self._scope)).metrics
        if metrics is not None:
            metrics.meter.requested(method=method, route=route, status=self._status, seconds=seconds)

    def _announced(self) -> int:
        length = Request(self._scope).headers.get("content-length", "")
        return int(length) if length.isascii() and length.isdecimal() else 0

    async def _limited(self) -> Message:
        message = await self._receive()
        self._read += len(message.get("body", b""))
        if self._read > self._limit:
            raise _TooLarge
        return message

    async def _noted(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
        await self._send(message)

    async def _answer(self, problem: Problem) -> None:
        if self._status is None:
            await problem.response()(self._scope, self._receive, self._noted)


def _trace_of(request: Request) -> str:
    """Return the trace that the caller says it is in (W3C Trace Context), or a new one."""
    told = _TRACE_PARENT.match(request.headers.get("traceparent", ""))
    return told[1] if told else secrets.token_hex(16)


Authenticate = Callable[[Request], Awaitable[None]]


class Gate:
    """Lets only authenticated callers pass, before a body is read; what `is_open` names needs no key."""

    def __init__(self, app: ASGIApp, *, authenticate: Authenticate, is_open: Callable[[str], bool]) -> None:
        self._app = app
        self._authenticate = authenticate
        self._is_open = is_open

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "http" and not self._is_open(scope["path"]):
            await self._authenticate(Request(scope))
        await self._app(scope, receive, send)
