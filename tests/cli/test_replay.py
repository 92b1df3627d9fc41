import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cli.replay import replay_command

REPOSITORY = Path(__file__).resolve().parents[2]
RULE = {
    "entry_price": 0.5,
    "conditions": [{"type": "stop_loss", "percent": 10}, {"type": "trailing_stop", "percent": "10"}],
}
PRICES = ["0.5", "0.60", "0.58", "0.54", "0.3"]


def tape_text(prices=PRICES):
    rows = [
        {
            "ts": f"2026-01-01T00:{n // 60 % 60:02}:{n % 60:02}.000Z",
            "bid": p,
            "ask": p,
            "last": None,
            "size": None,
        }
        for n, p in enumerate(prices)
    ]
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.fixture
def rule(tmp_path):
    path = tmp_path / "rule.json"
    path.write_text(json.dumps(RULE))
    return path


@pytest.fixture
def tape(tmp_path):
    path = tmp_path / "tape.jsonl"
    path.write_text(tape_text())
    return path


def test_json_answer_is_the_last_line(rule, tape, capsys):
    assert replay_command(rule, tape, json_output=True) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == {
        "fired": True,
        "index": 3,
        "ts": "2026-01-01T00:00:03.000Z",
        "condition": "trailing_stop",
        "level": "0.54",
        "quote": {"bid": "0.54", "ask": "0.54", "last": None},
        "high_water": "0.6",
    }


def test_gzipped_tape_is_told_by_its_content(rule, tape, capsys):
    tape.write_bytes(gzip.compress(tape_text().encode()))
    assert replay_command(rule, tape, json_output=True) == 0
    assert json.loads(capsys.readouterr().out)["index"] == 3


def test_human_answer_shows_what_fired_and_the_running_level(rule, tape, capsys):
    assert replay_command(rule, tape, json_output=False) == 0
    out = capsys.readouterr().out
    assert "falls to 0.45 or below" in out
    assert "trailing_stop" in out
    for price in ("0.45", "0.54", "0.6"):
        assert price in out


def test_human_answer_shortens_a_long_list_of_levels(rule, tape, capsys):
    tape.write_text(tape_text([f"0.5{n:03}" for n in range(100)]))
    assert replay_command(rule, tape, json_output=False) == 0
    out = capsys.readouterr().out
    assert "80 more" in out
    assert "did not fire on 100 rows" in out
    assert len(out.splitlines()) < 40


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (
            {"conditions": [{"type": "stop_loss", "percent": 10}]},
            "conditions.0.percent: needs the entry price",
        ),
        (
            {"conditions": [{"type": "stop_loss", "price": "1.2"}]},
            "conditions.0.price: the level 1.2 lies above 1",
        ),
        (
            {"conditions": [{"type": "before_market_end", "seconds": 9}]},
            "conditions.0.seconds: needs the market's end",
        ),
        ({"conditions": []}, "conditions: give at least one condition"),
        (
            {"conditions": [{"type": "stop_loss", "percent": "0.1"}]},
            "conditions.0.percent: percent means percent",
        ),
        (
            {"conditions": [{"type": "at", "time": "2026-01-01T00:00:00"}]},
            "conditions.0.time: Input should have timezone",
        ),
        ([], "rule: Input should be"),
    ],
)
def test_rule_that_cannot_be_evaluated_exits_2_with_the_reason(rule, tape, capsys, body, reason):
    rule.write_text(json.dumps(body))
    assert replay_command(rule, tape, json_output=True) == 2
    printed = capsys.readouterr()
    assert reason in printed.err
    assert printed.out == ""


def test_rule_that_is_not_json_exits_2(rule, tape, capsys):
    rule.write_text("{")
    assert replay_command(rule, tape, json_output=True) == 2
    assert "Invalid JSON" in capsys.readouterr().err


def test_malformed_row_exits_2_with_its_line(rule, tape, capsys):
    tape.write_text(tape_text(["0.5"]) + "{}\n")
    assert replay_command(rule, tape, json_output=True) == 2
    assert f"{tape}: line 2: ts: missing" in capsys.readouterr().err


@pytest.mark.parametrize(
    "content", [b"\xff\xfe\n", b"\x1f\x8b\x08", gzip.compress(tape_text().encode())[:-20]]
)
def test_tape_that_is_not_text_exits_2(rule, tape, capsys, content):
    tape.write_bytes(content)
    assert replay_command(rule, tape, json_output=True) == 2
    assert str(tape) in capsys.readouterr().err


def test_missing_file_exits_2(rule, tmp_path, capsys):
    missing = tmp_path / "missing.jsonl"
    assert replay_command(rule, missing, json_output=True) == 2
    assert f"{missing}: No such file" in capsys.readouterr().err


def test_replay_imports_no_server_part_and_draws_only_when_asked(rule, tape):
    program = (
        "import sys, typer\n"
        "from cli.replay import replay\n"
        "try:\n    typer.run(replay)\n"
        "finally:\n    sys.stderr.write(' '.join(sorted({name.split('.')[0] for name in sys.modules})))\n"
    )
    arguments = [sys.executable, "-c", program, "--rule", str(rule), "--tape", str(tape), "--json"]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    run = subprocess.run(
        arguments, capture_output=True, text=True, env=environment, check=True, cwd=REPOSITORY
    )
    assert json.loads(run.stdout.splitlines()[-1])["index"] == 3
    imported = set(run.stderr.split())
    assert "pydantic" in imported
    assert not imported & {
        "temporalio",
        "sqlalchemy",
        "asyncpg",
        "py_clob_client_v2",
        "fastapi",
        "eth_account",
    }
