"""`place_order`: the claim's answers, and what a repeated call may do."""

import asyncio
from dataclasses import replace
from decimal import Decimal

import pytest
from structlog.testing import capture_logs

from domain.claims import ClaimRefusal, Held, Reduced
from domain.errors import CredentialsMissing, StorageUnavailable
from domain.ids import RuleId
from domain.messages import PlaceKind, RulePhase
from domain.orders import Answer, AnswerKind, Side, VenueOrderStatus
from domain.settlement import NextStep, next_step
from storage.repositories.rules import OpenRule
from tests.activities.floor import Desk
from tests.domain.builders import ACCOUNT, make_attempt
from tests.fakes.trading import make_order, venue_id

ATTEMPT = make_attempt()
DIGEST = venue_id(ATTEMPT)


def answer(kind: AnswerKind) -> Answer:
    return Answer(kind=kind, code=kind.value)


@pytest.fixture
def desk() -> Desk:
    return Desk()


async def test_a_granted_claim_is_posted_once_and_its_answer_recorded(desk: Desk):
    result = await desk.place()

    assert (result.kind, result.answer.kind) == (PlaceKind.ANSWERED, AnswerKind.ACCEPTED)
    assert (result.venue_order_id, result.posts, result.unknown_before) == (DIGEST, 1, False)
    assert desk.claims.stored["ord_1", 1].answer == result.answer
    assert len(desk.signals.woken) == 1


async def test_the_answer_brings_what_is_booked_of_an_order_that_stands(desk: Desk):
    desk.ledger.facts = replace(desk.ledger.facts, booked_shares=Decimal(10))
    accepted = await desk.place()
    assert accepted.facts is not None
    assert accepted.facts.booked_shares == 10

    again = await desk.place()  # its answer is known, and its host may have been told nothing
    assert again.facts is not None


async def test_an_order_that_found_no_bid_brings_the_holding_for_the_watch_that_follows(desk: Desk):
    desk.trading.answers.append(answer(AnswerKind.NO_LIQUIDITY))
    refused = await desk.place()
    assert refused.facts is not None
    assert refused.facts.holding == desk.ledger.held


async def test_an_answer_stands_though_the_ledger_cannot_be_read(desk: Desk):
    async def away(ref, *, looked_up=False):
        raise StorageUnavailable("away")

    desk.ledger.order_facts = away
    result = await desk.place()
    assert (result.answer.kind, result.facts) == (AnswerKind.ACCEPTED, None)


async def test_a_refused_post_wakes_no_stream(desk: Desk):
    desk.trading.answers.append(answer(AnswerKind.NO_LIQUIDITY))
    await desk.place()

    assert desk.signals.woken == []


async def test_reduced_held_and_refused_claims_send_nothing(desk: Desk):
    desk.claims.judged = Reduced(available=Decimal(3))
    assert (await desk.place()).available == 3
    desk.claims.judged = Held(order_ids=("ord_2",), available=Decimal(0))
    assert (await desk.place()).held_by == ("ord_2",)
    desk.claims.refusal = ClaimRefusal.KILL_SWITCH
    refused = await desk.place()
    assert (refused.kind, refused.refusal, refused.venue_order_id) == (
        PlaceKind.REFUSED,
        "kill_switch",
        None,
    )
    assert desk.trading.posted == []


@pytest.mark.parametrize(
    "judged", [Reduced(available=Decimal(3)), Held(order_ids=("ord_2",), available=Decimal(0))]
)
async def test_a_claim_that_has_to_wait_for_shares_shows_its_step(desk: Desk, judged):
    desk.claims.judged = judged
    await desk.place()

    [(_, order)] = desk.projections.written
    assert order.order.order_id == "ord_1"


async def test_a_step_without_credentials_is_shown(desk: Desk):
    desk.venues.missing = CredentialsMissing("no key")
    await desk.place()

    [(_, order)] = desk.projections.written
    assert order.order.order_id == "ord_1"


async def test_other_bytes_for_the_same_attempt_are_not_sent(desk: Desk):
    await desk.place()
    result = await desk.place(replace(ATTEMPT, timestamp_ms=ATTEMPT.timestamp_ms + 1))

    assert (result.kind, result.adopted) == (PlaceKind.ADOPTED, ATTEMPT)
    assert len(desk.trading.posted) == 1


async def test_an_answer_that_is_known_is_returned_without_a_send(desk: Desk):
    await desk.place()
    again = await desk.place()

    assert again.answer.kind is AnswerKind.ACCEPTED
    assert len(desk.trading.posted) == 1


async def test_a_killed_try_looks_up_and_finds_the_order(desk: Desk):
    await desk.place()
    desk.claims.stored["ord_1", 1] = replace(desk.claims.stored["ord_1", 1], answer=None)
    desk.trading.known[DIGEST] = make_order(DIGEST, VenueOrderStatus.MATCHED, side=Side.SELL)
    result = await desk.place()

    assert (result.answer.kind, result.answer.status) == (AnswerKind.REGISTERED, VenueOrderStatus.MATCHED)
    assert result.unknown_before
    assert len(desk.trading.posted) == 1


async def test_a_killed_try_that_finds_nothing_sends_the_same_bytes(desk: Desk):
    await desk.place()
    desk.claims.stored["ord_1", 1] = replace(desk.claims.stored["ord_1", 1], answer=None)
    result = await desk.place()

    assert desk.trading.posted == [ATTEMPT, ATTEMPT]
    assert (result.posts, result.unknown_before) == (2, True)


async def test_an_unknown_answer_is_looked_up_before_the_resend(desk: Desk):
    desk.trading.answers.extend([answer(AnswerKind.UNKNOWN), answer(AnswerKind.REBUILD)])
    first = await desk.place()
    assert next_step(first) is NextStep.RESEND
    second = await desk.place()

    assert second.unknown_before
    assert next_step(second) is NextStep.FOLLOW  # a definite refusal settles nothing after an unknown


@pytest.mark.parametrize("probing", [False, True])
async def test_a_resend_goes_by_the_probe_that_its_claim_took(desk: Desk, probing: bool):
    desk.trading.answers.append(answer(AnswerKind.UNKNOWN))
    await desk.place()
    desk.claims.probing = probing
    await desk.place()

    assert desk.claims.probes == [probing]
    assert len(desk.trading.posted) == 2


async def test_a_breaker_that_holds_a_resend_back_spares_the_venue_the_look_up(desk: Desk):
    desk.trading.answers.append(answer(AnswerKind.UNKNOWN))
    await desk.place()
    desk.claims.refusal = ClaimRefusal.BREAKER_OPEN
    desk.trading.away = 1  # a look-up would find nobody
    result = await desk.place()

    assert (result.kind, result.refusal, result.unknown_before) == (PlaceKind.REFUSED, "breaker_open", True)
    assert (desk.trading.away, len(desk.trading.posted)) == (1, 1)
    assert next_step(result) is NextStep.HOLD_OFF


async def test_a_transient_answer_is_certain_and_resent_without_a_look_up(desk: Desk):
    desk.trading.answers.extend([answer(AnswerKind.TRANSIENT), answer(AnswerKind.REBUILD)])
    desk.trading.away = 5
    await desk.place()
    second = await desk.place()

    assert (second.posts, second.unknown_before) == (2, False)
    assert next_step(second) is NextStep.REBUILD


async def test_while_nobody_can_be_asked_nothing_is_resent(desk: Desk):
    desk.trading.answers.append(answer(AnswerKind.UNKNOWN))
    await desk.place()
    desk.trading.away = 1
    result = await desk.place()

    assert (result.answer.kind, result.answer.code) == (AnswerKind.UNKNOWN, "look_up_failed")
    assert len(desk.trading.posted) == 1


async def test_a_look_up_that_hangs_is_given_up_in_time():
    desk = Desk(look_up_limit_s=0.01)
    desk.trading.answers.append(answer(AnswerKind.UNKNOWN))
    await desk.place()
    desk.trading.find_order = lambda *_: asyncio.Event().wait()
    result = await desk.place()

    assert result.answer.code == "look_up_failed"
    assert len(desk.trading.posted) == 1


async def test_an_answer_that_postgres_does_not_take_stays_in_the_result(desk: Desk):
    desk.claims.away = 1
    result = await desk.place()

    assert result.answer.kind is AnswerKind.ACCEPTED
    assert desk.claims.stored["ord_1", 1].answer is None
    desk.trading.known[DIGEST] = make_order(DIGEST, VenueOrderStatus.MATCHED, side=Side.SELL)
    assert (await desk.place()).answer.kind is AnswerKind.REGISTERED
    assert len(desk.trading.posted) == 1


async def test_a_kill_switch_between_sends_names_the_send_that_is_out(desk: Desk):
    desk.trading.answers.append(answer(AnswerKind.UNKNOWN))
    await desk.place()
    desk.claims.refusal = ClaimRefusal.KILL_SWITCH
    result = await desk.place()

    assert (result.kind, result.venue_order_id) == (PlaceKind.REFUSED, DIGEST)
    assert (result.unknown_before, result.posts) == (True, 1)
    assert len(desk.trading.posted) == 1


async def test_missing_credentials_are_an_answer_that_a_person_must_mend(desk: Desk):
    desk.venues.missing = CredentialsMissing("no key")
    result = await desk.place()

    assert (result.kind, result.refusal) == (PlaceKind.REFUSED, "credentials_missing")
    assert desk.claims.stored == {}


async def test_a_stream_that_cannot_be_woken_does_not_harm_the_order(desk: Desk):
    desk.signals.away = True

    assert (await desk.place()).answer.kind is AnswerKind.ACCEPTED


async def test_rows_that_cannot_be_written_do_not_keep_the_order_from_the_venue(desk: Desk) -> None:
    desk.projections.away = 1

    result = await desk.place()

    assert result.answer is not None
    assert len(desk.trading.posted) == 1


async def test_repeated_call_writes_the_rows_that_its_first_try_may_not_have_written(desk: Desk) -> None:
    await desk.place(ATTEMPT)
    desk.projections.written.clear()

    await desk.place(ATTEMPT)

    assert len(desk.projections.written) == 1


async def test_exit_that_a_breaker_holds_is_told_to_wait_by_how_many_others_do(desk: Desk):
    desk.claims.refusal = ClaimRefusal.BREAKER_OPEN
    desk.rules.waiting = 9
    assert (await desk.place()).turn_ms == 18_000  # one probe every two seconds
    desk.rules.waiting = 1_000
    assert (await desk.place()).turn_ms == 30_000

    desk.claims.refusal = ClaimRefusal.KILL_SWITCH
    assert (await desk.place()).turn_ms == 0


async def test_purchase_that_a_breaker_refuses_is_told_of_no_queue(desk: Desk):
    desk.claims.refusal = ClaimRefusal.BREAKER_OPEN
    desk.rules.waiting = 40
    assert (await desk.place(make_attempt(side=Side.BUY))).turn_ms == 0


def waiting_rule(number: int) -> OpenRule:
    rule_id = RuleId(f"rul_{number}")
    return OpenRule(rule_id=rule_id, account_id=ACCOUNT, phase=RulePhase.WAITING, version=1)


async def test_answer_that_closes_the_venues_breaker_tells_those_that_wait_and_those_that_begin_to(
    desk: Desk,
):
    told: asyncio.Queue[str] = asyncio.Queue()

    async def order_update(host):
        told.put_nowait(host)
        desk.rules.open = [waiting_rule(8)]  # refused before the breaker closed, and waits since then
        return True

    desk.rules.open, desk.signals.order_update = [waiting_rule(7)], order_update
    await desk.place()
    assert desk.rules.open == [waiting_rule(7)]

    desk.claims.lets_exits_go = True
    await desk.place(make_attempt(order_id="ord_2"))
    async with asyncio.timeout(5):
        assert [await told.get(), await told.get()] == ["rule/rul_7", "rule/rul_8"]


async def test_order_that_closed_a_breaker_waits_for_no_exit_that_cannot_be_told(desk: Desk):
    asked, never = asyncio.Event(), asyncio.Event()

    async def hanging(host):
        asked.set()
        await never.wait()

    desk.rules.open = [waiting_rule(7)]
    desk.claims.lets_exits_go, desk.signals.order_update = True, hanging
    assert (await desk.place()).answer.kind is AnswerKind.ACCEPTED
    async with asyncio.timeout(5):
        await asked.wait()


async def test_telling_that_fails_is_said_and_harms_no_order(desk: Desk):
    async def broken(account_id, *, looking):
        raise LookupError("no such column")

    desk.rules.may_be_held, desk.claims.lets_exits_go = broken, True
    with capture_logs() as logs:
        assert (await desk.place()).answer.kind is AnswerKind.ACCEPTED
        async with asyncio.timeout(5):
            while not any(e["event"] == "held_exits.telling_failed" for e in logs):  # noqa: ASYNC110
                await asyncio.sleep(0)


async def test_send_that_is_under_way_is_not_cut_off_by_a_cancel(desk: Desk):
    sending, answer = asyncio.Event(), asyncio.Event()
    place = desk.trading.place

    async def slow(attempt):
        sending.set()
        await answer.wait()
        return await place(attempt)

    desk.trading.place = slow
    async with asyncio.timeout(5):
        placing = asyncio.create_task(desk.place())
        await sending.wait()
        for _ in range(2):
            placing.cancel()
            await asyncio.sleep(0)
        answer.set()
        result = await placing

    assert result.answer.kind is AnswerKind.ACCEPTED
    [stored] = desk.claims.stored.values()
    assert stored.answer == result.answer


async def test_those_that_wait_are_not_counted_while_postgres_is_away(desk: Desk):
    async def away(venue, mode):
        raise StorageUnavailable("away")

    desk.claims.refusal = ClaimRefusal.BREAKER_OPEN
    desk.rules.waiting_at = away
    result = await desk.place()
    assert (result.refusal, result.turn_ms) == ("breaker_open", 0)
