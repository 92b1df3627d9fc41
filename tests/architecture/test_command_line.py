"""The command line imports only what a command needs."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from cli.app import COMMANDS, GROUPS, Entry

REPOSITORY = Path(__file__).resolve().parents[2]
HEAVY = ("temporalio", "sqlalchemy", "py_clob_client_v2", "asyncpg", "fastapi")


def imported_by(*arguments: str) -> set[str]:
    """Returns the heavy packages that a run of the program had imported at its end."""
    code = (
        "import atexit, json, sys\n"
        f"atexit.register(lambda: print(json.dumps([m for m in {HEAVY!r} if m in sys.modules])))\n"
        "from cli.app import main\n"
        "main()\n"
    )
    outcome = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    return set(json.loads(outcome.stdout.splitlines()[-1]))


def test_overview_imports_no_command() -> None:
    assert imported_by("--help") == set()


def test_replay_imports_neither_temporal_nor_sqlalchemy_nor_the_venue_client(tmp_path: Path) -> None:
    (tmp_path / "rule.json").write_text('{"conditions": [{"type": "stop_loss", "price": "0.40"}]}')
    (tmp_path / "tape.jsonl").write_text(
        '{"ts": "2026-01-01T00:00:00Z", "bid": "0.50", "ask": "0.52", "last": null, "size": "1"}\n'
    )
    arguments = ("--rule", str(tmp_path / "rule.json"), "--tape", str(tmp_path / "tape.jsonl"))
    assert imported_by("replay", *arguments) == set()


@pytest.mark.parametrize("name", [*COMMANDS, *GROUPS])
def test_entry_names_a_command(name: str) -> None:
    entry: Entry = {**COMMANDS, **GROUPS}[name]
    module, _, attribute = entry.target.partition(":")
    target = getattr(importlib.import_module(module), attribute)
    assert isinstance(target, typer.Typer) if name in GROUPS else callable(target)
    assert entry.help.endswith(".")
