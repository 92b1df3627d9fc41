"""Liveness, the state of the parts, and the Trade Manager's status."""

from datetime import timedelta

from domain.errors import StorageUnavailable
from domain.ids import RuleId
from storage.database import Database
from storage.repositories.feed_status import FeedStatus
from tests.api.conftest import World, opened_world
from tests.api.fakes import NOW, YES


async def report(
    world: World,
    seconds_ago: int,
    *,
    polling: bool = False,
    shard: int = 0,
    shards: int = 1,
    replica: int = 0,
) -> None:
    await world.services.feeds.put(
        FeedStatus(
            venue="polymarket",
            shard=shard,
            shards=shards,
            replica=replica,
            writes_tape=not replica,
            websocket=not polling,
            tokens=3,
            rules=5,
            newest_quote_age_ms=200,
            polling=polling,
            at=NOW - timedelta(seconds=seconds_ago),
        )
    )


async def test_liveness_needs_no_key(world: World) -> None:
    answer = await world.http.get("/api/health")

    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


async def test_health_names_what_is_away(world: World) -> None:
    world.temporal.well = False

    health = (await world.admin.get("/api/v2/health")).json()

    assert (health["status"], health["database"]["ok"], health["temporal"]["ok"]) == ("degraded", True, False)


async def test_status_sums_the_shards_and_tells_each_feed(fresh_database_url: str) -> None:
    async with Database(fresh_database_url, pool_size=2) as empty, opened_world(empty) as world:
        caller = await world.account()
        await report(world, 2, shards=2)
        await report(world, 1, shards=2, replica=1)
        await report(world, 1, polling=True, shard=1, shards=2)
        await report(world, 5, shard=0, shards=1, replica=3)  # of the layout before

        status = (await caller.get("/api/v2/rules/status")).json()
        health = (await caller.get("/api/v2/health")).json()

    assert (status["running"], status["websocket"], status["tokens_watched"], status["tokens_polled"]) == (
        True,
        True,
        6,
        3,
    )
    assert status["newest_quote_age_ms"] == 1200
    told = [
        (feed["shard"], feed["standby"], feed["writes_tape"], feed["polling"]) for feed in status["feeds"]
    ]
    assert told[:2] == [(0, False, True, False), (0, True, False, False)]
    assert told[3] == (1, False, True, True)
    assert health["feed"] == {"ok": True, "detail": "6 tokens watched, 1 of 2 shards by polling, 2 standbys"}


async def test_shard_that_nobody_watches_is_no_running_trade_manager(fresh_database_url: str) -> None:
    async with Database(fresh_database_url, pool_size=2) as empty, opened_world(empty) as world:
        caller = await world.account()
        await report(world, 2, shards=2)
        await report(world, 3600, shard=1, shards=2)

        status = (await caller.get("/api/v2/rules/status")).json()
        health = (await caller.get("/api/v2/health")).json()

    assert (status["running"], status["tokens_watched"]) == (False, 3)
    assert (health["status"], health["feed"]["ok"]) == ("degraded", False)
    assert "nobody watches shard 1 of polymarket" in health["feed"]["detail"]


async def test_status_counts_what_needs_its_owner_and_tells_gaps_and_breakers(
    fresh_database_url: str,
) -> None:
    async with Database(fresh_database_url, pool_size=2) as empty, opened_world(empty) as world:
        caller = await world.account()
        await report(world, 2)
        body = {"token_id": YES, "conditions": [{"type": "stop_loss", "price": "0.4"}]}
        rule_id = (await caller.post("/api/v2/rules", body)).json()["id"]
        await world.rules.orphan(RuleId(rule_id))
        async with empty.hot.connection() as connection:
            await connection.executemany(
                "INSERT INTO feed_gaps (venue, shard, token_id, started_at, ended_at, reason)"
                " VALUES ('polymarket', 0, NULL, $1, $2, $3)",
                [
                    (NOW - timedelta(hours=hours), NOW - timedelta(hours=hours) + timedelta(seconds=2.5), why)
                    for hours, why in ((30, "pause"), (5, "socket"), (1, "restart"))
                ],
            )
            await connection.execute(
                "INSERT INTO breakers (venue, mode, account_id, failures, opened_at)"
                " VALUES ('polymarket', 'live', '', 5, $1), ('polymarket', 'live', 'stranger', 3, $1)",
                NOW,
            )

        status = (await caller.get("/api/v2/rules/status")).json()

    assert (status["active_rules"], status["orphaned_rules"], status["blocked_rules"]) == (1, 1, 0)
    gaps = status["gaps"]
    assert (gaps["count"], gaps["seconds"], gaps["latest"]["reason"]) == (2, "5", "restart")
    assert [(each["of"], each["open"], each["failures"]) for each in status["breaker_states"]] == [
        ("venue", True, 5)
    ]
    assert status["breakers"] == ["polymarket live"]


async def test_database_away_is_503_with_retry_after(world: World, database: Database) -> None:
    caller = await world.account()

    class Away:
        async def authenticate(self, presented: object) -> None:
            raise StorageUnavailable("away")

    object.__setattr__(world.services, "api_keys", Away())

    answer = await caller.get("/api/v2/rules")

    assert (answer.status_code, answer.json()["code"]) == (503, "storage_unavailable")
    assert answer.headers["Retry-After"] == "1"


async def test_unforeseen_error_is_a_500_without_its_message(world: World) -> None:
    caller = await world.account()
    world.venues.market.failure = RuntimeError("the secret value")

    answer = await caller.post(
        "/api/v2/rules", {"token_id": "1001", "conditions": [{"type": "stop_loss", "price": "0.4"}]}
    )

    assert (answer.status_code, answer.json()["code"]) == (500, "unexpected")
    assert "secret" not in answer.text


async def test_unknown_path_and_method_are_problem_documents(world: World) -> None:
    nowhere = await world.admin.get("/api/v2/nowhere")
    wrong = await world.admin.put("/api/v2/rules", {})

    assert [(a.status_code, a.headers["content-type"]) for a in (nowhere, wrong)] == [
        (404, "application/problem+json"),
        (405, "application/problem+json"),
    ]
