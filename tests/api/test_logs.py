"""What the API's log lines say of a request: who, in which trace, never a body or a key."""

import io
import json

from storage.repositories.api_keys import Scope
from tests.api.conftest import World

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def request_lines(log: io.StringIO) -> list[dict[str, object]]:
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    return [line for line in lines if line["event"] == "api.request"]


async def test_line_names_key_account_and_the_callers_trace(world: World, log: io.StringIO) -> None:
    owner = await world.account(Scope.TRADE)
    headers = {"Authorization": f"Bearer {owner.key}", "traceparent": PARENT}

    await world.http.get("/api/v2/positions", headers=headers)

    (line,) = request_lines(log)
    assert line["trace_id"] == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert line["account_id"] == owner.account_id
    assert str(line["key_id"]).startswith("key_")
    assert owner.key not in log.getvalue()


async def test_each_request_without_a_trace_gets_its_own(world: World, log: io.StringIO) -> None:
    for parent in ("", "00-nonsense", PARENT.upper()):
        await world.http.get("/api/health", headers={"traceparent": parent})

    lines = request_lines(log)
    assert len({line["trace_id"] for line in lines}) == 3
    assert not any("account_id" in line or "key_id" in line for line in lines)


async def test_ids_of_a_request_end_with_it(world: World, log: io.StringIO) -> None:
    owner = await world.account(Scope.TRADE)
    await owner.get("/api/v2/positions")
    await world.http.get("/api/health")

    assert ["account_id" in line for line in request_lines(log)] == [True, False]
