"""The dead man's switch: a key that once sent a heartbeat loses its open orders when it stops.

Source: the venue's documentation, Heartbeat (2026-10). A key that never sent one has no switch. A restart of
the exchange forgets every switch, so that its own outage cancels nothing.
"""

import uuid
from dataclasses import dataclass

from pydantic import BaseModel, ValidationError

from simulator import refusals
from simulator.auth import ApiKey
from simulator.exchange import Exchange
from simulator.refusals import bad
from simulator.requests import Reply, Request, Routes
from simulator.rest_orders import OrderRoutes


class _Heartbeat(BaseModel):
    heartbeat_id: str | None = None


@dataclass(slots=True)
class _Switch:
    """The id that the next heartbeat of a key must carry, and when the last one came."""

    expected: str
    heard_ms: int


class HeartbeatRoutes:
    """``POST /v1/heartbeats``, and what happens where no more of them come."""

    def __init__(self, exchange: Exchange, orders: OrderRoutes) -> None:
        self._exchange = exchange
        self._orders = orders
        self._switches: dict[str, _Switch] = {}

    def add_to(self, routes: Routes) -> None:
        """Adds this route to a table."""
        routes.add("POST", "/v1/heartbeats", self.heartbeat)

    def heartbeat(self, request: Request) -> Reply:
        """Takes a heartbeat and names the id of the next one; the first has an empty id."""
        key = self._orders.key_of(request)
        try:
            sent = _Heartbeat.model_validate_json(request.body).heartbeat_id or ""
        except ValidationError as error:
            raise bad(refusals.INVALID_PAYLOAD) from error
        switch = self._switches.get(key.key)
        if sent != (switch.expected if switch is not None else ""):
            return self._refused(switch)
        now_ms = self._exchange.clock.now_ms()
        self._switches[key.key] = _Switch(str(uuid.uuid4()), now_ms)
        if switch is None:
            self._look_later(key)
        return Reply({"heartbeat_id": self._switches[key.key].expected})

    def _refused(self, switch: _Switch | None) -> Reply:
        expected = switch.expected if switch is not None else ""
        return Reply({"error_msg": "Invalid Heartbeat ID", "heartbeat_id": expected}, 400)

    def _look_later(self, key: ApiKey) -> None:
        settings = self._exchange.state.settings
        self._exchange.clock.call_later(settings.heartbeat_check_ms, lambda: self._look(key))

    def _look(self, key: ApiKey) -> None:
        """Cancels what a silent key has open, and forgets its switch; else looks again."""
        switch, settings = self._switches[key.key], self._exchange.state.settings
        if self._exchange.clock.now_ms() - switch.heard_ms <= settings.heartbeat_limit_ms:
            self._look_later(key)
            return
        del self._switches[key.key]
        own = [
            order_id
            for order_id in self._exchange.open_where(key.address)
            if self._exchange.state.orders[order_id].owner == key.key
        ]
        self._exchange.cancel(key.address, own)
