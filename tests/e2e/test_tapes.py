"""Recorded tapes played live: what fires, and where, is what a replay of the same tape says."""

from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
from pydantic import SecretStr

from cli.client import ApiClient
from cli.demo_run import Demo
from cli.demo_scene import Scene, scene_of
from domain.money import plain
from domain.rules.definition import RuleDefinition
from domain.rules.replay import replay
from tests.e2e.scene import IN_THE_STACKS_LOOP, Holdfast

pytestmark = IN_THE_STACKS_LOOP

TAPES = (
    "kalshi-kxaleaguegame-25nov08wphauc-auc.jsonl",
    "kalshi-kxatpmatch-25nov08djomus-djo.jsonl.gz",
    "kalshi-kxbtcd-25nov0911-t103749.99.jsonl",
    "kalshi-kxhighny-25dec08-b39.5.jsonl.gz",
    "kalshi-kxhighny-25dec12-b34.5.jsonl.gz",
    "kalshi-kxhighny-26jan01-b34.5.jsonl.gz",
    "polymarket-511753-daily.jsonl",
    "polymarket-519068-daily.jsonl",
    "polymarket-nhl-2026-06-07-token92414594.jsonl",
    "polymarket-nhl-2026-06-07-token94018512.jsonl",
)
ROWS_AFTER = 20  # played on after the row at which a replay fires


@pytest_asyncio.fixture(loop_scope="session")
async def operator(holdfast: Holdfast) -> AsyncGenerator[ApiClient]:
    """The CLI's own client with the operator's key."""
    with ApiClient(holdfast.stack.api_url, holdfast.stack.admin_key) as client:
        yield client


@pytest.mark.parametrize("name", TAPES)
async def test_tape_fires_live_where_its_replay_does_and_the_books_agree(
    holdfast: Holdfast, operator: ApiClient, fixtures_dir: Path, name: str
) -> None:
    scene = _until_it_fires(scene_of(fixtures_dir / "tapes" / name))

    def trader(key: str, account: str) -> ApiClient:
        return ApiClient(holdfast.stack.api_url, SecretStr(key), account)

    temporal = holdfast.stack.settings().temporal
    demo = Demo(scene, "max", operator, holdfast.admin, temporal, lambda _actor, _text: None)
    result = await demo.run(trader)
    expected = result.replay
    assert (result.condition, result.index) == (expected["condition"], expected["index"])
    assert (result.rule_status, result.rule_phase) == ("TRIGGERED", "done")
    assert (result.bought_shares, result.sold_shares) == (plain(scene.shares), plain(scene.shares))
    assert (result.position_quantity, result.differences) == ("0", [])
    assert result.orders_at_venue == 1


async def test_every_tape_of_a_prediction_market_is_played(fixtures_dir: Path) -> None:
    folder = fixtures_dir / "tapes"
    recorded = {path.name for path in folder.glob("*.jsonl*") if not path.name.startswith("solana-")}
    assert recorded == set(TAPES)


def _until_it_fires(scene: Scene) -> Scene:
    """Returns the scene with its tape cut after the row at which a replay fires.

    A target sells at its level or not at all, so its price has to stay: at full speed it would be gone.
    """
    body = scene.rule_body("token", "market", scene.entry_price)
    answer = replay(RuleDefinition.model_validate(body), scene.rows).answer()
    assert answer["index"] is not None, f"nothing fires on {scene.name}"
    after = 0 if answer["condition"] == "take_profit" else ROWS_AFTER
    return replace(scene, rows=scene.rows[: answer["index"] + 1 + after])
