"""The simulator as a whole: composition, the public ASGI application and the two servers."""

import asyncio
import logging
import socket
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket
from uvicorn.protocols.http.h11_impl import H11Protocol

from simulator.admin_accounts import account_routes
from simulator.admin_control import Controls, control_routes
from simulator.admin_venue import venue_routes
from simulator.barriers import Barriers
from simulator.clock import Clock, SystemClock
from simulator.exchange import Exchange
from simulator.faults import Faults
from simulator.gate import Gate
from simulator.heartbeats import HeartbeatRoutes
from simulator.journal import Durability, Journal
from simulator.ledger import Ledger
from simulator.requests import Routes
from simulator.rest_account import AccountRoutes
from simulator.rest_data import DataRoutes
from simulator.rest_gamma import GammaRoutes
from simulator.rest_markets import MarketRoutes
from simulator.rest_orders import OrderRoutes
from simulator.sockets import Channel, Hub
from simulator.state import State
from simulator.tape import TapePlayer

POLYGON = 137
STOP_S = 1
"""How long open requests may take to end when the simulator stops."""


class Simulator:
    """A local exchange without its servers."""

    def __init__(
        self,
        directory: Path | None,
        *,
        chain_id: int = POLYGON,
        durability: Durability = Durability.NORMAL,
        clock: Clock | None = None,
    ) -> None:
        if directory is not None:
            directory.mkdir(parents=True, exist_ok=True)
        path = None if directory is None else directory / "simulator.sqlite3"
        clock = clock or SystemClock()
        self.journal = Journal(path, durability)
        self.state = State(self.journal, chain_id)
        self.hub = Hub(self.state, clock)
        self.exchange = Exchange(self.state, self.hub, clock)
        self.ledger = Ledger(self.state)
        self.faults, self.barriers = Faults(), Barriers()
        self.tapes = TapePlayer(self.exchange, self.hub)
        self._let_faults_lag_balances()
        gate = Gate(self.exchange, self.ledger, self.faults, self.barriers, self._routes())
        self.public_app = PublicApp(gate, self.hub)
        self.admin_app = self._admin()

    def resume(self) -> None:
        """Restarts timers and tapes of an earlier life; call it on the running loop."""
        self.exchange.resume()
        self.tapes.resume()

    async def close(self) -> None:
        """Halts tapes, closes sockets and the journal."""
        await self.tapes.close()
        self.barriers.clear()
        for channel in Channel:
            self.hub.close_all(channel)
        self.journal.commit()

    def _let_faults_lag_balances(self) -> None:
        configured = self.exchange.settlement.lag_ms

        def lag_ms(wallet: str, asset: str) -> int:
            return max(configured(wallet, asset), self.faults.balance_lag_ms(wallet, asset))

        self.exchange.settlement.lag_ms = lag_ms

    def _routes(self) -> Routes:
        routes, gamma, data = Routes(), Routes(), Routes()
        orders = OrderRoutes(self.exchange)
        orders.add_to(routes)
        AccountRoutes(self.exchange, orders).add_to(routes)
        HeartbeatRoutes(self.exchange, orders).add_to(routes)
        MarketRoutes(self.exchange, self.exchange.publisher.history).add_to(routes)
        GammaRoutes(self.exchange).add_to(gamma)
        DataRoutes(self.exchange).add_to(data)
        for prefix, table in (("/gamma", gamma), ("/data-api", data), ("", gamma), ("", data)):
            routes.mount(prefix, table)
        return routes

    def _admin(self) -> FastAPI:
        app = FastAPI(title="Exchange simulator control")
        controls = Controls(self.exchange, self.ledger, self.faults, self.barriers, self.hub, self.tapes)
        app.include_router(venue_routes(self.exchange))
        app.include_router(account_routes(self.exchange))
        app.include_router(control_routes(controls))
        return app


class PublicApp:
    """REST through the gate, sockets to the hub."""

    def __init__(self, gate: Gate, hub: Hub) -> None:
        self._gate = gate
        self._hub = hub

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request or one socket."""
        if scope["type"] == "http":
            await self._gate(scope, receive, send)
            return
        ws = WebSocket(scope, receive, send)
        match scope["path"]:
            case "/ws/market":
                await self._hub.serve_market(ws)
            case "/ws/user":
                await self._hub.serve_user(ws)
            case _:
                await ws.close()


class AbortableProtocol(H11Protocol):
    """Lets the application end a connection without an answer, as a dying venue does."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]  uvicorn narrows it the same way
        """Puts the transport where the application finds it."""
        super().connection_made(transport)
        self.app_state = {"transport": transport}


class _Server(uvicorn.Server):
    """A server that others stop: no signals, no polling for the end."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Ends ``serve``."""
        self.should_exit = True
        self._stopping.set()

    async def main_loop(self) -> None:
        """Waits for the end."""
        await self._stopping.wait()

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Leaves signal handlers alone."""
        yield


@dataclass(frozen=True, slots=True)
class Running:
    """A simulator that answers."""

    simulator: Simulator
    host: str
    port: int
    admin_port: int

    @property
    def url(self) -> str:
        """Base URL of the public port."""
        return f"http://{self.host}:{self.port}"

    @property
    def admin_url(self) -> str:
        """Base URL of the control port."""
        return f"http://{self.host}:{self.admin_port}"

    @property
    def ws_url(self) -> str:
        """Base URL of the sockets."""
        return f"ws://{self.host}:{self.port}/ws"


@asynccontextmanager
async def serve(
    directory: Path | None = None,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    admin_port: int = 0,
    chain_id: int = POLYGON,
    durability: Durability = Durability.NORMAL,
    clock: Clock | None = None,
) -> AsyncGenerator[Running]:
    """Runs a simulator on the present event loop.

    Args:
        directory: where its state lives; None keeps it in memory.
        host: address to bind; nothing here is meant for a network.
        port: public port, 0 for a free one.
        admin_port: control port, 0 for a free one.
        chain_id: chain of the signatures' domains.
        durability: how hard the journal tries against a power cut.
        clock: time and timers; the system's unless a test owns them.
    """
    simulator = Simulator(directory, chain_id=chain_id, durability=durability, clock=clock)
    public, admin = _listen(host, port), _listen(host, admin_port)
    running = Running(simulator, host, _port(public), _port(admin))
    simulator.resume()
    servers = [_server(simulator.public_app), _server(simulator.admin_app)]
    tasks = [
        asyncio.create_task(server.serve(sockets=[sock]))
        for server, sock in zip(servers, (public, admin), strict=True)
    ]
    try:
        await _started(servers, tasks)
        yield running
    finally:
        await simulator.close()
        for server in servers:
            server.stop()
        await asyncio.gather(*tasks)
        simulator.journal.close()


def _server(app: ASGIApp) -> _Server:
    config = uvicorn.Config(
        app,
        http=AbortableProtocol,
        ws="websockets-sansio",
        ws_ping_interval=None,
        ws_per_message_deflate=False,
        lifespan="off",
        log_config=None,
        log_level=logging.WARNING,
        access_log=False,
        proxy_headers=False,
        date_header=False,
        server_header=False,
        timeout_graceful_shutdown=STOP_S,
        timeout_keep_alive=60,
        backlog=4096,
    )
    return _Server(config)


async def _started(servers: list[_Server], tasks: list[asyncio.Task[None]]) -> None:
    while not all(server.started for server in servers):
        for task in tasks:
            if task.done():
                task.result()
                raise RuntimeError("a server of the simulator ended before it had started")
        await asyncio.sleep(0.001)


def _listen(host: str, port: int) -> socket.socket:
    # Without its protocol named, asyncio would leave Nagle on for every accepted connection.
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((host, port))
    return sock


def _port(sock: socket.socket) -> int:
    return int(sock.getsockname()[1])
