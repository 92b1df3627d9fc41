"""`holdfast positions`, its adjustments and its import, against the real API over a real socket."""

import json

import httpx2
import pytest
from pydantic import SecretStr

from cli.client import ApiClient
from cli.positions_import import arm
from tests.api.conftest import World
from tests.api.fakes import NO, YES
from tests.api.test_holdings import adjusted
from tests.cli.test_commands import Terminal, holdfast, log, world

__all__ = ["holdfast", "log", "world"]
pytestmark = pytest.mark.usefixtures("log")


async def test_positions_show_their_origin_and_what_was_adjusted(world: World, holdfast: Terminal) -> None:
    caller = await world.account(holds=None)
    await adjusted(world, caller, "0", "7")

    positions = await holdfast("positions", key=caller.key)
    as_json = await holdfast("positions", "--json")
    adjustments = await holdfast("positions", "adjustments", "--json")
    table = await holdfast("positions", "adjustments")

    assert "found" in positions.out
    assert [position["shares"] for position in as_json.json] == ["7"]
    assert [(line["ledger_shares"], line["venue_shares"]) for line in adjustments.json] == [("0", "7")]
    assert "Adjustments" in table.out


async def test_import_arms_every_bare_position_once(world: World, holdfast: Terminal) -> None:
    caller = await world.account()
    await world.bought(caller.account_id, NO, "0.001", "0.5")

    looked = await holdfast("positions", "import", "--json", key=caller.key)
    armed = await holdfast("positions", "import", "--yes", "--json")
    again = await holdfast("positions", "import", "--yes", "--json")

    assert (looked.json["armed"], len(looked.json["proposals"])) == ([], 1)
    assert [rule["token_id"] for rule in armed.json["armed"]] == [YES]
    assert [left["skipped"] for left in armed.json["skipped"]] == ["dust"]
    assert (again.json["proposals"], again.json["armed"], again.code) == ([], [], 0)
    assert (armed.json["failed"], armed.json["unsure"], armed.json["untried"]) == ([], [], [])
    assert armed.json["next_step"] is None


async def test_import_shows_table_and_armed_rules_to_people(world: World, holdfast: Terminal) -> None:
    caller = await world.account(paid="0.50")

    ran = await holdfast("positions", "import", "--yes", "--stop-percent", "10", key=caller.key)

    assert ran.code == 0
    assert "falls to 0.45 or below" in ran.out
    assert "Armed" in ran.out


async def test_import_of_one_token_leaves_the_others(world: World, holdfast: Terminal) -> None:
    caller = await world.account()
    await world.bought(caller.account_id, NO, "20", "0.5")

    ran = await holdfast("positions", "import", "--only", NO, "--yes", "--json", key=caller.key)
    unknown = await holdfast("positions", "import", "--only", "999", "--yes")

    assert [rule["token_id"] for rule in ran.json["armed"]] == [NO]
    assert unknown.code == 1
    assert "999" in unknown.err


def proposal(token: str) -> dict[str, object]:
    return {"token_id": token, "idempotency_key": f"imp_{token}", "rule": {"token_id": token}}


def test_import_that_loses_its_connection_tells_what_is_armed_what_may_be_and_what_was_not_tried() -> None:
    asked: list[str] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        token = json.loads(request.content)["token_id"]
        asked.append(token)
        if token == "2":
            return httpx2.Response(422, json={"title": "refused", "code": "invalid_request"})
        if token == "3":
            raise httpx2.ReadTimeout("no answer")
        return httpx2.Response(201, json={"id": f"rul_{token}", "token_id": token})

    with ApiClient("http://api.test", SecretStr("key"), transport=httpx2.MockTransport(answer)) as client:
        done = arm(client, [proposal(token) for token in "12345"])

    assert asked == ["1", "2", "3"]
    assert [line["token_id"] for line in done.armed] == ["1"]
    assert [(line["token_id"], line["code"]) for line in done.failed] == [("2", "invalid_request")]
    assert [line["token_id"] for line in done.unsure] == ["3"]
    assert [line["token_id"] for line in done.untried] == ["4", "5"]
    assert done.next_step is not None
    assert "import again" in done.next_step
