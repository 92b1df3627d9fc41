"""Explaining, previewing, replaying and watching rules from the terminal, against the real API."""

import json
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from domain.quotes import Quote
from storage.repositories.tape import Tape, TapeEntry
from tests.api.conftest import World
from tests.api.fakes import NOW, YES
from tests.cli.test_commands import Terminal, holdfast, log, world

__all__ = ["holdfast", "log", "world"]
pytestmark = pytest.mark.usefixtures("log")


async def record(world: World, *prices: str) -> None:
    """Write a tape of one price a second that ends before the present moment."""
    async with world.database.hot.connection() as connection:
        await connection.execute("DELETE FROM tape WHERE token_id = $1", YES)
    await Tape(world.database).append(
        [
            TapeEntry(
                venue="polymarket",
                token_id=YES,
                ts=NOW + timedelta(seconds=second),
                quote=Quote(Decimal(price), Decimal(price), None),
            )
            for second, price in enumerate(prices)
        ]
    )
    world.clock.time = NOW + timedelta(seconds=len(prices))


async def armed(world: World, holdfast: Terminal) -> str:
    caller = await world.account()
    made = await holdfast("rule", "create", "--token", YES, "--stop", "0.40", "--json", key=caller.key)
    return str(made.json["id"])


async def test_explanation_reads_as_sentences_and_as_json(world: World, holdfast: Terminal) -> None:
    rule_id = await armed(world, holdfast)
    await record(world, "0.50", "0.41", "0.50")

    people = await holdfast("rule", "explain", rule_id)
    programs = await holdfast("rule", "explain", rule_id, "--json")

    assert "stop_loss at 0.40: 0.11 down from here" in people.out
    assert "Would sell 100 shares at 0.45 or better" in people.out
    assert "was missed by 0.01" in people.out
    assert programs.json["history"]["lowest"]["price"] == "0.41"


async def test_preview_takes_the_options_of_create_and_warns(world: World, holdfast: Terminal) -> None:
    caller = await world.account()
    options = ("--token", YES, "--stop", "0.60", "--target", "0.505", "--confirm-updates", "2")

    people = await holdfast("rule", "preview", *options, key=caller.key)
    programs = await holdfast("rule", "preview", *options, "--json")
    rules = await holdfast("rule", "list", "--json")

    assert "nothing was changed" in people.out
    assert "would be refused: conditions.0" in people.out
    assert programs.json["warnings"][0]["code"] == "held_back_now"
    assert rules.json == []


async def test_replay_of_a_rule_over_its_recorded_tape_names_the_moment(
    world: World, holdfast: Terminal
) -> None:
    rule_id = await armed(world, holdfast)
    await record(world, "0.50", "0.40", "0.50")

    people = await holdfast("rule", "replay", rule_id)
    programs = await holdfast("rule", "replay", rule_id, "--json")

    assert "stop_loss at 0.4" in people.out
    assert programs.json["fired"]["row"] == 1


async def test_watch_writes_one_line_for_each_condition_and_look(world: World, holdfast: Terminal) -> None:
    rule_id = await armed(world, holdfast)

    lines = await holdfast("rule", "watch", "--json", "--times", "2", "--every", "0.2")
    table = await holdfast("rule", "watch", rule_id, "--times", "1")

    rows = [json.loads(line) for line in lines.out.splitlines()]
    assert [(row["rule_id"], row["price"], row["level"], row["ticks"]) for row in rows] == [
        (rule_id, "0.51", "0.4", "11")
    ] * 2
    assert rule_id in table.out
    assert (lines.code, table.code) == (0, 0)


async def test_watch_without_rules_says_so(world: World, holdfast: Terminal) -> None:
    caller = await world.account()

    assert "No active rules." in (await holdfast("rule", "watch", "--times", "1", key=caller.key)).out


async def test_watch_says_how_many_rules_it_leaves_out(world: World, holdfast: Terminal) -> None:
    first = await armed(world, holdfast)
    second = await holdfast("rule", "create", "--token", YES, "--stop", "0.30", "--json")

    table = await holdfast("rule", "watch", "--times", "1", "--limit", "1")
    lines = await holdfast("rule", "watch", "--times", "2", "--every", "0.2", "--limit", "1", "--json")
    whole = await holdfast("rule", "watch", "--times", "1", "--json")

    assert "1 more active rules are not looked at" in table.out
    looked_at = [json.loads(line)["rule_id"] for line in lines.out.splitlines()]
    assert looked_at in ([first] * 2, [second.json["id"]] * 2)
    assert lines.err.count("1 more active rules are not looked at") == 1
    assert (len(whole.out.splitlines()), whole.err) == (2, "")


async def test_floor_of_a_trail_without_a_trail_is_refused(world: World, holdfast: Terminal) -> None:
    rule_id = await armed(world, holdfast)
    options = ("--token", YES, "--stop", "0.40", "--trail-floor", "0.35")

    refused = [
        await holdfast("rule", "create", *options),
        await holdfast("rule", "preview", *options),
        await holdfast("rule", "patch", rule_id, "--trail-floor", "0.35"),
    ]

    assert [each.code for each in refused] == [2, 2, 1]
    assert all("--trail" in each.err for each in refused)
    assert "--trail-floor belongs to --trail" in refused[0].err


async def test_rule_file_runs_over_the_tape_that_the_stack_recorded(
    world: World, holdfast: Terminal, tmp_path: Path
) -> None:
    caller = await world.account()
    await record(world, "0.50", "0.40", "0.50")
    file = tmp_path / "rule.json"
    file.write_text(json.dumps({"conditions": [{"type": "stop_loss", "price": "0.40"}]}))
    arguments = ("replay", "--rule", str(file), "--recorded", YES, "--since", NOW.isoformat(), "--json")

    ran = await holdfast(*arguments, key=caller.key)
    neither = await holdfast("replay", "--rule", str(file))

    assert (ran.json["fired"], ran.json["index"], ran.json["level"]) == (True, 1, "0.4")
    assert neither.code == 2
    assert "--recorded" in neither.err
