"""One run: the stack, the stage, everything that happens, and the audit."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx2

from bench.chaos.audit import Report, audit
from bench.chaos.collect import collect
from bench.chaos.machine import MACHINE, kill
from bench.chaos.options import ChaosOptions, Pace
from bench.chaos.oracle import SUSTAINED_MS
from bench.chaos.outages import Outages
from bench.chaos.people import ALONE, PEOPLE
from bench.chaos.plan import Act, Plan, make_plan
from bench.chaos.scene import Scene
from bench.chaos.stage import Stage, now_ms
from bench.chaos.venue_troubles import VENUE
from bench.client import Api
from bench.histories import keep_histories
from bench.program import Say
from bench.stack import running
from runtime.embedded.ports import Ports
from runtime.embedded.stack import StackOptions
from runtime.embedded.supervisor import Pace as SupervisorPace
from runtime.settings import TuningSettings
from runtime.temporal import connect
from simulator.client import SimulatorAdmin

Do = Callable[[Scene, Act], Awaitable[None]]
_DEEDS: dict[str, Do] = {**MACHINE, **VENUE, **PEOPLE}
LOOK_AGAIN_S = 2.0
SETTLING_LIMIT_S = 1_200.0
CERTAIN_AFTER_MS = SUSTAINED_MS + 1_000


@dataclass(frozen=True, slots=True)
class _Timing:
    """What depends on the product's own durations."""

    returning_ms: int
    stands_still_s: float
    """For so long nothing may have changed before what is left counts as a difference."""
    always_certain: bool
    """Whether every run waits until what stands beyond a level at the end has to fire."""


_TIMING = {
    Pace.PRODUCT: _Timing(8_000, 120.0, True),
    Pace.FAST: _Timing(4_000, 60.0, False),
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """A run's report, what was done in it, and how often the venue's troubles met something."""

    report: Report
    deeds: tuple[str, ...]
    strikes: Mapping[str, int]


async def run(options: ChaosOptions, say: Say, folder: Path, keep: Path | None = None) -> Outcome:
    """Run the plan of `options` on a stack of its own.

    Args:
        options: What to do.
        say: Receives the step that goes on.
        folder: Where the stack's data and logs are kept.
        keep: Where histories of its workflows are written; None writes none.

    Raises:
        BenchFailed: The stage could not be set up.
    """
    plan = make_plan(options)
    timing = _TIMING[options.pace]
    outages = Outages(timing.returning_ms)
    say("starting a stack")
    wanted = _stack_options(options, outages, folder)
    async with running(wanted) as stack, SimulatorAdmin(stack.simulator_admin_url) as admin:
        http = httpx2.AsyncClient(base_url=stack.api_url, timeout=15, trust_env=False)
        async with http:
            operator = Api(http, stack.admin_key.get_secret_value(), patient=True)
            stage = Stage(admin, operator, plan)
            await stage.set_up(say)
            temporal = await connect(stack.settings().temporal, lazy=True)
            scene = Scene(stack, stage, outages, temporal)
            outages.forget_start()
            await stage.begin()
            await _let_it_happen(scene, plan, say)
            report = await _settled(scene, timing, say)
            if keep is not None:
                await keep_histories(temporal, keep)
            return Outcome(report, tuple(scene.deeds), dict(scene.strikes))


def _stack_options(options: ChaosOptions, outages: Outages, folder: Path) -> StackOptions:
    return StackOptions(
        folder,
        ports=Ports(),
        fsync=False,
        synchronous="normal",
        ui=False,
        overrides=_durations(options.pace),
        observe=outages.observe,
        pace=SupervisorPace(steady_after=1.0, longest_backoff=0.5),
    )


def _durations(pace: Pace) -> dict[str, str]:
    """Return the product's durations; entries only set the stage, so a tenth of theirs would test nothing."""
    if pace is Pace.PRODUCT:
        return {}
    own = TuningSettings()
    scaled = own.scaled(0.1).model_copy(update={"entry_send_window": own.entry_send_window})
    return scaled.as_environment()


async def _let_it_happen(scene: Scene, plan: Plan, say: Say) -> None:
    """Do every act at its moment, while prices move."""
    async with asyncio.TaskGroup() as group:
        for act in plan.acts:
            group.create_task(_do(scene, act))
        group.create_task(_tell(scene, plan, say))
    await scene.stack.wait_healthy()
    await scene.stage.admin.clear_faults()


async def _do(scene: Scene, act: Act) -> None:
    await asyncio.sleep(max(0.0, (scene.stage.start_ms + act.at_ms - now_ms()) / 1000))
    if act.trouble is None:
        await kill(scene, act)
    elif act.trouble in ALONE:
        async with scene.by_people:
            await _DEEDS[act.trouble](scene, act)
    else:
        await _DEEDS[act.trouble](scene, act)


async def _tell(scene: Scene, plan: Plan, say: Say) -> None:
    while (passed_ms := now_ms() - scene.stage.start_ms) < plan.length_ms:
        last = scene.deeds[-1].split("  ", 1)[1] if scene.deeds else ""
        say(f"prices move: {passed_ms // 1000} of {plan.length_ms // 1000} s; {last}")
        await asyncio.sleep(0.5)


async def _settled(scene: Scene, timing: _Timing, say: Say) -> Report:
    """Audit until nothing is found, or nothing changes any more: a loaded machine works exits off late."""
    ended_ms = scene.stage.start_ms + scene.stage.plan.length_ms
    say("settling")
    if timing.always_certain or any(gap.to_ms >= ended_ms for gap in scene.outages.gaps()):
        # A feed that came back late saw little: only what stands beyond its level so long is certain to fire.
        await asyncio.sleep(max(0.0, (ended_ms + CERTAIN_AFTER_MS - now_ms()) / 1000))
    clock = asyncio.get_running_loop()
    differences, began_at = None, clock.time()
    changed_at = began_at
    while True:
        say("auditing")
        evidence = await collect(scene.stage, scene.outages, scene.stack.database_url, scene.temporal)
        report = audit(evidence)
        found = {(finding.fault, finding.subject) for finding in report.findings}  # words count retries
        if found != differences:
            differences, changed_at = found, clock.time()
        now = clock.time()
        if not found or now - changed_at > timing.stands_still_s or now - began_at > SETTLING_LIMIT_S:
            return report
        say(f"settling: {len(report.findings)} differences still")
        await asyncio.sleep(LOOK_AGAIN_S)
