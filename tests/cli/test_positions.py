"""`holdfast positions`, its adjustments and its import, against the real API over a real socket."""

import pytest

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
