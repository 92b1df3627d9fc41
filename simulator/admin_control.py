"""Control port: tapes, ledger, faults, barriers, sockets, settings."""

import asyncio
from contextlib import suppress
from dataclasses import asdict, dataclass
from decimal import Decimal, InvalidOperation
from typing import Annotated

from fastapi import APIRouter, HTTPException
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from simulator.barriers import Barrier, Barriers, BarrierSpec
from simulator.events import Json
from simulator.exchange import Exchange
from simulator.faults import Fault, Faults
from simulator.ledger import Ledger
from simulator.money import AmountError, to_micro
from simulator.settings import Settings
from simulator.sockets import Channel, Hub, SocketAction
from simulator.tape import SentFrame, Tape, TapePlayer, TapeRecord
from simulator.tape_rows import RawRow, TapeError


def _text(value: object) -> object:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


class TapeSpec(BaseModel):
    """A tape to play on one token; rows inline or a file on the simulator's machine."""

    model_config = ConfigDict(extra="forbid")

    token_id: str
    path: str | None = None
    rows: list[RawRow] | None = None
    speed: Annotated[str | None, BeforeValidator(_text)] = None
    depth: Annotated[str, BeforeValidator(_text)] = "10000"
    levels: int = Field(default=5, ge=0, le=100)
    level_step: Annotated[str | None, BeforeValidator(_text)] = None
    fill_at_last: bool = True
    start_row: int = Field(default=0, ge=0)


class Steps(BaseModel):
    """How many rows to play."""

    rows: int = Field(default=1, ge=1)


class SocketSpec(BaseModel):
    """What to do to a channel."""

    model_config = ConfigDict(extra="forbid")

    channel: Channel
    action: SocketAction
    token_id: str | None = None
    times: int = Field(default=1, ge=1)


@dataclass(frozen=True, slots=True)
class Controls:
    """Everything the control port reaches beside the exchange."""

    exchange: Exchange
    ledger: Ledger
    faults: Faults
    barriers: Barriers
    hub: Hub
    tapes: TapePlayer


def control_routes(controls: Controls) -> APIRouter:
    """Returns the routes; all run on the event loop."""
    router = APIRouter()

    async def health() -> Json:
        return {"ok": True}

    async def ledger(after: int = 0, token_id: str | None = None, limit: int = 10_000) -> Json:
        return {"entries": [asdict(entry) for entry in controls.ledger.after(after, token_id, limit)]}

    async def get_settings() -> Json:
        return controls.exchange.state.settings.model_dump(mode="json")

    async def set_settings(change: dict[str, object]) -> Json:
        state = controls.exchange.state
        try:
            settings = Settings.model_validate({**state.settings.model_dump(), **change})
        except ValidationError as error:
            raise HTTPException(422, error.errors(include_url=False, include_context=False)) from error
        controls.exchange.change_settings(settings)
        return settings.model_dump(mode="json")

    async def sockets(spec: SocketSpec) -> Json:
        controls.hub.act(spec.channel, spec.action, spec.token_id, spec.times)
        return {"open": controls.hub.count(spec.channel)}

    async def open_sockets() -> Json:
        return controls.hub.described()

    router.add_api_route("/health", health, methods=["GET"])
    router.add_api_route("/ledger", ledger, methods=["GET"])
    router.add_api_route("/settings", get_settings, methods=["GET"])
    router.add_api_route("/settings", set_settings, methods=["POST"])
    router.add_api_route("/sockets", sockets, methods=["POST"])
    router.add_api_route("/sockets", open_sockets, methods=["GET"])
    router.include_router(_tape_routes(controls))
    router.include_router(_fault_routes(controls.faults))
    router.include_router(_barrier_routes(controls.barriers))
    return router


def _tape_routes(controls: Controls) -> APIRouter:
    router, tapes = APIRouter(), controls.tapes

    def tape_of(tape_id: str) -> Tape:
        try:
            tape = tapes.get(tape_id)
        except TapeError as error:  # one that finished long ago, and whose file is gone
            raise HTTPException(404, str(error)) from error
        if tape is None:
            raise HTTPException(404, "unknown tape")
        return tape

    async def load(spec: TapeSpec) -> Json:
        market = controls.exchange.state.market_of_token.get(spec.token_id)
        if market is None:
            raise HTTPException(404, "unknown token")
        try:
            tape = tapes.load(_record(spec, market.tick_size))
        except TapeError as error:
            raise HTTPException(422, str(error)) from error
        return {"tape_id": tape.record.tape_id, "rows": len(tape.rows)}

    async def step(tape_id: str, steps: Steps) -> Json:
        tape = tape_of(tape_id)
        if tape.running:
            raise HTTPException(409, "the tape plays by itself")
        return _tape_json(tape, await tapes.step(tape, steps.rows))

    async def show(tape_id: str, after_row: int = -1) -> Json:
        tape = tape_of(tape_id)
        return _tape_json(tape, tapes.sent_frames(tape, after_row))

    async def stop(tape_id: str) -> Json:
        tape = tape_of(tape_id)
        await tapes.stop(tape)
        return _tape_json(tape, [])

    router.add_api_route("/tape", load, methods=["POST"])
    router.add_api_route("/tape/{tape_id}/step", step, methods=["POST"])
    router.add_api_route("/tape/{tape_id}", show, methods=["GET"])
    router.add_api_route("/tape/{tape_id}/stop", stop, methods=["POST"])
    return router


def _fault_routes(faults: Faults) -> APIRouter:
    router = APIRouter()

    async def plant(fault: Fault) -> Json:
        return {"fault_id": faults.plant(fault).fault_id}

    async def show() -> Json:
        return {
            "faults": [
                {"fault_id": planted.fault_id, "hits": planted.hits, **planted.fault.model_dump(mode="json")}
                for planted in faults.all()
            ]
        }

    async def remove(fault_id: str) -> Json:
        if not faults.remove(fault_id):
            raise HTTPException(404, "unknown fault")
        return {"ok": True}

    async def clear() -> Json:
        faults.clear()
        return {"ok": True}

    router.add_api_route("/faults", plant, methods=["POST"])
    router.add_api_route("/faults", show, methods=["GET"])
    router.add_api_route("/faults", clear, methods=["DELETE"])
    router.add_api_route("/faults/{fault_id}", remove, methods=["DELETE"])
    return router


def _barrier_routes(barriers: Barriers) -> APIRouter:
    router = APIRouter()

    def barrier_of(barrier_id: str) -> Barrier:
        barrier = barriers.get(barrier_id)
        if barrier is None:
            raise HTTPException(404, "unknown barrier")
        return barrier

    async def raise_barrier(spec: BarrierSpec) -> Json:
        return {"barrier_id": barriers.raise_barrier(spec).barrier_id}

    async def show(barrier_id: str, wait_ms: int = 0) -> Json:
        barrier = barrier_of(barrier_id)
        if wait_ms > 0:
            with suppress(TimeoutError):
                await asyncio.wait_for(barrier.arrived.wait(), wait_ms / 1000)
        return {"held": barrier.held, "taken": barrier.taken, "order_ids": list(barrier.order_ids)}

    async def release(barrier_id: str) -> Json:
        barrier = barrier_of(barrier_id)
        barrier.opened.set()
        return {"released": barrier.held}

    async def clear() -> Json:
        barriers.clear()
        return {"ok": True}

    router.add_api_route("/barriers", raise_barrier, methods=["POST"])
    router.add_api_route("/barriers", clear, methods=["DELETE"])
    router.add_api_route("/barriers/{barrier_id}", show, methods=["GET"])
    router.add_api_route("/barriers/{barrier_id}/release", release, methods=["POST"])
    return router


def _record(spec: TapeSpec, tick_size: str) -> TapeRecord:
    if (spec.path is None) == (spec.rows is None):
        raise HTTPException(422, "give either path or rows")
    try:
        if spec.speed not in (None, "max") and not Decimal(spec.speed) > 0:
            raise HTTPException(422, "speed must be positive, max or null")
        for text in (spec.depth, spec.level_step or tick_size):
            to_micro(text)
    except (InvalidOperation, AmountError) as error:
        raise HTTPException(422, "speed, depth and level_step must be decimal numbers") from error
    return TapeRecord(
        tape_id="",
        token_id=spec.token_id,
        path=spec.path,
        rows=None if spec.rows is None else [row.model_dump() for row in spec.rows],
        speed=spec.speed,
        depth=spec.depth,
        levels=spec.levels,
        level_step=spec.level_step or tick_size,
        fill_at_last=spec.fill_at_last,
        start_row=spec.start_row,
    )


def _tape_json(tape: Tape, frames: list[SentFrame]) -> Json:
    return {
        "row": tape.next_row - 1,
        "rows": len(tape.rows),
        "done": tape.done,
        "frames": [
            {
                "row": frame.row,
                "timestamp_ms": frame.timestamp_ms,
                "sent_monotonic_ns": frame.sent_monotonic_ns,
            }
            for frame in frames
        ],
    }
