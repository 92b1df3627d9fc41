"""Barriers hold matching requests at a point until a test lets them go on."""

import asyncio
import itertools
from dataclasses import dataclass, field
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from simulator.faults import Incoming


class BarrierPoint(StrEnum):
    """Where a request is held."""

    BEFORE_RECEIVE = "before_receive"
    AFTER_ACCEPT = "after_accept"
    """Only requests whose order the exchange has just accepted."""
    BEFORE_ANSWER = "before_answer"


class BarrierSpec(BaseModel):
    """Which requests to hold."""

    model_config = ConfigDict(extra="forbid")

    point: BarrierPoint
    method: str = "POST"
    path: str = "/order"
    token_id: str | None = None
    times: int | None = Field(default=1, ge=1)


@dataclass(slots=True)
class Barrier:
    """A barrier and what it holds."""

    barrier_id: str
    spec: BarrierSpec
    taken: int = 0
    held: int = 0
    order_ids: list[str] = field(default_factory=list[str])
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    opened: asyncio.Event = field(default_factory=asyncio.Event)

    def fits(self, point: BarrierPoint, incoming: Incoming) -> bool:
        """Tells whether the barrier holds this request at this point."""
        spec = self.spec
        return (
            not self.opened.is_set()
            and spec.point is point
            and (spec.times is None or self.taken < spec.times)
            and spec.method == incoming.method
            and spec.path == incoming.path
            and (spec.token_id is None or spec.token_id in incoming.token_ids)
        )


class Barriers:
    """All barriers; a removed one lets its requests go."""

    def __init__(self) -> None:
        self._barriers: dict[str, Barrier] = {}
        self._numbers = itertools.count(1)

    @property
    def any(self) -> bool:
        """Whether a request must be looked at."""
        return bool(self._barriers)

    def raise_barrier(self, spec: BarrierSpec) -> Barrier:
        """Adds a barrier."""
        barrier = Barrier(f"barrier-{next(self._numbers)}", spec)
        self._barriers[barrier.barrier_id] = barrier
        return barrier

    def get(self, barrier_id: str) -> Barrier | None:
        """Returns a barrier."""
        return self._barriers.get(barrier_id)

    def clear(self) -> None:
        """Removes every barrier and lets all requests go."""
        for barrier in self._barriers.values():
            barrier.opened.set()
        self._barriers.clear()

    async def hold(self, point: BarrierPoint, incoming: Incoming) -> bool:
        """Waits while a barrier holds the request; tells whether one did."""
        barrier = next((b for b in self._barriers.values() if b.fits(point, incoming)), None)
        if barrier is None:
            return False
        barrier.taken += 1
        barrier.held += 1
        barrier.order_ids.extend(incoming.order_ids)
        barrier.arrived.set()
        try:
            await barrier.opened.wait()
        finally:
            barrier.held -= 1
        return True
