"""`/metrics`: who may read it, what it counts of requests and in Postgres, and what it never says."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import httpx2
import pytest

from domain.errors import StorageUnavailable
from domain.ids import AccountId, RuleId
from runtime.clock import SystemClock
from runtime.settings import TelemetrySettings
from runtime.telemetry.exposition import Exposition
from runtime.telemetry.fleet import FleetGauges
from runtime.telemetry.process import ProcessTelemetry
from storage.hints import NotifyHints
from storage.repositories.api_keys import Scope
from storage.repositories.breakers import Breakers, BreakerState
from storage.repositories.feed_status import FeedStatus
from storage.repositories.fleet import Fleet, FleetCounts
from storage.repositories.tape import FeedGap, Tape
from tests.api.conftest import Caller, World
from tests.api.fakes import NOW, YES
from tests.telemetry.samples import Samples, samples_of

STOP = {"token_id": YES, "conditions": [{"type": "stop_loss", "price": "0.40"}]}
ELSEWHERE = ("203.0.113.9", 4000)


@pytest.fixture
def measured(world: World) -> World:
    """A world whose API measures itself, and reads everything anew for each question."""
    exposition = ProcessTelemetry(TelemetrySettings(), role="api").exposition
    assert exposition is not None
    services = world.services
    exposition.add(
        FleetGauges(
            Fleet(world.database), services.breakers, services.feeds, services.clock, fresh_s=0, rest=0
        )
    )
    services = replace(services, metrics=exposition)
    world.app.state.services = services
    world.services = services
    return world


@asynccontextmanager
async def asked_from(world: World, client: tuple[str, int]) -> AsyncGenerator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(app=world.app, client=client)
    async with httpx2.AsyncClient(transport=transport, base_url="http://holdfast.test") as http:
        yield http


async def seen(world: World) -> Samples:
    answer = await world.http.get("/metrics")
    assert answer.status_code == 200, answer.text
    return samples_of(answer.text)


def labels(**pairs: str) -> frozenset[tuple[str, str]]:
    return frozenset(pairs.items())


PAPER = {"venue": "polymarket", "mode": "paper"}


async def test_loopback_needs_no_key(measured: World) -> None:
    async with asked_from(measured, ("::1", 4000)) as http:
        by_v6 = await http.get("/metrics")
    by_v4 = await measured.http.get("/metrics")

    assert (by_v4.status_code, by_v6.status_code) == (200, 200)
    assert by_v4.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "Via", "X-Real-IP"])
async def test_what_a_proxy_on_this_machine_passes_on_needs_a_key(measured: World, header: str) -> None:
    answer = await measured.http.get("/metrics", headers={header: "203.0.113.9"})

    assert answer.status_code == 401


async def test_from_elsewhere_only_an_operator_may_read(measured: World) -> None:
    owner = await measured.account(Scope.ADMIN)

    async with asked_from(measured, ELSEWHERE) as http:
        callers = [Caller(http, None, ""), owner, measured.admin]
        answers = [await Caller(http, None, caller.key).get("/metrics") for caller in callers]

    assert [answer.status_code for answer in answers] == [401, 403, 200]


async def test_socket_without_an_address_is_not_loopback(measured: World) -> None:
    async with asked_from(measured, ("testclient", 0)) as http:
        assert (await http.get("/metrics")).status_code == 401


async def test_switched_off_metrics_are_not_there(world: World) -> None:
    assert (await world.http.get("/metrics")).status_code == 404


async def test_requests_are_counted_by_route_not_by_what_stands_in_the_path(measured: World) -> None:
    owner = await measured.account(Scope.TRADE)
    await owner.get("/api/v2/rules/rule_of_nobody")
    await measured.http.get("/no/such/path")
    await measured.http.request("BREW", "/api/health")

    counted = await seen(measured)

    name = "holdfast_api_requests_total"
    assert counted[name, labels(method="GET", route="/api/v2/rules/{rule_id}", status="404")] == 1
    assert counted[name, labels(method="GET", route="(none)", status="401")] == 1
    assert counted[name, labels(method="other", route="/api/health", status="405")] == 1


async def test_positions_count_as_unprotected_until_a_living_rule_stands_on_them(measured: World) -> None:
    first = await seen(measured)  # of whatever other tests left
    owner = await measured.account(Scope.TRADE)
    await measured.account(Scope.TRADE, holds=None)
    bare = await seen(measured)
    rule = (await owner.post("/api/v2/rules", STOP)).json()
    protected = await seen(measured)
    await measured.rules.orphan(RuleId(rule["id"]))
    orphaned = await seen(measured)

    def more(shown: Samples, name: str, **extra: str) -> float:
        key = (name, labels(**PAPER, **extra))
        return shown.get(key, 0) - first.get(key, 0)

    unprotected, phase = "holdfast_positions_unprotected", rule["phase"]
    assert [more(s, "holdfast_positions_open") for s in (bare, protected, orphaned)] == [1, 1, 1]
    assert [more(s, unprotected) for s in (bare, protected, orphaned)] == [1, 0, 1]
    assert [more(s, "holdfast_rules", phase=phase) for s in (bare, protected, orphaned)] == [0, 1, 0]
    assert more(orphaned, "holdfast_rules", phase="orphaned") == 1


async def test_feeds_gaps_and_breakers_are_shown(measured: World) -> None:
    services = measured.services
    await services.feeds.put(
        FeedStatus(
            venue="polymarket",
            shard=77,
            websocket=True,
            tokens=1,
            rules=1,
            newest_quote_age_ms=5,
            polling=False,
            at=NOW - timedelta(seconds=7),
        )
    )
    for seconds in (2, 3):
        ended = NOW - timedelta(minutes=seconds)
        await Tape(measured.database).record_gap(
            FeedGap(
                venue="polymarket",
                shard=0,
                token_id=None,
                started_at=ended - timedelta(seconds=seconds),
                ended_at=ended,
                reason="of this test",
            )
        )

    shown = await seen(measured)

    assert shown["holdfast_database_up", frozenset()] == 1
    assert shown["holdfast_feed_report_age_seconds", labels(venue="polymarket", shard="77")] == 7
    gap = labels(venue="polymarket", reason="of this test")
    assert (shown["holdfast_feed_gaps_total", gap], shown["holdfast_feed_gap_seconds_total", gap]) == (2, 5)


async def test_nothing_names_an_account_a_rule_or_a_token(measured: World) -> None:
    owner = await measured.account(Scope.TRADE)
    rule = (await owner.post("/api/v2/rules", STOP)).json()
    await owner.get(f"/api/v2/rules/{rule['id']}")

    text = (await measured.http.get("/metrics")).text

    assert not any(value in text for value in (str(owner.account_id), rule["id"], YES, owner.key))


class TooSlow(Fleet):
    """Counting takes longer than a statement may."""

    async def counts(self) -> FleetCounts:
        raise StorageUnavailable("statement time-out")


class Away(Breakers):
    """Postgres is away."""

    async def states(self, account_id: AccountId | None = None) -> list[BreakerState]:
        raise StorageUnavailable("gone")


async def shown_with(world: World, fleet: Fleet, breakers: Breakers) -> Samples:
    exposition = ProcessTelemetry(TelemetrySettings(), role="api").exposition
    assert isinstance(exposition, Exposition)
    exposition.add(FleetGauges(fleet, breakers, world.services.feeds, SystemClock()))
    world.app.state.services = replace(world.services, metrics=exposition)
    return await seen(world)


async def test_without_postgres_the_rest_is_served_and_old_figures_are_not(measured: World) -> None:
    away = Away(measured.database, NotifyHints(measured.database))

    shown = await shown_with(measured, Fleet(measured.database), away)

    assert (shown["holdfast_database_up", frozenset()], shown["holdfast_counts_read", frozenset()]) == (0, 0)
    assert shown["holdfast_sdk_metrics_read", frozenset()] == 1
    assert not any(name == "holdfast_positions_open" for name, _ in shown)


async def test_slow_counting_is_no_outage_of_postgres(measured: World) -> None:
    shown = await shown_with(measured, TooSlow(measured.database), measured.services.breakers)

    assert (shown["holdfast_database_up", frozenset()], shown["holdfast_counts_read", frozenset()]) == (1, 0)


class Counting(Fleet):
    """Counts how often it is asked."""

    asked = 0

    async def counts(self) -> FleetCounts:
        self.asked += 1
        return await super().counts()


async def test_many_questions_at_once_ask_postgres_once(measured: World) -> None:
    services, fleet = measured.services, Counting(measured.database)
    gauges = FleetGauges(fleet, services.breakers, services.feeds, SystemClock())

    for _ in range(5):
        await gauges.refresh()

    assert fleet.asked == 1
