"""A typed client of the control port, for the demo, tests and benchmarks."""

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

import httpx2
from pydantic import BaseModel, ConfigDict, JsonValue

Levels = Sequence[tuple[str, str]]


class _Answer(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class AdminMarket(_Answer):
    """A market with every flag."""

    id: str
    condition_id: str
    token_ids: list[str]
    question: str
    outcomes: list[str]
    slug: str
    tick_size: str
    min_order_size: str
    neg_risk: bool
    fee_rate: str
    end_date: str | None
    active: bool
    closed: bool
    accepting_orders: bool
    enable_order_book: bool
    resolved: bool
    winner: str | None


class AdminWallet(_Answer):
    """Balances as decimal strings."""

    address: str
    signer: str
    signature_type: int
    collateral: str
    tokens: dict[str, str]
    approved: bool
    allowances: dict[str, str]
    fees_paid: str
    closed_only: bool
    banned: bool


class TapeFrame(_Answer):
    """The frame of a row: its timestamp leads from a crossing back to the row."""

    row: int
    timestamp_ms: int
    sent_monotonic_ns: int | None


class TapeState(_Answer):
    """How far a tape has been played; ``row`` is the last row sent, −1 before the first."""

    row: int
    rows: int
    done: bool
    frames: list[TapeFrame]


class LedgerEntry(_Answer):
    """One order of one POST that was received."""

    seq: int
    received_monotonic_ns: int
    received_at_ms: int
    order_id: str | None
    address: str | None
    token_id: str | None
    side: str | None
    order_type: str | None
    maker_amount: str | None
    taker_amount: str | None
    price: str | None
    outcome: str
    status_code: int | None
    text: str
    answered: bool


class AdminOrder(_Answer):
    """An order with what REST does not show."""

    id: str
    status: str
    owner: str
    signer: str
    maker_address: str
    market: str
    token_id: str
    side: str
    order_type: str
    original_size: str
    shares: str
    size_matched: str
    usd_matched: str
    fees: str
    price: str
    reason: str
    created_at_ms: int
    associate_trades: list[str]


class AdminTrade(_Answer):
    """A trade with its fee and both sides."""

    id: str
    status: str
    market: str
    token_id: str
    outcome: str
    side: str
    size: str
    price: str
    usd: str
    fee: str
    taker_order_id: str
    taker_address: str
    maker_orders: list[dict[str, str]]
    transaction_hash: str
    matched_at_ms: int
    updated_at_ms: int


class BarrierState(_Answer):
    """What a barrier holds now and has held so far."""

    held: int
    taken: int
    order_ids: list[str]


class FaultState(_Answer):
    """A planted fault and how often it struck."""

    fault_id: str
    kind: str
    hits: int


class SimulatorAdmin:
    """Client of the control port; use it as an async context manager or call ``close``."""

    def __init__(self, base_url: str, *, timeout_s: float = 30) -> None:
        self._http = httpx2.AsyncClient(base_url=base_url, timeout=timeout_s, trust_env=False)

    async def __aenter__(self) -> Self:
        """Returns itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes the connections."""
        await self.close()

    async def close(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    async def health(self) -> bool:
        """Tells whether the simulator answers."""
        return await self._call("GET", "/health") == {"ok": True}

    async def create_market(
        self,
        question: str,
        *,
        outcomes: Sequence[str] = ("Yes", "No"),
        tick_size: str = "0.01",
        min_order_size: str = "5",
        neg_risk: bool = False,
        fee_rate: str = "0",
        end_date: str | None = None,
        slug: str | None = None,
        token_ids: Sequence[str] | None = None,
        seconds_delay: int = 0,
        short_hold: bool = False,
    ) -> AdminMarket:
        """Opens a market."""
        body: dict[str, JsonValue] = {
            "question": question,
            "outcomes": list(outcomes),
            "tick_size": tick_size,
            "min_order_size": min_order_size,
            "neg_risk": neg_risk,
            "fee_rate": fee_rate,
            "end_date": end_date,
            "slug": slug,
            "token_ids": None if token_ids is None else list(token_ids),
            "seconds_delay": seconds_delay,
            "short_hold": short_hold,
        }
        return AdminMarket.model_validate(await self._call("POST", "/markets", body))

    async def markets(self) -> list[AdminMarket]:
        """Returns all markets."""
        answer = await self._call("GET", "/markets")
        rows = answer if isinstance(answer, list) else []
        return [AdminMarket.model_validate(row) for row in rows]

    async def set_market_state(self, condition_id: str, **changes: JsonValue) -> AdminMarket:
        """Changes active, closed, accepting_orders, enable_order_book, uma_statuses and the holds."""
        path = f"/markets/{condition_id}/state"
        return AdminMarket.model_validate(await self._call("POST", path, changes))

    async def set_tick_size(self, condition_id: str, tick_size: str) -> AdminMarket:
        """Changes the tick."""
        path = f"/markets/{condition_id}/tick-size"
        return AdminMarket.model_validate(await self._call("POST", path, {"tick_size": tick_size}))

    async def release_held(self) -> int:
        """Ends every hold now; returns how many orders were held."""
        released = _member(await self._call("POST", "/holds/release"), "released")
        return released if isinstance(released, int) else 0

    async def resolve(
        self, condition_id: str, winner: str | None, *, payout: str | None = None
    ) -> AdminMarket:
        """Resolves to a token, or to none with what a share of the first outcome pays."""
        path = f"/markets/{condition_id}/resolve"
        return AdminMarket.model_validate(
            await self._call("POST", path, {"winner": winner, "payout": payout})
        )

    async def set_wallet(
        self,
        address: str,
        *,
        collateral: str | None = None,
        tokens: Mapping[str, str] | None = None,
        signer: str | None = None,
        signature_type: int = 0,
        approved: bool = True,
    ) -> AdminWallet:
        """Sets a wallet's balances; those not named stay as they are."""
        body: dict[str, JsonValue] = {
            "address": address,
            "signer": signer,
            "signature_type": signature_type,
            "collateral": collateral,
            "tokens": dict(tokens or {}),
            "approved": approved,
        }
        return AdminWallet.model_validate(await self._call("POST", "/wallets", body))

    async def wallet(self, address: str) -> AdminWallet:
        """Returns a wallet."""
        return AdminWallet.model_validate(await self._call("GET", f"/wallets/{address}"))

    async def approve(self, address: str, approved: bool) -> AdminWallet:
        """Switches the exchange's allowance."""
        path = f"/wallets/{address}/approve"
        return AdminWallet.model_validate(await self._call("POST", path, {"approved": approved}))

    async def set_closed_only(self, address: str, value: bool = True) -> AdminWallet:
        """Lets a wallet close positions only."""
        path = f"/wallets/{address}/closed-only"
        return AdminWallet.model_validate(await self._call("POST", path, {"value": value}))

    async def set_banned(self, address: str, value: bool = True) -> AdminWallet:
        """Bans a wallet."""
        path = f"/wallets/{address}/banned"
        return AdminWallet.model_validate(await self._call("POST", path, {"value": value}))

    async def set_book(
        self, token_id: str, bids: Levels = (), asks: Levels = (), *, last: str | None = None
    ) -> None:
        """Replaces the house's levels of a token."""
        body: dict[str, JsonValue] = {
            "bids": [list(level) for level in bids],
            "asks": [list(level) for level in asks],
            "last": last,
        }
        await self._call("POST", f"/books/{token_id}", body)

    async def load_tape(
        self,
        token_id: str,
        *,
        path: str | None = None,
        rows: Sequence[Mapping[str, str | None]] | None = None,
        speed: str | None = None,
        depth: str = "10000",
        levels: int = 5,
        level_step: str | None = None,
        fill_at_last: bool = True,
        start_row: int = 0,
    ) -> str:
        """Loads a tape and starts it unless ``speed`` is None; returns its id."""
        body: dict[str, JsonValue] = {
            "token_id": token_id,
            "path": path,
            "rows": None if rows is None else [dict(row) for row in rows],
            "speed": speed,
            "depth": depth,
            "levels": levels,
            "level_step": level_step,
            "fill_at_last": fill_at_last,
            "start_row": start_row,
        }
        return str(_member(await self._call("POST", "/tape", body), "tape_id"))

    async def step_tape(self, tape_id: str, rows: int = 1) -> TapeState:
        """Plays rows by hand; ``frames`` of the answer are those of these rows."""
        return TapeState.model_validate(await self._call("POST", f"/tape/{tape_id}/step", {"rows": rows}))

    async def tape(self, tape_id: str, *, after_row: int = -1) -> TapeState:
        """Returns how far a tape has been played, with the frames above a row."""
        return TapeState.model_validate(await self._call("GET", f"/tape/{tape_id}?after_row={after_row}"))

    async def stop_tape(self, tape_id: str) -> None:
        """Ends a tape."""
        await self._call("POST", f"/tape/{tape_id}/stop")

    async def ledger(
        self, *, after: int = 0, token_id: str | None = None, limit: int = 10_000
    ) -> list[LedgerEntry]:
        """Returns every POST of an order above a sequence number."""
        query = f"?after={after}&limit={limit}" + (f"&token_id={token_id}" if token_id else "")
        entries = _member(await self._call("GET", f"/ledger{query}"), "entries")
        return [LedgerEntry.model_validate(entry) for entry in _rows(entries)]

    async def orders(self, address: str | None = None) -> list[AdminOrder]:
        """Returns orders, all or those of a wallet or signer."""
        query = f"?address={address}" if address else ""
        rows = _member(await self._call("GET", f"/orders{query}"), "orders")
        return [AdminOrder.model_validate(row) for row in _rows(rows)]

    async def trades(self, address: str | None = None) -> list[AdminTrade]:
        """Returns trades, all or those of a wallet or signer."""
        query = f"?address={address}" if address else ""
        rows = _member(await self._call("GET", f"/trades{query}"), "trades")
        return [AdminTrade.model_validate(row) for row in _rows(rows)]

    async def set_trade_status(self, trade_id: str, status: str) -> AdminTrade:
        """Moves a trade along its life cycle."""
        path = f"/trades/{trade_id}/status"
        return AdminTrade.model_validate(await self._call("POST", path, {"status": status}))

    async def plant_fault(self, kind: str, **parameters: JsonValue) -> str:
        """Plants a fault (see ``simulator.faults.Fault``); returns its id."""
        return str(_member(await self._call("POST", "/faults", {"kind": kind, **parameters}), "fault_id"))

    async def faults(self) -> list[FaultState]:
        """Returns every planted fault with its hits."""
        return [
            FaultState.model_validate(row)
            for row in _rows(_member(await self._call("GET", "/faults"), "faults"))
        ]

    async def remove_fault(self, fault_id: str) -> None:
        """Removes one fault."""
        await self._call("DELETE", f"/faults/{fault_id}")

    async def clear_faults(self) -> None:
        """Removes every fault."""
        await self._call("DELETE", "/faults")

    async def raise_barrier(
        self,
        point: str,
        *,
        method: str = "POST",
        path: str = "/order",
        token_id: str | None = None,
        times: int | None = 1,
    ) -> str:
        """Holds matching requests at a point; returns the barrier's id."""
        body: dict[str, JsonValue] = {
            "point": point,
            "method": method,
            "path": path,
            "token_id": token_id,
            "times": times,
        }
        return str(_member(await self._call("POST", "/barriers", body), "barrier_id"))

    async def barrier(self, barrier_id: str, *, wait_ms: int = 10_000) -> BarrierState:
        """Returns a barrier's state, as soon as it has held a request or the time is over."""
        answer = await self._call("GET", f"/barriers/{barrier_id}?wait_ms={wait_ms}")
        return BarrierState.model_validate(answer)

    async def release_barrier(self, barrier_id: str) -> None:
        """Lets the held requests go on."""
        await self._call("POST", f"/barriers/{barrier_id}/release")

    async def clear_barriers(self) -> None:
        """Removes every barrier and lets all requests go."""
        await self._call("DELETE", "/barriers")

    async def sockets(
        self, channel: str, action: str, *, token_id: str | None = None, times: int = 1
    ) -> None:
        """Breaks or mends a channel."""
        body: dict[str, JsonValue] = {
            "channel": channel,
            "action": action,
            "token_id": token_id,
            "times": times,
        }
        await self._call("POST", "/sockets", body)

    async def open_sockets(self) -> dict[str, JsonValue]:
        """Returns what each open socket follows, by channel."""
        answer = await self._call("GET", "/sockets")
        return answer if isinstance(answer, dict) else {}

    async def settings(self, **changes: JsonValue) -> dict[str, JsonValue]:
        """Changes switches and returns all of them."""
        method = "POST" if changes else "GET"
        answer = await self._call(method, "/settings", changes or None)
        return answer if isinstance(answer, dict) else {}

    async def _call(self, method: str, path: str, body: Mapping[str, JsonValue] | None = None) -> JsonValue:
        response = await self._http.request(method, path, json=None if body is None else dict(body))
        if response.status_code != 200:
            raise SimulatorRefusedError(response.status_code, response.text)
        answer: JsonValue = response.json()
        return answer


class SimulatorRefusedError(Exception):
    """The control port refused a call."""

    def __init__(self, status_code: int, text: str) -> None:
        super().__init__(f"{status_code}: {text}")
        self.status_code = status_code
        self.text = text


def _member(answer: JsonValue, name: str) -> JsonValue:
    return answer.get(name) if isinstance(answer, dict) else None


def _rows(value: JsonValue) -> list[JsonValue]:
    return value if isinstance(value, list) else []
