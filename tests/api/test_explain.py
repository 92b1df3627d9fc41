"""Explaining, previewing and replaying rules over the recorded tape."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from domain.claims import KillSwitch
from domain.errors import VenueTransient
from domain.ids import RuleId
from domain.messages import EventRow, RuleProjection, RuleStatus, Severity, WatchRow
from domain.orders import Mode
from domain.quotes import Quote
from domain.rules.approaches import Approach
from domain.rules.crossing import Crossing, Refusal
from domain.rules.definition import ConditionType
from domain.rules.notices import Observation, data_of, notice_of
from domain.rules.noticing import Miss
from domain.rules.watch import TrailMark
from domain.rules.wording import notice_text
from storage.hints import NotifyHints
from storage.repositories.api_keys import Scope
from storage.repositories.observations import Observations
from storage.repositories.tape import Tape, TapeEntry
from storage.repositories.watches import Watches
from tests.api.conftest import Caller, World
from tests.api.fakes import NOW, YES, book
from tests.api.test_orders import opened_breaker

RULES = "/api/v2/rules"
STOP = {"token_id": YES, "conditions": [{"type": "stop_loss", "price": "0.40"}]}


async def record(world: World, *rows: tuple[float, str, str], token: str = YES) -> None:
    """Write changes of a book, each at so many seconds after now."""
    await Tape(world.database).append(
        [
            TapeEntry(
                venue="polymarket",
                token_id=token,
                ts=NOW + timedelta(seconds=second),
                quote=Quote(Decimal(bid), Decimal(ask), None),
            )
            for second, bid, ask in rows
        ]
    )


async def armed(caller: Caller, body: dict[str, Any] = STOP) -> str:
    answer = await caller.post(RULES, body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


@pytest.fixture
async def owner(world: World) -> Caller:
    """An account with a rule's worth of shares, on a token that nobody else watches or writes to the tape."""
    async with world.database.hot.connection() as connection:
        await connection.execute("DELETE FROM tape WHERE token_id = $1", YES)
        await connection.execute("DELETE FROM watches WHERE token_id = $1", YES)
    return await world.account()


async def test_explanation_tells_price_level_distance_and_what_would_be_sent(
    world: World, owner: Caller
) -> None:
    rule_id = await armed(owner)

    found = (await owner.get(f"{RULES}/{rule_id}/explain")).json()

    (stop,) = found["conditions"]
    assert (found["price"]["price"], found["price"]["age_ms"], found["price"]["from_book"]) == (
        "0.51",
        0,
        True,
    )
    assert stop["level"] == "0.4"
    assert stop["distance"] == {"points": "0.11", "percent": "21.56", "ticks": "11"}
    assert (stop["reached"], stop["guard"]) == (False, None)
    send = stop["would_send"]
    assert (send["order_shares"], send["worst_price"], send["net_usd"]) == ("100", "0.45", "50")
    assert (send["rest_shares"], send["pnl_usd"]) == ("0", "0")
    assert found["hindrances"] == []


async def test_explanation_tells_near_misses_and_extremes_since_arming(world: World, owner: Caller) -> None:
    rule_id = await armed(owner)
    await record(world, (1, "0.50", "0.50"), (2, "0.41", "0.41"), (3, "0.55", "0.55"), (4, "0.50", "0.50"))
    world.clock.time = NOW + timedelta(seconds=10)

    history = (await owner.get(f"{RULES}/{rule_id}/explain")).json()["history"]

    assert (history["highest"]["price"], history["lowest"]["price"]) == ("0.55", "0.41")
    (miss,) = history["near_misses"]
    assert (miss["price"], miss["distance"], miss["held_by"]) == ("0.41", "0.01", None)
    assert miss["text"] == "stop_loss at 0.40 was missed by 0.01: the price came to 0.41."
    assert (history["rows"], history["complete"]) == (4, True)


def crossed(rule_id: str, at: datetime) -> Crossing:
    return Crossing(
        rule_id=rule_id,
        generation=1,
        condition_index=0,
        condition=ConditionType.STOP_LOSS,
        level=Decimal("0.40"),
        quote=Quote(Decimal("0.38"), Decimal("0.40"), None),
        price=Decimal("0.39"),
        mark=None,
        confirm_count=1,
        beyond_since_ms=None,
        observed_at_ms=int(at.timestamp() * 1000),
        venue_timestamp_ms=None,
    )


async def test_explanation_of_a_rule_that_fired_tells_what_fired_it(world: World, owner: Caller) -> None:
    rule_id = await armed(owner)
    await world.rules.fire(RuleId(rule_id), crossed(rule_id, NOW))

    found = (await owner.get(f"{RULES}/{rule_id}/explain")).json()

    assert (found["fired"]["condition"], found["fired"]["price"]) == ("stop_loss", "0.39")
    assert found["conditions"][0]["guard"]["code"] == "not_armed"


def held_back(owner: Caller, rule_id: str, at: timedelta, kind: str = Observation.HELD_BACK) -> EventRow:
    """A line of the feed: a spread held the stop back, three times within a minute."""
    assert owner.account_id is not None
    approach = Approach(
        condition_index=0,
        condition=ConditionType.STOP_LOSS,
        began_at=NOW + at,
        ended_at=NOW + at + timedelta(minutes=1),
        at=NOW + at,
        price=Decimal("0.39"),
        level=Decimal("0.40"),
        distance=Decimal("-0.01"),
        quote=Quote(Decimal("0.30"), Decimal("0.48"), None),
        held_by=Refusal.SPREAD_TOO_WIDE,
    )
    notice = replace(notice_of(Miss(rule_id, 1, approach, False)), count=3)
    return EventRow(
        event_key=f"{notice.key}/{kind}",
        account_id=owner.account_id,
        rule_id=RuleId(rule_id),
        order_id=None,
        type=kind,
        severity=Severity.INFO,
        message=notice_text(notice),
        data=data_of(notice),
        at=notice.last,
    )


async def test_near_misses_of_the_log_stand_beside_those_of_the_tape_and_none_twice(
    world: World, owner: Caller
) -> None:
    rule_id = await armed(owner)
    await record(world, (1, "0.50", "0.50"), (2, "0.41", "0.41"), (3, "0.55", "0.55"), (4, "0.50", "0.50"))
    world.clock.time = NOW + timedelta(hours=1)
    observations = Observations(world.database, NotifyHints(world.database))
    # The second one's time is that of the approach that the tape shows.
    await observations.tell(
        held_back(owner, rule_id, timedelta(minutes=20)), held_back(owner, rule_id, timedelta(seconds=2))
    )

    found = (await owner.get(f"{RULES}/{rule_id}/explain")).json()["history"]["near_misses"]

    assert [(miss["price"], miss["held_by"], miss["count"]) for miss in found] == [
        ("0.41", None, 1),
        ("0.39", "spread_too_wide", 3),
    ]


async def test_observations_are_listed_with_events_and_samples_only_when_asked_for(
    world: World, owner: Caller
) -> None:
    rule_id = await armed(owner)
    observations = Observations(world.database, NotifyHints(world.database))
    await observations.tell(
        held_back(owner, rule_id, timedelta(minutes=20)),
        held_back(owner, rule_id, timedelta(minutes=21), Observation.EVALUATED),
    )

    async def types(path: str, **query: str) -> list[str]:
        answer = await owner.get(path, rule_id=rule_id, **query)
        return [item["type"] for item in answer.json()["items"]]

    assert await types(f"{RULES}/events") == ["rule.held_back", "rule.armed"]
    assert await types("/api/v2/events") == ["rule.held_back", "rule.armed"]
    assert await types("/api/v2/events", type="rule.evaluated") == ["rule.evaluated"]
    assert await types(f"{RULES}/events", type="rule.held_back") == ["rule.held_back"]


async def test_quote_that_stood_at_the_arming_counts_where_another_rule_watched_and_nothing_before_it(
    world: World, owner: Caller
) -> None:
    await record(world, (-60, "0.99", "0.99"), (-30, "0.45", "0.45"))
    other = await armed(owner)
    await watch(world, other, armed_at=NOW - timedelta(minutes=5))
    rule_id = await armed(owner)

    history = (await owner.get(f"{RULES}/{rule_id}/explain")).json()["history"]

    assert (history["highest"]["price"], history["rows"]) == ("0.45", 1)


@pytest.mark.parametrize("fired", [False, True], ids=["ended", "sells still"])
async def test_what_the_tape_told_of_a_token_that_nobody_watched_any_more_fires_nothing(
    world: World, owner: Caller, fired: bool
) -> None:
    await record(world, (-60, "0.10", "0.10"))
    other = await armed(owner)
    await watch(world, other, armed_at=NOW - timedelta(minutes=5))
    if fired:
        await world.rules.fire(RuleId(other), crossed(other, NOW - timedelta(minutes=1)))
    else:
        await ended(world, other, RuleStatus.CANCELED, NOW - timedelta(minutes=1))
    await watch(world, other, version=3, armed=False)
    rule_id = await armed(owner)
    await record(world, (1, "0.50", "0.50"))
    world.clock.time = NOW + timedelta(seconds=10)

    history = (await owner.get(f"{RULES}/{rule_id}/explain")).json()["history"]
    replayed = (await owner.post(f"{RULES}/{rule_id}/replay", {})).json()

    assert (history["lowest"]["price"], history["rows"]) == ("0.5", 1)
    assert (replayed["fired"], replayed["rows"]) == (None, 1)


async def test_guard_that_holds_a_reached_level_is_named(world: World, owner: Caller) -> None:
    rule_id = await armed(owner, {**STOP, "max_spread": "0.01"})
    world.venues.market.top[YES] = book(YES, "0.38", "0.40", "0.39")

    (stop,) = (await owner.get(f"{RULES}/{rule_id}/explain")).json()["conditions"]

    assert (stop["reached"], stop["fires"], stop["guard"]["code"]) == (True, False, "spread_too_wide")
    assert "held back" in stop["text"]


async def test_running_level_of_a_trail_comes_from_the_tape(world: World, owner: Caller) -> None:
    rule_id = await armed(
        owner, {"token_id": YES, "conditions": [{"type": "trailing_stop", "percent": "10"}]}
    )
    await record(world, (1, "0.60", "0.60"), (2, "0.58", "0.58"))
    world.clock.time = NOW + timedelta(seconds=10)

    (trail,) = (await owner.get(f"{RULES}/{rule_id}/explain")).json()["conditions"]

    assert (trail["mark"], trail["level"]) == ("0.6", "0.54")


async def test_book_that_cannot_be_read_leaves_the_tapes_end_with_its_age(
    world: World, owner: Caller
) -> None:
    rule_id = await armed(owner)
    await record(world, (1, "0.50", "0.50"))
    world.clock.time = NOW + timedelta(seconds=31)
    world.venues.market.book_failure = VenueTransient("away")

    found = (await owner.get(f"{RULES}/{rule_id}/explain")).json()

    assert (found["price"]["price"], found["price"]["age_ms"], found["price"]["from_book"]) == (
        "0.5",
        30_000,
        False,
    )
    assert found["conditions"][0]["guard"]["code"] == "stale_quote"


async def test_kill_switch_is_named_as_what_keeps_an_exit_from_being_sent(
    world: World, owner: Caller
) -> None:
    rule_id = await armed(owner)
    assert owner.account_id is not None
    path = f"/api/v2/accounts/{owner.account_id}/kill-switch"
    await world.admin.put(path, {"level": KillSwitch.ALL.value})

    found = (await owner.get(f"{RULES}/{rule_id}/explain")).json()

    assert found["hindrances"] == ["The account's kill switch stops every send."]


async def test_open_breaker_of_the_venue_is_named_as_what_delays_an_exit(world: World, owner: Caller) -> None:
    rule_id = await armed(owner)
    async with opened_breaker(world, owner, "venue", mode="paper"):
        found = (await owner.get(f"{RULES}/{rule_id}/explain")).json()
    async with opened_breaker(world, owner, mode="paper"):
        own = (await owner.get(f"{RULES}/{rule_id}/explain")).json()

    assert found["hindrances"] == [
        "The venue's breaker is open: exits go out one at a time until one gets a clear answer."
    ]
    assert own["hindrances"] == []


async def test_finished_rule_is_explained_as_not_watched(world: World, owner: Caller) -> None:
    rule_id = await armed(owner)
    await owner.delete(f"{RULES}/{rule_id}")

    found = (await owner.get(f"{RULES}/{rule_id}/explain")).json()

    assert (found["status"], found["detail"]) == ("CANCELED", "cancelled by its owner")
    assert found["conditions"][0]["guard"]["code"] == "not_armed"
    assert found["conditions"][0]["text"].endswith("11 ticks); the rule is not being watched.")


async def watch(
    world: World,
    rule_id: str,
    *,
    version: int = 2,
    armed_at: datetime | None = None,
    marks: Sequence[TrailMark] = (),
    armed: bool = True,
    not_before_ms: int | None = None,
) -> None:
    """Write what the feed watches for a rule, in its second generation."""
    row = world.rules.rows[RuleId(rule_id)]
    assert row.resolved is not None
    written = WatchRow(
        rule_id=row.rule_id,
        account_id=row.account_id,
        mode=row.mode,
        venue=row.venue,
        token_id=row.token_id,
        generation=2,
        armed=armed,
        not_before_ms=not_before_ms,
        resolved=row.resolved,
        shares=Decimal(100),
        version=version,
    )
    await world.rules.projections.apply(rule=RuleProjection(rule=row, watch=written))
    await Watches(world.database).save_marks(marks)
    if armed_at is not None:
        async with world.database.hot.connection() as connection:
            await connection.execute("UPDATE watches SET armed_at = $2 WHERE rule_id = $1", rule_id, armed_at)


async def ended(world: World, rule_id: str, status: RuleStatus, at: datetime) -> None:
    """Let a rule end at a time."""
    await world.rules.end(RuleId(rule_id), status)
    async with world.database.hot.connection() as connection:
        await connection.execute("UPDATE rules SET updated_at = $2 WHERE rule_id = $1", rule_id, at)


async def test_ended_rule_is_explained_by_what_was_seen_until_its_end(world: World, owner: Caller) -> None:
    rule_id = await armed(owner)
    await record(world, (1, "0.50", "0.50"), (20, "0.41", "0.41"), (21, "0.10", "0.10"))
    await ended(world, rule_id, RuleStatus.EXPIRED, NOW + timedelta(seconds=15))
    world.clock.time = NOW + timedelta(seconds=30)

    history = (await owner.get(f"{RULES}/{rule_id}/explain")).json()["history"]
    replayed = (await owner.post(f"{RULES}/{rule_id}/replay", {})).json()

    assert (history["lowest"]["price"], history["near_misses"]) == ("0.5", [])
    assert replayed["fired"] is None
    assert (
        history["until"]
        == replayed["until"]
        == (NOW + timedelta(seconds=15)).isoformat().replace("+00:00", "Z")
    )


async def test_live_account_without_a_wallet_is_explained_and_told_what_is_missing(world: World) -> None:
    owner = await world.account(holds=None)
    account_id = await world.goes_live(owner)
    world.venues.give(account_id, t1001="100")
    await world.bought(account_id, YES, "100", "0.50", Mode.LIVE)
    rule_id = await armed(owner)
    world.venues.live.clear()

    explained = await owner.get(f"{RULES}/{rule_id}/explain")
    preview = await previewed(owner, {"type": "stop_loss", "price": "0.40"})

    assert explained.status_code == 200, explained.text
    missing = "The account has no wallet with usable credentials at this venue: nothing can be signed."
    assert explained.json()["hindrances"] == preview["hindrances"] == [missing]
    assert explained.json()["conditions"][0]["would_send"]["order_shares"] == "100"
    assert preview["held_shares"] == "100"
    assert (preview["accepted"], codes(preview, "refusals")) == (False, ["credentials_missing"])


# -- preview ------------------------------------------------------------------------------------------


async def previewed(caller: Caller, *conditions: dict[str, str], **fields: object) -> dict[str, Any]:
    answer = await caller.post(f"{RULES}/preview", {"token_id": YES, "conditions": conditions, **fields})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def codes(found: dict[str, Any], name: str) -> list[str]:
    return [line["code"] for line in found[name]]


async def test_preview_changes_nothing_and_shows_levels_of_the_ledgers_entry(
    world: World, owner: Caller
) -> None:
    found = await previewed(owner, {"type": "stop_loss", "percent": "10"})

    assert found["conditions"][0]["level"] == "0.45"
    assert (found["accepted"], found["entry_price"], found["held_shares"]) == (True, "0.5", "100")
    assert (await owner.get(RULES)).json()["total"] == 0
    assert world.rules.starts == []


async def test_preview_warns_of_a_rule_that_would_fire_and_says_that_it_would_be_refused(
    world: World, owner: Caller
) -> None:
    found = await previewed(owner, {"type": "stop_loss", "price": "0.60"})

    assert "would_fire_now" in codes(found, "warnings")
    assert (found["accepted"], codes(found, "refusals")) == (False, ["would_fire_at_once"])


async def test_preview_of_a_token_that_is_not_held_says_so(world: World) -> None:
    empty = await world.account(holds=None)

    found = await previewed(empty, {"type": "stop_loss", "price": "0.40"}, entry_price="0.5")

    assert codes(found, "refusals") == ["no_holding"]
    assert found["conditions"][0]["would_send"]["nothing"] == "nothing_held"


async def test_preview_counts_shares_that_the_venue_alone_shows_over_all_wallets(world: World) -> None:
    owner = await world.account(holds=None)
    account_id = await world.goes_live(owner)
    world.venues.give(account_id, t1001="30")
    world.venues.give(account_id, t1001="10")

    found = await previewed(owner, {"type": "stop_loss", "price": "0.40"})

    assert (found["accepted"], found["held_shares"]) == (True, "40")
    assert found["conditions"][0]["would_send"]["order_shares"] == "40"
    assert codes(found, "warnings") == []


async def test_preview_without_a_wallet_knows_of_no_holding_and_says_why(world: World) -> None:
    owner = await world.account(holds=None)
    await world.goes_live(owner)

    found = await previewed(owner, {"type": "stop_loss", "price": "0.40"})

    assert codes(found, "refusals") == ["credentials_missing"]
    assert found["held_shares"] == "0"


async def test_preview_asks_the_venue_for_its_book_once(world: World, owner: Caller) -> None:
    before = world.venues.market.books_read

    await previewed(owner, {"type": "stop_loss", "price": "0.40"})

    assert world.venues.market.books_read == before + 1


async def test_preview_without_a_book_judges_by_the_tape_and_is_not_accepted(
    world: World, owner: Caller
) -> None:
    await record(world, (-1, "0.30", "0.30"))
    world.venues.market.book_failure = VenueTransient("away")

    found = await previewed(owner, {"type": "stop_loss", "price": "0.40"})
    meant = await previewed(owner, {"type": "stop_loss", "price": "0.40"}, allow_immediate=True)

    assert (found["price"]["price"], found["price"]["from_book"]) == ("0.3", False)
    assert codes(found, "refusals") == ["venue_unavailable"]
    assert meant["accepted"]


async def test_venue_that_cannot_say_who_holds_leaves_an_explanation(world: World) -> None:
    owner = await world.account(holds=None)
    account_id = await world.goes_live(owner)
    first, second = world.venues.give(account_id), world.venues.give(account_id)
    await world.bought(account_id, YES, "100", "0.50", Mode.LIVE)
    rule_id = await armed(owner)
    first.failure = second.failure = VenueTransient("away")

    found = await owner.get(f"{RULES}/{rule_id}/explain")

    assert (found.status_code, found.json()["hindrances"]) == (200, [])


async def test_preview_with_a_key_that_may_only_read(world: World) -> None:
    reader = await world.account(Scope.READ)

    assert (await previewed(reader, {"type": "stop_loss", "price": "0.40"}))["accepted"]


async def test_preview_of_what_can_never_be_armed_is_refused_with_the_field(owner: Caller) -> None:
    body = {"token_id": YES, "conditions": [{"type": "stop_loss", "price": "1.40"}]}

    answer = await owner.post(f"{RULES}/preview", body)

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["code"] == "price_out_of_range"


# -- replay and tape ----------------------------------------------------------------------------------


async def test_replay_tells_what_fired_when_and_the_running_level(world: World, owner: Caller) -> None:
    rule_id = await armed(
        owner, {"token_id": YES, "conditions": [{"type": "trailing_stop", "percent": "10"}]}
    )
    await record(world, (1, "0.50", "0.50"), (2, "0.60", "0.60"), (3, "0.54", "0.54"), (4, "0.60", "0.60"))
    world.clock.time = NOW + timedelta(seconds=10)

    found = (await owner.post(f"{RULES}/{rule_id}/replay", {})).json()

    assert (found["fired"]["row"], found["fired"]["condition"], found["fired"]["level"]) == (
        2,
        "trailing_stop",
        "0.54",
    )
    assert [(step["mark"], step["level"]) for step in found["steps"]] == [("0.5", "0.45"), ("0.6", "0.54")]
    assert (found["rows"], found["complete"], found["high_water"]) == (3, True, "0.6")


async def test_replay_from_the_arming_goes_on_from_the_mark_and_the_quote_that_stood(
    world: World, owner: Caller
) -> None:
    rule_id = await armed(
        owner, {"token_id": YES, "conditions": [{"type": "trailing_stop", "percent": "10"}]}
    )
    await record(world, (-5, "0.70", "0.70"), (8, "0.55", "0.55"), (12, "0.56", "0.56"))  # watched since 0
    earlier = TrailMark(rule_id, 1, 0, Decimal("0.60"), True)
    await watch(world, rule_id, armed_at=NOW + timedelta(seconds=10), marks=[earlier])
    world.clock.time = NOW + timedelta(seconds=20)

    quiet = (await owner.post(f"{RULES}/{rule_id}/replay", {})).json()
    await record(world, (15, "0.54", "0.54"))
    fired = (await owner.post(f"{RULES}/{rule_id}/replay", {})).json()

    assert (quiet["fired"], quiet["rows"], quiet["high_water"]) == (None, 2, "0.6")
    assert (fired["fired"]["row"], fired["fired"]["level"]) == (2, "0.54")


async def test_replay_judges_the_quote_that_stood_at_the_arming_once_its_pause_is_over(
    world: World, owner: Caller
) -> None:
    rule_id = await armed(owner)
    await record(world, (8, "0.30", "0.30"))
    waits = int((NOW + timedelta(seconds=13)).timestamp() * 1000)
    await watch(world, rule_id, armed_at=NOW + timedelta(seconds=10), not_before_ms=waits)
    world.clock.time = NOW + timedelta(seconds=12)

    waiting = (await owner.post(f"{RULES}/{rule_id}/replay", {})).json()
    world.clock.time = NOW + timedelta(seconds=20)
    found = (await owner.post(f"{RULES}/{rule_id}/replay", {})).json()

    assert waiting["fired"] is None
    assert (found["fired"]["row"], found["fired"]["quote"]["bid"]) == (0, "0.3")
    assert found["fired"]["at"] == (NOW + timedelta(seconds=13)).isoformat().replace("+00:00", "Z")


@pytest.mark.parametrize("late_s", [0, 0.00026, 0.3], ids=["at once", "a moment later", "in a burst"])
async def test_rule_that_fired_is_replayed_from_its_last_arming_until_then(
    world: World, owner: Caller, late_s: float
) -> None:
    """The feed judges a quote first, and writes it to the tape with the time of the writing."""
    rule_id = await armed(owner)
    await record(world, (1, "0.30", "0.30"), (2, "0.50", "0.50"))
    await record(world, (12 + late_s, "0.38", "0.40"), (12.5, "0.38", "0.39"), (13, "0.20", "0.20"))
    await watch(world, rule_id, armed_at=NOW + timedelta(seconds=10))
    await world.rules.fire(RuleId(rule_id), crossed(rule_id, NOW + timedelta(seconds=12)))
    await watch(world, rule_id, version=3, armed=False)
    world.clock.time = NOW + timedelta(minutes=5)

    found = (await owner.post(f"{RULES}/{rule_id}/replay", {})).json()
    explained = (await owner.get(f"{RULES}/{rule_id}/explain")).json()

    assert (found["fired"]["row"], found["fired"]["quote"]["bid"], found["rows"]) == (1, "0.38", 2)
    assert explained["history"]["lowest"]["price"] == "0.39"
    assert (explained["history"]["rows"], explained["history"]["near_misses"]) == (2, [])


async def test_replay_of_a_span_looks_at_nothing_else(world: World, owner: Caller) -> None:
    await record(world, (-20, "0.30", "0.30"), (-10, "0.50", "0.50"))
    rule_id = await armed(owner)
    whole = {"since": (NOW - timedelta(seconds=30)).isoformat()}
    later = {"since": (NOW - timedelta(seconds=15)).isoformat()}

    fired = (await owner.post(f"{RULES}/{rule_id}/replay", whole)).json()
    quiet = (await owner.post(f"{RULES}/{rule_id}/replay", later)).json()

    assert (fired["fired"]["quote"]["bid"], quiet["fired"]) == ("0.3", None)


async def test_span_that_ends_before_it_begins_is_refused(owner: Caller) -> None:
    rule_id = await armed(owner)

    span = {"since": NOW.isoformat(), "until": (NOW - timedelta(hours=1)).isoformat()}
    answer = await owner.post(f"{RULES}/{rule_id}/replay", span)

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "until"


async def test_tape_is_read_as_lines_of_a_tape_file(world: World, owner: Caller) -> None:
    await record(world, (-3, "0.50", "0.51"), (-2, "0.49", "0.51"), (-1, "0.48", "0.51"))

    found = (await owner.get("/api/v2/tape", token_id=YES, limit=2)).json()

    assert [line["bid"] for line in found["items"]] == ["0.49", "0.48"]
    assert set(found["items"][0]) == {"ts", "bid", "ask", "last", "size"}
    assert found["complete"] is False
