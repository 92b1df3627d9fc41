"""Planted faults: what the public port does instead of, before or after its work."""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from simulator import refusals
from simulator.limits import limiter_headers


class FaultKind(StrEnum):
    """Kinds of faults; the names say when they strike."""

    STATUS = "status"
    STATUS_AFTER_ACCEPT = "status_after_accept"
    DROP_BEFORE = "drop_before"
    DROP_AFTER = "drop_after"
    DELAY_BEFORE = "delay_before"
    DELAY_AFTER = "delay_after"
    LOOKUP_MISSING = "lookup_missing"
    RATE_LIMITED = "rate_limited"
    POST_ONLY_WINDOW = "post_only_window"
    CANCEL_ONLY = "cancel_only"
    DISABLED = "disabled"
    ENGINE_RESTART = "engine_restart"
    BALANCE_LAG = "balance_lag"


BEFORE = frozenset(
    {
        FaultKind.STATUS,
        FaultKind.DROP_BEFORE,
        FaultKind.RATE_LIMITED,
        FaultKind.POST_ONLY_WINDOW,
        FaultKind.CANCEL_ONLY,
        FaultKind.DISABLED,
        FaultKind.ENGINE_RESTART,
    }
)
"""Kinds that end a request before the exchange sees it."""
AFTER = frozenset({FaultKind.STATUS_AFTER_ACCEPT, FaultKind.DROP_AFTER})
"""Kinds that spoil the answer to work that was done."""
ORDER_PATHS = frozenset({"/order", "/orders", "/cancel-all", "/cancel-market-orders"})
PLACE_PATHS = frozenset({"/order", "/orders"})
LOOKUP_PATHS = ("/data/order/", "/data/orders", "/data/trades")


class Fault(BaseModel):
    """A planted fault; unset filters match everything that its kind can strike."""

    model_config = ConfigDict(extra="forbid")

    kind: FaultKind
    method: str | None = None
    path: str | None = None
    """Exact path, or a prefix when it ends with ``*``."""
    address: str | None = None
    token_id: str | None = None
    times: int | None = Field(default=1, ge=1)
    """Requests it strikes; None strikes until it is removed."""
    status: int = 500
    body: object | None = None
    """JSON body of the answer, or a text that is sent as it is (HTML for instance)."""
    headers: dict[str, str] = Field(default_factory=dict[str, str])
    delay_ms: int = Field(default=0, ge=0)
    flavour: Literal["null", "404", "stale"] = "null"
    with_headers: bool = True
    """Whether a 429 names the venue's limiter."""
    retry_after_s: int = Field(default=1, ge=0)


class PlantedFault(BaseModel):
    """A fault with its id and how often it struck."""

    fault_id: str
    fault: Fault
    hits: int = 0

    @property
    def spent(self) -> bool:
        """Whether it will not strike again."""
        return self.fault.times is not None and self.hits >= self.fault.times


@dataclass(frozen=True, slots=True)
class Incoming:
    """What faults and barriers look at."""

    method: str
    path: str
    address: str | None = None
    token_ids: frozenset[str] = frozenset()
    order_ids: tuple[str, ...] = ()
    post_only: bool = False

    @property
    def places_orders(self) -> bool:
        """POST /order or POST /orders."""
        return self.method == "POST" and self.path in PLACE_PATHS


class Faults:
    """The planted faults, oldest first."""

    def __init__(self) -> None:
        self._planted: dict[str, PlantedFault] = {}

    @property
    def any(self) -> bool:
        """Whether a request must be looked at."""
        return bool(self._planted)

    def plant(self, fault: Fault) -> PlantedFault:
        """Adds a fault."""
        # No number: who planted before a restart must not remove, by the same one, what came after it.
        planted = PlantedFault(fault_id=f"fault-{uuid.uuid4().hex[:12]}", fault=fault)
        self._planted[planted.fault_id] = planted
        return planted

    def remove(self, fault_id: str) -> bool:
        """Removes a fault; False when there was none."""
        return self._planted.pop(fault_id, None) is not None

    def clear(self) -> None:
        """Removes all."""
        self._planted.clear()

    def all(self) -> list[PlantedFault]:
        """Returns all, spent ones too, with their hit counts."""
        return list(self._planted.values())

    def strike(self, incoming: Incoming, kinds: Iterable[FaultKind]) -> Fault | None:
        """Returns the oldest fault of these kinds that strikes the request, and counts the hit."""
        for planted in self._planted.values():
            if planted.fault.kind in kinds and not planted.spent and strikes(planted.fault, incoming):
                planted.hits += 1
                return planted.fault
        return None

    def balance_lag_ms(self, wallet: str, asset: str) -> int:
        """Returns the longest planted lag for credits to a wallet."""
        lags = [0]
        for planted in self._planted.values():
            fault = planted.fault
            if fault.kind is not FaultKind.BALANCE_LAG or planted.spent:
                continue
            if fault.address not in (None, wallet) and (fault.address or "").lower() != wallet.lower():
                continue
            if fault.token_id in (None, asset):
                planted.hits += 1
                lags.append(fault.delay_ms)
        return max(lags)


def strikes(fault: Fault, incoming: Incoming) -> bool:
    """Tells whether the filters and the nature of a fault cover a request."""
    return (
        fault.method in (None, incoming.method)
        and (fault.path is None or _path_fits(fault.path, incoming.path))
        and (fault.address is None or fault.address.lower() == (incoming.address or "").lower())
        and (fault.token_id is None or fault.token_id in incoming.token_ids)
        and _by_nature(fault.kind, incoming)
    )


def _path_fits(pattern: str, path: str) -> bool:
    return path.startswith(pattern[:-1]) if pattern.endswith("*") else path == pattern


def _by_nature(kind: FaultKind, incoming: Incoming) -> bool:
    if kind is FaultKind.POST_ONLY_WINDOW:
        return incoming.places_orders and not incoming.post_only
    if kind is FaultKind.CANCEL_ONLY:
        return incoming.places_orders
    if kind in (FaultKind.DISABLED, FaultKind.ENGINE_RESTART):
        return incoming.path in ORDER_PATHS and incoming.method in ("POST", "DELETE")
    if kind is FaultKind.LOOKUP_MISSING:
        return incoming.path.startswith(LOOKUP_PATHS)
    return kind is not FaultKind.BALANCE_LAG


def fault_answer(fault: Fault, now_ms: int) -> tuple[int, object, dict[str, str]]:
    """Returns status, body and headers with which a fault answers at ``now_ms``."""
    wait = str(fault.retry_after_s)
    match fault.kind:
        case FaultKind.RATE_LIMITED:
            named = limiter_headers(now_ms, "standard", 0, fault.retry_after_s * 1000) | {"Retry-After": wait}
            headers = named if fault.with_headers else {}
            return 429, fault.body or {"error": refusals.TOO_MANY_REQUESTS}, headers | fault.headers
        case FaultKind.POST_ONLY_WINDOW:
            body = {
                "error": refusals.POST_ONLY_MODE,
                "code": "post_only_mode",
                "retry_after_seconds": fault.retry_after_s,
            }
            return 503, body, {"Retry-After": wait} | fault.headers
        case FaultKind.CANCEL_ONLY:
            return 503, {"error": refusals.CANCEL_ONLY}, fault.headers
        case FaultKind.DISABLED:
            return 503, {"error": refusals.DISABLED}, fault.headers
        case FaultKind.ENGINE_RESTART:
            return 425, fault.body or {"error": refusals.SERVICE_NOT_READY}, fault.headers
        case _:
            body = {"error": "Internal server error"} if fault.body is None else fault.body
            return fault.status, body, fault.headers
