"""A planted private key, sent through every route in every field, turns up in no answer, log or table."""

import io
import uuid
from collections.abc import Iterator

import asyncpg
import pytest
import structlog

from domain.errors import CredentialsMissing, VenueBlocked, VenueProtocolError, VenueTransient
from storage.repositories.api_keys import Scope
from tests.api.conftest import World
from tests.api.test_isolation import BODIES, GUARDED, STOP, Route, belongings

CANARY = "c0ffee" + "5a" * 29  # 32 bytes in hex
FORMS = (CANARY, f"0x{CANARY}", CANARY.upper())


def planted(body: object) -> Iterator[object]:
    """Yield bodies with the canary in each field in turn, as an unknown field, and as the whole body."""
    yield f"0x{CANARY}"
    yield [f"0x{CANARY}"]
    if not isinstance(body, dict):
        return
    for name in body:
        for value in (f"0x{CANARY}", {"private_key": CANARY}):
            yield {**body, name: value}
    yield {**body, "private_key": f"0x{CANARY}"}
    yield {**body, f"0x{CANARY}": 1}


def leaks(text: str) -> bool:
    return any(form.lower() in text.lower() for form in FORMS)


async def tables_with(word: str, url: str) -> list[str]:
    """Return the tables in which a word stands as text, or as bytes, whatever the column."""
    connection = await asyncpg.connect(url, ssl=False)
    try:
        names = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        found: list[str] = []
        for (name,) in names:
            hit = await connection.fetchval(
                f'SELECT EXISTS (SELECT 1 FROM "{name}" AS t'
                " WHERE to_jsonb(t)::text ILIKE $1 OR to_jsonb(t)::text ILIKE $2)",
                f"%{word}%",
                f"%{word.encode().hex()}%",
            )
            if hit:
                found.append(name)
        return found
    finally:
        await connection.close()


async def test_search_finds_what_stands_in_a_table_or_a_log(
    world: World, log: io.StringIO, database_url: str
) -> None:
    word = uuid.uuid4().hex
    await world.admin.post("/api/v2/accounts", {"name": word})
    structlog.stdlib.get_logger("test").info("said", word=CANARY)

    assert {"accounts", "audit"} <= set(await tables_with(word, database_url))
    assert leaks(log.getvalue())


@pytest.mark.parametrize("route", GUARDED, ids=lambda route: f"{route.method} {route.path}")
async def test_canary_never_leaves_a_route(
    world: World, log: io.StringIO, database_url: str, route: Route
) -> None:
    owner = await world.account(Scope.ADMIN)
    ids = await belongings(world, owner)
    headers = {"Authorization": f"Bearer {owner.key}"}
    answers: list[str] = []
    for body in planted(BODIES.get(route)):
        answer = await world.http.request(route.method, route.of(ids), json=body, headers=headers)
        answers.append(answer.text + str(answer.headers))
    for query in ("limit", "status", "after", "token_id", "rule_id", "venue"):
        answer = await world.http.request(
            route.method, route.of(ids), params={query: CANARY}, json=BODIES.get(route), headers=headers
        )
        answers.append(answer.text)
    for name in ("Idempotency-Key", "X-Holdfast-Account", "Authorization", "X-API-Key"):
        sent = {**headers, name: f"x {CANARY}"}
        answer = await world.http.request(route.method, route.of(ids), json=BODIES.get(route), headers=sent)
        answers.append(answer.text)
    if route.names_a_resource:
        strange = dict.fromkeys(ids, CANARY)
        answer = await world.http.request(
            route.method, route.of(strange), json=BODIES.get(route), headers=headers
        )
        answers.append(answer.text)

    assert not [text for text in answers if leaks(text)]
    assert not leaks(log.getvalue())
    assert await tables_with(CANARY, database_url) == []


@pytest.mark.parametrize(
    "failure",
    [
        VenueTransient(CANARY),
        VenueBlocked(CANARY),
        VenueProtocolError(CANARY),
        CredentialsMissing(CANARY),
        RuntimeError(CANARY),
        ValueError(f"0x{CANARY}"),
    ],
    ids=lambda failure: type(failure).__name__,
)
async def test_canary_in_an_error_of_the_venue_stays_inside(
    world: World, log: io.StringIO, failure: Exception
) -> None:
    owner = await world.account(Scope.ADMIN)
    path = f"/api/v2/accounts/{owner.account_id}"
    world.opener.failure = failure
    world.venues.market.failure = failure

    answers = [
        await owner.put(f"{path}/credentials", {"private_key": CANARY}),
        await owner.get(f"{path}/checks"),
        await owner.post("/api/v2/rules", STOP),
        await owner.post("/api/v2/orders", BODIES["POST", "/api/v2/orders"]),
    ]

    assert not [answer.text for answer in answers if leaks(answer.text)]
    assert {answer.status_code for answer in answers} <= {200, 409, 500, 503}
    assert not leaks(log.getvalue())


async def test_stored_canary_is_sealed(world: World, log: io.StringIO, database_url: str) -> None:
    owner = await world.account(Scope.ADMIN)

    answer = await owner.put(
        f"/api/v2/accounts/{owner.account_id}/credentials", {"private_key": f"0x{CANARY}"}
    )

    assert answer.status_code == 200
    assert not leaks(answer.text + log.getvalue())
    assert await tables_with(CANARY, database_url) == []
