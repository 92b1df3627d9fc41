"""The commands that call the API, against the real API over a real socket."""

import asyncio
import json
import os
import socket
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from cli.app import main
from domain.ids import RuleId
from domain.messages import RuleStatus
from storage.database import Database
from tests.api.conftest import ADMIN_KEY, Caller, World, log, opened_world
from tests.api.fakes import SIGNER, YES
from tests.api.test_adoption import orphan


@dataclass
class Ran:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass
class Terminal:
    """Runs `holdfast` as a user would."""

    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]

    async def __call__(self, *arguments: str, key: str | None = None) -> Ran:
        self.monkeypatch.setattr("sys.argv", ["holdfast", *arguments])
        if key is not None:
            self.monkeypatch.setenv("HOLDFAST_API_KEY", key)
        code = await asyncio.to_thread(_exit_code)
        shown = self.capsys.readouterr()
        return Ran(code, shown.out, shown.err)


def _exit_code() -> int:
    try:
        main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    return 0


# The API runs in this process: its log must not mix with what commands print.
__all__ = ["log"]
pytestmark = pytest.mark.usefixtures("log")


@pytest.fixture
async def world(database_url: str) -> AsyncGenerator[World]:
    async with Database(database_url, pool_size=2) as database, opened_world(database) as world:
        yield world


@pytest.fixture
async def holdfast(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> AsyncGenerator[Terminal]:
    """The program, with the API's address in the environment."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    config = uvicorn.Config(world.app, lifespan="off", log_config=None, access_log=False)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    monkeypatch.setenv("HOLDFAST_API_URL", f"http://127.0.0.1:{listener.getsockname()[1]}")
    monkeypatch.setenv("COLUMNS", "300")
    yield Terminal(monkeypatch, capsys)
    server.should_exit = True
    await serving
    listener.close()


async def test_story_of_an_account_from_its_making_to_a_cancelled_rule(
    world: World, holdfast: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await holdfast("account", "create", "desk", "--json", key=ADMIN_KEY)
    account = made.json["id"]
    monkeypatch.setenv("HOLDFAST_ACCOUNT", account)
    key = (await holdfast("key", "create", "--scope", "trade", "--json")).json["key"]
    await world.bought(account, YES, "100", "0.50")
    rule = await holdfast(
        *("rule", "create", "--token", YES, "--stop", "10%", "--target", "0.75"),
        *("--trail", "5%", "--trail-from", "0.60", "--max-hold", "4h", "--json"),
        key=key,
    )
    listed = await holdfast("rule", "list", "--json")
    patched = await holdfast("rule", "patch", rule.json["id"], "--stop", "0.42", "--json")
    shown = await holdfast("rule", "show", rule.json["id"])
    cancelled = await holdfast("rule", "cancel", rule.json["id"], "--json")

    assert [condition["type"] for condition in rule.json["conditions"]] == [
        "stop_loss",
        "take_profit",
        "trailing_stop",
        "max_hold",
    ]
    assert [line["level"] for line in rule.json["levels"]] == ["0.45", "0.75", None, None]
    assert [item["id"] for item in listed.json] == [rule.json["id"]]
    assert [c["type"] for c in patched.json["conditions"]].count("stop_loss") == 1
    assert patched.json["levels"][0]["level"] == "0.42"
    assert "falls to 0.42 or below" in shown.out
    assert cancelled.json["status"] == "CANCELED"
    assert {made.code, rule.code, listed.code, patched.code, shown.code, cancelled.code} == {0}


async def test_account_is_switched_by_its_mode_alone_and_stopped_at_once(
    world: World, holdfast: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await holdfast("account", "create", "desk", "--json", key=ADMIN_KEY)
    account = made.json["id"]

    live = await holdfast("account", "mode", "live", "--acknowledge-live", "--account", account, "--json")
    monkeypatch.setenv("HOLDFAST_ACCOUNT", account)
    paper = await holdfast("account", "mode", "paper", "--json")
    stopped = await holdfast("account", "kill", "--json")
    going = await holdfast("account", "kill", "off", "--json")

    assert (live.json["mode"], live.json["live_acknowledged"], paper.json["mode"]) == ("live", True, "paper")
    assert (stopped.json["kill_switch"], going.json["kill_switch"]) == ("all", "off")


async def test_rule_of_a_file_takes_options_over_its_members(
    world: World, holdfast: Terminal, tmp_path: Path
) -> None:
    caller = await world.account()
    file = tmp_path / "rule.json"
    file.write_text(json.dumps({"token_id": YES, "conditions": [{"type": "stop_loss", "price": "0.4"}]}))

    ran = await holdfast("rule", "create", "--file", str(file), "--amount", "7", "--json", key=caller.key)

    assert ran.json["action"] == {"type": "SELL_PARTIAL", "amount": "7"}


@pytest.mark.parametrize("content", [None, "no json", "[1]"])
async def test_unusable_rule_file_names_the_file(
    world: World, holdfast: Terminal, tmp_path: Path, content: str | None
) -> None:
    caller = await world.account()
    file = tmp_path / "rule.json"
    if content is not None:
        file.write_text(content)

    ran = await holdfast("rule", "create", "--file", str(file), key=caller.key)

    assert ran.code == 1
    assert "rule.json" in ran.err
    assert "next:" in ran.err


async def test_refusal_shows_field_reason_and_next_step(world: World, holdfast: Terminal) -> None:
    caller = await world.account()

    people = await holdfast("rule", "create", "--token", YES, "--stop", "0.60", key=caller.key)
    programs = await holdfast("rule", "create", "--token", YES, "--stop", "0.60", "--json")

    assert (people.code, programs.code) == (1, 1)
    assert "conditions.0" in people.err
    assert "--allow-immediate" in people.err
    assert json.loads(programs.err)["errors"][0]["code"] == "would_fire_at_once"
    assert programs.out == ""


async def test_crossing_that_won_is_a_failure_with_the_rule_to_look_at(
    world: World, holdfast: Terminal
) -> None:
    caller = await world.account()
    body = {"token_id": YES, "conditions": [{"type": "stop_loss", "price": "0.4"}]}
    rule = (await caller.post("/api/v2/rules", body)).json()
    await world.rules.end(RuleId(rule["id"]), RuleStatus.TRIGGERED)

    ran = await holdfast("rule", "cancel", rule["id"], key=caller.key)

    assert ran.code == 1
    assert f"holdfast rule show {rule['id']}" in ran.err


async def test_orphaned_rule_is_adopted_and_shown_as_armed_again(world: World, holdfast: Terminal) -> None:
    caller = await world.account()
    rule_id = await orphan(world, caller)

    adopted = await holdfast("rule", "adopt", rule_id, key=caller.key)
    shown = await holdfast("rule", "show", rule_id, "--json")

    assert (adopted.code, shown.json["phase"]) == (0, "armed")
    assert rule_id in adopted.out
    assert "armed" in adopted.out


async def test_rule_that_lives_is_not_adopted_and_the_refusal_says_why(
    world: World, holdfast: Terminal
) -> None:
    caller = await world.account()
    body = {"token_id": YES, "conditions": [{"type": "stop_loss", "price": "0.4"}]}
    rule_id = (await caller.post("/api/v2/rules", body)).json()["id"]

    people = await holdfast("rule", "adopt", rule_id, key=caller.key)
    programs = await holdfast("rule", "adopt", rule_id, "--json")

    assert (people.code, programs.code) == (1, 1)
    assert "next:" in people.err
    assert json.loads(programs.err)["code"] == "not_orphaned"


async def test_orders_are_placed_listed_and_cancelled(world: World, holdfast: Terminal) -> None:
    caller = await world.account()
    arguments = ("--token", YES, "--side", "sell", "--price", "0.80", "--shares", "10", "--tif", "gtc")

    made = await holdfast("order", "create", *arguments, "--post-only", "--json", key=caller.key)
    listed = await holdfast("orders")
    cancelled = await holdfast("order", "cancel", made.json["id"], "--json")

    assert (made.json["side"], made.json["time_in_force"], made.json["state"]) == ("SELL", "GTC", "resting")
    assert "0.8" in listed.out
    assert cancelled.json["state"] == "canceled"


async def test_positions_events_and_status_are_shown(world: World, holdfast: Terminal) -> None:
    caller = await world.account(holds="40", paid="0.45")
    body = {"token_id": YES, "conditions": [{"type": "stop_loss", "price": "0.4"}]}
    await caller.post("/api/v2/rules", body)

    positions = await holdfast("positions", key=caller.key)
    events = await holdfast("events")
    status = await holdfast("status", "--json")
    people = await holdfast("status")

    assert "0.45" in positions.out
    assert "rule.armed: Sells all shares when the display price falls to 0.40 or below." in events.out
    assert status.json["active_rules"] == 1
    assert "orphaned rules" in people.out
    assert "gaps, last day" in people.out


async def test_credentials_come_from_a_descriptor_and_are_not_shown(
    world: World, holdfast: Terminal, tmp_path: Path
) -> None:
    caller = await world.account()
    secret = tmp_path / "key"
    secret.write_text("0x" + "d4" * 32 + "\n")
    fd = os.open(secret, os.O_RDONLY)
    try:
        ran = await holdfast(
            "credentials", "set", "--fd", str(fd), "--account", str(caller.account_id), key=ADMIN_KEY
        )
    finally:
        os.close(fd)

    assert ran.code == 0
    assert SIGNER in ran.out
    assert "d4d4" not in ran.out + ran.err


async def test_credentials_without_terminal_or_descriptor_say_how(world: World, holdfast: Terminal) -> None:
    caller = await world.account()

    ran = await holdfast("credentials", "set", "--account", str(caller.account_id), key=ADMIN_KEY)

    assert ran.code == 1
    assert "--fd" in ran.err


async def test_key_is_revoked_and_stops_working(world: World, holdfast: Terminal) -> None:
    caller = await world.account()
    account = ("--account", str(caller.account_id))
    made = (await holdfast("key", "create", *account, "--json", key=ADMIN_KEY)).json

    revoked = await holdfast("key", "revoke", made["id"], *account)
    refused = await holdfast("rule", "list", key=made["key"])

    assert revoked.code == 0
    assert refused.code == 1
    assert "HOLDFAST_API_KEY" in refused.err


async def test_operator_without_an_account_is_asked_for_one(world: World, holdfast: Terminal) -> None:
    ran = await holdfast("rule", "list", key=ADMIN_KEY)

    assert ran.code == 1
    assert "HOLDFAST_ACCOUNT" in ran.err


async def test_without_an_api_the_next_step_is_to_start_it(
    holdfast: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        monkeypatch.setenv("HOLDFAST_API_URL", f"http://127.0.0.1:{nobody.getsockname()[1]}")
        ran = await holdfast("status", key="any")

    assert ran.code == 1
    assert "holdfast up" in ran.err


async def test_without_a_key_the_variable_is_named(
    holdfast: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HOLDFAST_API_KEY", raising=False)

    ran = await holdfast("status")

    assert ran.code == 1
    assert "HOLDFAST_API_KEY" in ran.err


async def test_list_reads_every_page(
    world: World, holdfast: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    caller: Caller = await world.account()
    monkeypatch.setattr("cli.client.PAGE", 2)
    body = {"token_id": YES, "conditions": [{"type": "stop_loss", "price": "0.4"}]}
    ids = {(await caller.post("/api/v2/rules", body)).json()["id"] for _ in range(5)}

    everything = await holdfast("rule", "list", "--json", key=caller.key)
    three = await holdfast("rule", "list", "--limit", "3", "--json")

    assert {rule["id"] for rule in everything.json} == ids
    assert len(three.json) == 3
