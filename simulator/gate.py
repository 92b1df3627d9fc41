"""The door of the public port: reads the request, applies faults and barriers, keeps the POST ledger."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from typing import TypeVar

from starlette.types import Message, Receive, Scope, Send

from simulator import refusals
from simulator.barriers import BarrierPoint, Barriers
from simulator.exchange import Exchange
from simulator.faults import AFTER, BEFORE, Fault, FaultKind, Faults, Incoming, fault_answer
from simulator.ledger import Entry, Ledger, Outcome
from simulator.limits import NetworkLimits
from simulator.money import fraction_text
from simulator.orders import Submission
from simulator.refusals import Refusal
from simulator.requests import Handler, Reply, Request
from simulator.validation import parse_batch, parse_entry, parse_submission

T = TypeVar("T")

MAX_BODY = 1_000_000


class Dropped(Exception):
    """The connection is to be closed without an answer."""


class Gate:
    """ASGI application of the public port's HTTP part."""

    def __init__(
        self, exchange: Exchange, ledger: Ledger, faults: Faults, barriers: Barriers, handle: Handler
    ) -> None:
        self._exchange = exchange
        self._ledger = ledger
        self._faults = faults
        self._barriers = barriers
        self._handle = handle
        self._network = NetworkLimits(exchange.state, exchange.clock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        arrived_ns = self._exchange.clock.monotonic_ns()
        body = await _read_body(receive)
        if body is None:
            return
        request = self._request(scope, body, arrived_ns)
        try:
            reply = await self._limited(scope, request) or await self._answer(request, receive)
        except Dropped:
            await _drop(scope, receive)
            return
        transport: asyncio.Transport = scope["state"]["transport"]
        await _send(send, reply)
        if not transport.is_closing():
            self._note_answered(request)

    def _request(self, scope: Scope, body: bytes, arrived_ns: int) -> Request:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        method, path = scope["method"], scope["path"]
        clock = self._exchange.clock
        request = Request(
            method=method,
            path=path,
            query=scope["query_string"],
            headers=headers,
            body=body,
            received_monotonic_ns=arrived_ns,
            received_at_ms=clock.now_ms(),
            incoming=Incoming(method, path, headers.get("poly_address")),
        )
        if request.incoming.places_orders:
            self._read_orders(request)
        return request

    def _read_orders(self, request: Request) -> None:
        request.submissions = _submissions(request)
        known = [submission for submission in request.submissions if isinstance(submission, Submission)]
        request.entries = [
            self._entry(request, submission if isinstance(submission, Submission) else None)
            for submission in request.submissions
        ]
        request.incoming = replace(
            request.incoming,
            token_ids=frozenset(submission.signed.token_id for submission in known),
            order_ids=tuple(entry.order_id for entry in request.entries if entry.order_id),
            post_only=bool(known) and all(submission.post_only for submission in known),
        )

    def _entry(self, request: Request, submission: Submission | None) -> Entry:
        signed = submission.signed if submission is not None else None
        return Entry(
            seq=0,
            received_monotonic_ns=request.received_monotonic_ns,
            received_at_ms=request.received_at_ms,
            order_id=self._exchange.identify(signed) if signed is not None else None,
            address=request.headers.get("poly_address"),
            token_id=signed.token_id if signed is not None else None,
            side=signed.side.value if signed is not None else None,
            order_type=submission.order_type.value if submission is not None else None,
            maker_amount=str(signed.maker_amount) if signed is not None else None,
            taker_amount=str(signed.taker_amount) if signed is not None else None,
            price=fraction_text(signed.limit) if signed is not None else None,
            outcome=Outcome.FAULT,
            status_code=None,
            text="",
            answered=False,
        )

    async def _answer(self, request: Request, receive: Receive) -> Reply:
        if self._barriers.any and not await self._held_and_alive(request, receive):
            self._book(request, Outcome.HELD, None, "client left while held before receipt")
            raise Dropped
        if self._faults.any:
            spoiled = await self._fault_before(request)
            if spoiled is not None:
                return spoiled
        await self._short_hold(request)
        reply = self._work(request)
        if self._barriers.any:
            if request.incoming.places_orders and any(e.outcome is Outcome.ACCEPTED for e in request.entries):
                await self._barriers.hold(BarrierPoint.AFTER_ACCEPT, request.incoming)
            await self._barriers.hold(BarrierPoint.BEFORE_ANSWER, request.incoming)
        if self._faults.any:
            return await self._fault_after(request, reply)
        return reply

    async def _limited(self, scope: Scope, request: Request) -> Reply | None:
        """Delays what the network's limiter counts as too much, or answers in its stead."""
        host = scope["client"][0] if scope.get("client") else ""
        wait_ms = self._network.wait_ms(host, request.method, request.path)
        if wait_ms is None:
            # Another hop's refusal: it names neither the venue's limiter nor a time.
            self._book(request, Outcome.REFUSED, 429, refusals.TOO_MANY_REQUESTS)
            return Reply(None, 429, page="error code: 1015")
        await self._pass_time(wait_ms)
        return None

    async def _pass_time(self, wait_ms: int) -> None:
        if wait_ms:
            over = asyncio.Event()
            self._exchange.clock.call_later(wait_ms, over.set)
            await over.wait()

    async def _short_hold(self, request: Request) -> None:
        """Lets the call wait where the venue holds marketable orders for a moment."""
        orders = [order for order in request.submissions if isinstance(order, Submission)]
        await self._pass_time(max((self._exchange.short_hold_ms(order) for order in orders), default=0))

    def _work(self, request: Request) -> Reply:
        """Runs the request and journals its ledger entries before the answer leaves."""
        with self._exchange.transaction():
            try:
                reply = self._handle(request)
            except Refusal as refusal:
                reply = Reply(refusal.body(), refusal.status, refusal.headers)
                for entry in request.entries:
                    judge(entry, refusal)
            if request.reply_headers:
                reply = replace(reply, headers={**request.reply_headers, **reply.headers})
            for entry in request.entries:
                if entry.seq == 0:
                    entry.status_code = reply.status
                    self._ledger.append(entry)
        return reply

    async def _held_and_alive(self, request: Request, receive: Receive) -> bool:
        """Holds a request before receipt; False when its client left meanwhile."""
        gone = asyncio.ensure_future(_disconnected(receive))
        try:
            held = await self._barriers.hold(BarrierPoint.BEFORE_RECEIVE, request.incoming)
            if held:
                await asyncio.sleep(0)
            return not (held and gone.done())
        finally:
            if not gone.done():
                gone.cancel()

    async def _fault_before(self, request: Request) -> Reply | None:
        delay = self._faults.strike(request.incoming, {FaultKind.DELAY_BEFORE})
        if delay is not None:
            await asyncio.sleep(delay.delay_ms / 1000)
        missing = self._faults.strike(request.incoming, {FaultKind.LOOKUP_MISSING})
        if missing is not None:
            request.stale_ms, request.stale_flavour = missing.delay_ms, missing.flavour
        fault = self._faults.strike(request.incoming, BEFORE)
        if fault is None:
            return None
        if fault.kind is FaultKind.DROP_BEFORE:
            self._book(request, Outcome.FAULT, None, fault.kind.value)
            raise Dropped
        return self._spoil(request, fault)

    def _spoil(self, request: Request, fault: Fault) -> Reply:
        status, body, headers = fault_answer(fault, self._exchange.clock.now_ms())
        self._book(request, Outcome.FAULT, status, fault.kind.value)
        return _reply(status, body, headers)

    async def _fault_after(self, request: Request, reply: Reply) -> Reply:
        delay = self._faults.strike(request.incoming, {FaultKind.DELAY_AFTER})
        if delay is not None:
            await asyncio.sleep(delay.delay_ms / 1000)
        fault = self._faults.strike(request.incoming, AFTER)
        if fault is None:
            return reply
        if fault.kind is FaultKind.DROP_AFTER:
            raise Dropped
        status, body, headers = fault_answer(fault, self._exchange.clock.now_ms())
        for entry in request.entries:
            entry.status_code = status
            self._ledger.save(entry)
        return _reply(status, body, headers)

    def _book(self, request: Request, outcome: Outcome, status: int | None, text: str) -> None:
        with self._exchange.transaction():
            for entry in request.entries:
                entry.outcome, entry.status_code, entry.text = outcome, status, text
                self._ledger.append(entry)

    def _note_answered(self, request: Request) -> None:
        """Marks entries as answered; the mark reaches the disk with the next transaction."""
        for entry in request.entries:
            entry.answered = True
            self._ledger.save(entry)


def _reply(status: int, body: object, headers: dict[str, str]) -> Reply:
    """A fault's text body stands for a page of some other hop, a proxy's HTML for instance."""
    return Reply(body, status, headers, page=body if isinstance(body, str) else None)


def judge(entry: Entry, refusal: Refusal) -> None:
    """Writes a refusal into a ledger entry."""
    duplicate = refusal.text.endswith("is invalid. Duplicated.")
    entry.outcome = Outcome.DUPLICATE if duplicate else Outcome.REFUSED
    entry.text = refusal.text
    entry.status_code = refusal.status


def _submissions(request: Request) -> list[Submission | Refusal]:
    """Returns the orders of a POST, or for each that cannot be parsed its refusal."""
    if request.path == "/order":
        return [_parsed(parse_submission, request.body)]
    try:
        return [_parsed(parse_entry, entry) for entry in parse_batch(request.body)]
    except Refusal as refusal:
        return [refusal]


def _parsed(parse: Callable[[T], Submission], source: T) -> Submission | Refusal:
    try:
        return parse(source)
    except Refusal as refusal:
        return refusal


async def _read_body(receive: Receive) -> bytes | None:
    body = b""
    while True:
        message: Message = await receive()
        if message["type"] != "http.request":
            return None
        body += message.get("body", b"")
        if len(body) > MAX_BODY:
            return None
        if not message.get("more_body", False):
            return body


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _drop(scope: Scope, receive: Receive) -> None:
    """Aborts the connection, so that the client sees it close without a single byte."""
    transport: asyncio.Transport = scope["state"]["transport"]
    transport.abort()
    await _disconnected(receive)


async def _send(send: Callable[[Message], Awaitable[None]], reply: Reply) -> None:
    raw, content_type = reply.raw()
    headers = {"content-type": content_type, "content-length": str(len(raw)), **reply.headers}
    start: Message = {
        "type": "http.response.start",
        "status": reply.status,
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
    }
    with suppress(OSError):  # the client may have gone; the work stands all the same
        await send(start)
        await send({"type": "http.response.body", "body": raw})
