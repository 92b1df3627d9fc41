"""What happens to the machine: processes die or stand still, a disk is full, Postgres is slow."""

import asyncio
import signal

from bench.chaos.options import Trouble
from bench.chaos.outages import NEEDED_BY_NO_EXIT
from bench.chaos.plan import Act
from bench.chaos.scene import Scene
from bench.chaos.stage import now_ms
from runtime.embedded.process import signal_process
from runtime.embedded.stack import WORKERS, Part
from runtime.embedded.supervisor import PartFailed, PartState

_FULL = """
CREATE OR REPLACE FUNCTION chaos_full() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'No space left on device' USING ERRCODE = '53100'; END $$
"""
_SLOW = """
CREATE OR REPLACE FUNCTION chaos_slow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM pg_sleep(0.3); RETURN NEW; END $$
"""

WITH_A_SPARE = frozenset({Part.WORKER_CORE_1, Part.WORKER_CORE_2})
"""While one of these stands still, the other takes over: no excuse for a late exit."""
LOOK_S = 0.05


async def kill(scene: Scene, act: Act) -> None:
    """SIGKILL, several parts at a time."""
    for part in act.parts:
        if scene.stack.supervisor.pid(part) is None:
            continue  # dead already
        scene.outages.killed(part)
        scene.stack.kill(part)
        scene.note(f"kill -9 {part}")


async def pause(scene: Scene, act: Act) -> None:
    """SIGSTOP, and SIGCONT unless it was killed meanwhile."""
    (part,) = act.parts
    supervisor = scene.stack.supervisor
    if supervisor.state(part) is not PartState.HEALTHY:
        return
    pid, since = supervisor.pid(part), now_ms()
    supervisor.pause(part)
    scene.note(f"pause {part} for {act.lasts_ms} ms")
    try:
        while now_ms() - since < act.lasts_ms:
            if supervisor.pid(part) != pid:
                break  # it was killed, and stands still no longer
            await asyncio.sleep(LOOK_S)
    finally:
        if supervisor.pid(part) == pid and supervisor.state(part) is PartState.PAUSED:
            try:
                supervisor.resume(part)
            except PartFailed:
                scene.note(f"{part} died while it stood still")
    scene.outages.paused(part, since)
    if part in WITH_A_SPARE:
        scene.outages.struck(f"pause {part}", since)
    elif part not in NEEDED_BY_NO_EXIT:
        scene.outages.excused(f"pause {part}", since, blind=part in (Part.WORKER_FEED, Part.TEMPORAL))


async def full_disk(scene: Scene, act: Act) -> None:
    """The tape cannot be written: every insert fails as on a full disk."""
    since = now_ms()
    tables = ("tape", "trail_marks")
    await scene.execute(
        _FULL,
        *(
            f"CREATE OR REPLACE TRIGGER chaos_full BEFORE INSERT ON {t} EXECUTE FUNCTION chaos_full()"
            for t in tables
        ),
    )
    scene.note(f"the tape's disk is full for {act.lasts_ms} ms")
    await asyncio.sleep(act.lasts_ms / 1000)
    await scene.execute(*(f"DROP TRIGGER IF EXISTS chaos_full ON {table}" for table in tables))
    scene.outages.forgotten(since)


async def slow_postgres(scene: Scene, act: Act) -> None:
    """Each write of a claim or a fill takes a third of a second longer."""
    since = now_ms()
    tables = ("claims", "ledger")
    await scene.execute(
        _SLOW,
        *(
            f"CREATE OR REPLACE TRIGGER chaos_slow BEFORE INSERT ON {t} "
            "FOR EACH ROW EXECUTE FUNCTION chaos_slow()"
            for t in tables
        ),
    )
    scene.note(f"Postgres is slow for {act.lasts_ms} ms")
    await asyncio.sleep(act.lasts_ms / 1000)
    await scene.execute(*(f"DROP TRIGGER IF EXISTS chaos_slow ON {table}" for table in tables))
    scene.outages.struck("slow Postgres", since)


async def kill_fork_server(scene: Scene, _: Act) -> None:
    """SIGKILL to the process of which workers and API are copies: all of them die with it."""
    pid = scene.stack.forking.pid
    if pid is None:
        return  # another one starts just now
    for part in (*WORKERS, Part.API):
        if part in scene.stack.supervisor.parts and scene.stack.supervisor.pid(part) is not None:
            scene.outages.killed(part)
    signal_process(pid, signal.SIGKILL)
    scene.note("kill -9 fork server")


MACHINE = {
    Trouble.PAUSE: pause,
    Trouble.FULL_DISK: full_disk,
    Trouble.SLOW_POSTGRES: slow_postgres,
    Trouble.FORK_SERVER: kill_fork_server,
}
