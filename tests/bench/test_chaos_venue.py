"""Faults of the venue: an act takes away what it planted and nothing else, and counts what that met."""

from types import SimpleNamespace
from typing import Any

import pytest

from bench.chaos.options import Trouble
from bench.chaos.outages import Outages
from bench.chaos.plan import Act
from bench.chaos.scene import Scene
from bench.chaos.venue_troubles import _planted
from simulator.faults import Fault, Faults, Incoming

HELD = ("engine_restart", {"times": None})
ORDER = Incoming(method="POST", path="/order")


class Admin:
    """The simulator's faults; `restart` forgets them, as a killed simulator does."""

    def __init__(self) -> None:
        self.faults_now = Faults()

    def restart(self) -> None:
        self.faults_now = Faults()

    def strikes(self) -> bool:
        return (
            self.faults_now.strike(ORDER, [planted.fault.kind for planted in self.faults_now.all()])
            is not None
        )

    async def plant_fault(self, kind: str, **parameters: Any) -> str:
        return self.faults_now.plant(Fault.model_validate({"kind": kind, **parameters})).fault_id

    async def faults(self) -> list[Any]:
        return [SimpleNamespace(fault_id=p.fault_id, hits=p.hits) for p in self.faults_now.all()]

    async def remove_fault(self, fault_id: str) -> None:
        assert self.faults_now.remove(fault_id)


@pytest.fixture
def admin() -> Admin:
    return Admin()


@pytest.fixture
def scene(admin: Admin) -> Scene:
    stage: Any = SimpleNamespace(admin=admin, start_ms=0)
    nobody: Any = None
    return Scene(nobody, stage, Outages(returning_ms=0), nobody)


def act(trouble: Trouble) -> Act:
    return Act(at_ms=0, trouble=trouble, lasts_ms=10)


async def test_end_of_one_fault_leaves_the_others_on(admin: Admin, scene: Scene) -> None:
    async with _planted(scene, act(Trouble.NOT_READY), HELD):
        async with _planted(scene, act(Trouble.POST_ONLY), HELD):
            pass
        assert admin.strikes()
    assert not admin.strikes()


async def test_fault_that_was_planted_behind_a_restart_outlives_those_from_before(
    admin: Admin, scene: Scene
) -> None:
    async with _planted(scene, act(Trouble.NOT_READY), HELD):
        admin.restart()
        after = await admin.plant_fault("engine_restart", times=None)
    assert [fault.fault_id for fault in await admin.faults()] == [after]


async def test_what_a_fault_met_is_counted_and_one_that_met_nothing_counts_as_none(
    admin: Admin, scene: Scene
) -> None:
    async with _planted(scene, act(Trouble.NOT_READY), HELD):
        assert [admin.strikes() for _ in range(3)] == [True] * 3
    async with _planted(scene, act(Trouble.POST_ONLY), HELD):
        pass
    assert scene.strikes == {"not_ready": 3, "post_only": 0}
