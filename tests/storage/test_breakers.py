"""Breakers in Postgres: counted with answers, probed within claims, the same for every worker."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from domain.breakers import BreakerLimits, ProbePace
from domain.claims import ClaimRefusal, Granted, Reduced, Refused
from domain.messages import RulePhase, RuleStatus, Severity
from domain.orders import Answer, AnswerKind, Mode, Side
from storage.database import Database
from storage.repositories.breakers import Breakers, BreakerState
from storage.repositories.claims import Claims
from storage.repositories.events import Events
from storage.repositories.rules import Rules
from tests.storage.builders import (
    NOW_MS,
    VENUE,
    Store,
    alone_in,
    digest_of,
    order_id,
    pass_visible_edge,
    rule_id,
)

LIMITS = BreakerLimits(unknowns=2, blocks=2, forgets_ms=60_000)
PACE = ProbePace(exit_ms=2_000, entry_ms=30_000)


def with_breakers(store: Store) -> Store:
    """The same account, whose claims open breakers after two failures; each call is another worker."""
    breakers = Breakers(store.database, store.hints, limits=LIMITS, pace=PACE)
    worker = replace(store)
    worker.claims = Claims(store.database, store.hints, breakers)
    return worker


@pytest.fixture
async def store(database: Database) -> AsyncGenerator[Store]:
    """An account that holds 100 shares; no breaker counts anything yet, and none is left to other tests."""
    store = with_breakers(await alone_in(database))
    await store.hold("100")
    await forget_breakers(database)
    yield store
    await forget_breakers(database)


async def forget_breakers(database: Database) -> None:
    async with database.hot.connection() as connection:
        await connection.execute("DELETE FROM breakers")


async def send(store: Store, kind: AnswerKind, *, side: Side = Side.SELL, took_ms: int = 0) -> None:
    """Claim one share's worth and get an answer, whatever stands in the way."""
    attempt = store.attempt(order_id(), "1", side=side)
    async with store.database.hot.connection() as connection:
        kept = await connection.fetch("SELECT * FROM breakers WHERE opened_at IS NOT NULL")
    if kept:
        await idle(store, PACE.entry_ms)
    await store.granted(attempt)
    answer = Answer(kind=kind, code=kind.value)
    await store.claims.record_answer(attempt.order_id, 1, answer, False, took_ms=took_ms)


async def opened(store: Store, kind: AnswerKind = AnswerKind.UNKNOWN) -> None:
    for _ in range(2):
        await send(store, kind)


async def idle(store: Store, milliseconds: int) -> None:
    """Let so much time pass for every breaker."""
    async with store.database.hot.connection() as connection:
        await connection.execute(
            """UPDATE breakers SET failed_at = failed_at - $1::interval, opened_at = opened_at - $1::interval,
                tried_at = tried_at - $1::interval, well_at = well_at - $1::interval""",
            timedelta(milliseconds=milliseconds),
        )


async def states(store: Store) -> list[BreakerState]:
    return [s for s in await Breakers(store.database, store.hints).states(store.account_id) if s.is_open]


def entry_of(store: Store):
    return store.attempt(order_id(), "1", side=Side.BUY)


def exit_of(store: Store):
    return store.attempt(order_id(), "1")


def refusal(answer: object) -> ClaimRefusal | None:
    return answer.refusal if isinstance(answer, Refused) else None


async def test_unknowns_in_a_row_open_the_venues_breaker_and_pause_entries(store: Store) -> None:
    await send(store, AnswerKind.UNKNOWN)
    assert await states(store) == []
    await send(store, AnswerKind.UNKNOWN)
    (breaker,) = await states(store)
    assert (breaker.venue, breaker.mode, breaker.account_id, breaker.failures) == (VENUE, Mode.PAPER, "", 2)
    refused = await store.claim(entry_of(store))
    assert refusal(refused) is ClaimRefusal.BREAKER_OPEN
    assert isinstance(refused, Refused)
    assert refused.detail == f"the breaker of {VENUE} is open: entries pause"


@pytest.mark.parametrize(
    ("between", "opens"),
    [
        (AnswerKind.ACCEPTED, False),
        (AnswerKind.REGISTERED, False),
        (AnswerKind.REBUILD, False),
        (AnswerKind.NO_LIQUIDITY, False),
        (AnswerKind.BLOCKED, False),
        (AnswerKind.FINAL, False),
        (AnswerKind.TRANSIENT, True),
    ],
)
async def test_answer_between_unknowns_shows_whether_the_venue_works(
    store: Store, between: AnswerKind, opens: bool
) -> None:
    for kind in (AnswerKind.UNKNOWN, between, AnswerKind.UNKNOWN):
        await send(store, kind)
    assert bool(await states(store)) is opens


async def test_answer_that_closes_the_venues_breaker_lets_exits_go(store: Store) -> None:
    await opened(store)
    await idle(store, PACE.exit_ms)
    probe, late = exit_of(store), exit_of(store)
    await store.granted(probe)
    well = Answer(kind=AnswerKind.ACCEPTED, code="ok")
    closing = await store.claims.record_answer(probe.order_id, 1, well, False, took_ms=1)
    assert (closing.written, closing.lets_exits_go) == (True, True)
    await store.granted(late)
    after = await store.claims.record_answer(late.order_id, 1, well, False, took_ms=1)
    assert (after.written, after.lets_exits_go) == (True, False)


async def test_exit_that_waits_is_not_called_quiet_while_the_venues_breaker_is_open(store: Store) -> None:
    rules, waiting, selling = Rules(store.database), rule_id(), rule_id()
    for rule, phase in ((waiting, RulePhase.WAITING), (selling, RulePhase.EXITING)):
        await store.projections.apply(store.rule_projection(rule, status=RuleStatus.TRIGGERED, phase=phase))
    now = datetime.now(UTC)

    async def quiet() -> set[str]:
        window = (now - timedelta(minutes=1), now + timedelta(minutes=1))
        exits = await rules.quiet_exits(VENUE, 0, 1, last_heard=window)
        return {found.rule_id for found in exits if found.account_id == store.account_id}

    assert await quiet() == {waiting, selling}
    await opened(store)
    assert await quiet() == {selling}
    await idle(store, PACE.exit_ms)
    await send(store, AnswerKind.ACCEPTED)
    assert await quiet() == {waiting, selling}


async def test_answer_that_opens_it_lets_nobody_go(store: Store) -> None:
    unknown = Answer(kind=AnswerKind.UNKNOWN, code="u")
    for _ in range(2):
        attempt = exit_of(store)
        await store.granted(attempt)
        recorded = await store.claims.record_answer(attempt.order_id, 1, unknown, False, took_ms=1)
        assert not recorded.lets_exits_go
    assert len(await states(store)) == 1


async def test_unknowns_far_apart_do_not_open_it(store: Store) -> None:
    await send(store, AnswerKind.UNKNOWN)
    await idle(store, 60_001)
    await send(store, AnswerKind.UNKNOWN)
    assert await states(store) == []


async def test_open_breaker_lets_one_exit_of_all_workers_out_in_two_seconds(store: Store) -> None:
    await opened(store)
    assert refusal(await store.claim(exit_of(store))) is ClaimRefusal.BREAKER_OPEN  # a failure is a try, too
    await idle(store, 2_000)
    tokens = [with_breakers(store.with_token()) for _ in range(4)]  # other positions: no lock in common
    for worker in tokens:
        await worker.hold("1")
    answers = await asyncio.gather(*(worker.claim(exit_of(worker)) for worker in (store, *tokens)))
    granted = [answer for answer in answers if isinstance(answer, Granted)]
    assert [answer.probes for answer in granted] == [True]
    assert [refusal(a) for a in answers if a not in granted] == [ClaimRefusal.BREAKER_OPEN] * 4
    assert refusal(await store.claim(exit_of(store))) is ClaimRefusal.BREAKER_OPEN
    await idle(store, 2_000)
    assert isinstance(await store.claim(exit_of(store)), Granted)


async def test_held_exit_shows_its_rows_and_leaves_no_claim(store: Store) -> None:
    await opened(store)
    attempt = exit_of(store)
    await store.claim(attempt)
    assert await store.claims.find(attempt.order_id, 1) is None
    async with store.database.hot.connection() as connection:
        row = await connection.fetchrow("SELECT 1 FROM orders WHERE order_id = $1", attempt.order_id)
    assert row is not None


async def test_exit_without_shares_takes_no_probe(store: Store) -> None:
    await opened(store)
    await idle(store, 2_000)
    assert isinstance(await store.claim(store.attempt(order_id(), "1000")), Reduced)
    assert isinstance(await store.claim(exit_of(store)), Granted)


async def test_probe_that_ends_well_closes_the_breaker_for_all(store: Store) -> None:
    await opened(store)
    await send(store, AnswerKind.NO_LIQUIDITY)
    assert await states(store) == []
    assert isinstance(await store.claim(entry_of(store)), Granted)
    answer = await store.claim(exit_of(store))
    assert isinstance(answer, Granted)
    assert not answer.probes


async def test_probe_that_fails_leaves_it_open_and_the_next_one_waits(store: Store) -> None:
    await opened(store)
    await send(store, AnswerKind.UNKNOWN)
    (breaker,) = await states(store)
    assert breaker.failures == 3
    assert refusal(await store.claim(exit_of(store))) is ClaimRefusal.BREAKER_OPEN


async def test_entry_probes_once_nobody_tried_for_long(store: Store) -> None:
    await opened(store)
    await idle(store, 29_000)
    assert refusal(await store.claim(entry_of(store))) is ClaimRefusal.BREAKER_OPEN
    await idle(store, 1_000)
    answers = [await store.claim(entry_of(store)) for _ in range(2)]
    assert [isinstance(answer, Granted) for answer in answers] == [True, False]


async def test_resend_takes_the_probe_that_its_claim_did_not(store: Store) -> None:
    attempt = exit_of(store)
    await store.granted(attempt)
    await store.claims.record_answer(attempt.order_id, 1, Answer(kind=AnswerKind.UNKNOWN, code="u"), True)
    await send(store, AnswerKind.UNKNOWN)  # opens it between the claim and the resend
    held = await store.claims.begin_resend(attempt.order_id, 1, NOW_MS, None)
    assert refusal(held) is ClaimRefusal.BREAKER_OPEN
    known = await store.claims.find(attempt.order_id, 1)
    assert known is not None
    assert (known.posts, known.answer is not None) == (1, True)
    await idle(store, 2_000)
    assert isinstance(await store.claims.begin_resend(attempt.order_id, 1, NOW_MS, None), Granted)
    held = await store.claims.begin_resend(attempt.order_id, 1, NOW_MS, None)
    assert refusal(held) is ClaimRefusal.BREAKER_OPEN


async def test_claim_of_a_resend_takes_the_probe_for_it(store: Store) -> None:
    attempt = exit_of(store)
    await store.granted(attempt)
    await store.claims.record_answer(attempt.order_id, 1, Answer(kind=AnswerKind.UNKNOWN, code="u"), True)
    await send(store, AnswerKind.UNKNOWN)
    assert refusal(await store.claim(attempt)) is ClaimRefusal.BREAKER_OPEN
    await idle(store, 2_000)
    again = await store.claim(attempt)
    assert isinstance(again, Granted)
    assert (again.resend, again.probes) == (True, True)
    resent = await store.claims.begin_resend(attempt.order_id, 1, NOW_MS, None, probes=True)
    assert isinstance(resent, Granted)
    assert resent.stored.posts == 2


async def test_late_success_of_a_send_before_the_opening_does_not_close_it(store: Store) -> None:
    attempt = exit_of(store)
    await store.granted(attempt)
    await opened(store)
    await store.claims.record_answer(
        attempt.order_id, 1, Answer(kind=AnswerKind.ACCEPTED, code="a"), False, took_ms=3_000
    )
    assert len(await states(store)) == 1


async def test_late_failures_of_sends_before_the_closing_do_not_open_it_again(store: Store) -> None:
    await opened(store)
    await send(store, AnswerKind.ACCEPTED)
    for _ in range(2):
        await send(store, AnswerKind.UNKNOWN, took_ms=3_000)
    assert await states(store) == []


async def test_blocks_open_the_breaker_of_their_account_alone(store: Store) -> None:
    await opened(store, AnswerKind.BLOCKED)
    (breaker,) = await states(store)
    assert breaker.account_id == store.account_id
    refused = await store.claim(entry_of(store))
    assert isinstance(refused, Refused)
    assert refused.detail == f"the breaker of this account at {VENUE} is open: entries pause"
    exits = await store.claim(exit_of(store))
    assert isinstance(exits, Granted)
    assert not exits.probes
    other = with_breakers(await alone_in(store.database))
    assert isinstance(await other.claim(entry_of(other)), Granted)
    assert await states(other) == []
    assert await Events(store.database).after(other.account_id, 0) == []


async def test_paper_failures_do_not_open_the_live_breaker(store: Store) -> None:
    await opened(store)
    assert [state.mode for state in await states(store)] == [Mode.PAPER]


async def test_opening_and_closing_are_told_once_to_whom_the_venue_concerns(store: Store) -> None:
    watching, idle_one = await alone_in(store.database), await alone_in(store.database)
    await watching.projections.apply(watching.rule_projection(rule_id(), phase=RulePhase.ARMED))
    await opened(store)
    await send(store, AnswerKind.UNKNOWN)
    await send(store, AnswerKind.ACCEPTED)
    await pass_visible_edge(store.database)
    for account in (store, watching):
        lines = [line.event for line in await Events(store.database).after(account.account_id, 0)]
        kinds = [(event.type, event.severity) for event in lines if event.type.startswith("breaker.")]
        assert kinds == [("breaker.opened", Severity.ALARM), ("breaker.closed", Severity.INFO)]
        assert all(store.account_id not in event.message for event in lines)
    assert await Events(store.database).after(idle_one.account_id, 0) == []


async def test_failures_of_many_workers_at_once_are_all_counted(store: Store) -> None:
    attempts = [exit_of(store) for _ in range(10)]
    for attempt in attempts:
        await store.granted(attempt)
    unknown = Answer(kind=AnswerKind.UNKNOWN, code="u")
    await asyncio.gather(
        *(store.claims.record_answer(a.order_id, 1, unknown, False, took_ms=1) for a in attempts)
    )
    (breaker,) = await states(store)
    assert breaker.failures == 10
    await pass_visible_edge(store.database)
    lines = [line.event.type for line in await Events(store.database).after(store.account_id, 0)]
    assert lines.count("breaker.opened") == 1


@pytest.mark.parametrize("commits", [True, False])
async def test_claim_that_meets_another_at_the_same_probe_waits_for_its_end(
    store: Store, commits: bool
) -> None:
    await opened(store)
    await idle(store, 2_000)
    other = with_breakers(store.with_token())
    await other.hold("1")
    breakers = Breakers(store.database, store.hints, limits=LIMITS, pace=PACE)
    async with store.database.hot.connection() as connection:
        first = connection.transaction()
        await first.start()
        assert await breakers.take_probe(connection, exit_of(store)) is None
        claiming = asyncio.create_task(other.claim(exit_of(other)))
        await waits_for_a_lock(store.database)
        await (first.commit() if commits else first.rollback())
    answer = await claiming
    assert isinstance(answer, Refused if commits else Granted)


async def waits_for_a_lock(database: Database) -> None:
    """Wait until somebody in this database waits for a row that another transaction holds."""
    query = """SELECT EXISTS (SELECT 1 FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock')"""
    async with asyncio.timeout(20), database.hot.connection() as connection:
        while not await connection.fetchval(query):  # noqa: ASYNC110 - Postgres announces no such event
            await asyncio.sleep(0.01)


async def test_rolled_back_claim_gives_its_probe_back(store: Store) -> None:
    await opened(store)
    await idle(store, 2_000)
    request = store.place(exit_of(store))
    nameless = replace(request.order.order, host_workflow_id=None)  # cannot be written
    request = replace(request, order=replace(request.order, order=nameless))
    with pytest.raises(asyncpg.NotNullViolationError):
        await store.claims.claim(request, digest_of(request.attempt), NOW_MS)
    assert isinstance(await store.claim(exit_of(store)), Granted)
