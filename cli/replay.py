"""`holdfast replay`: what would this rule have done on that tape?

Runs without a server. Nothing of Temporal, the database or a venue is imported, and Rich only to draw.
"""

import gzip
import json
import sys
import zlib
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import IO, Annotated

import typer
from pydantic import ValidationError

from domain.money import plain
from domain.rules.definition import RuleDefinition, field_path
from domain.rules.levels import UnresolvableRule, describe
from domain.rules.replay import ReplayOutcome
from domain.rules.replay import replay as run_over
from domain.rules.tape import MalformedRow, read_rows

EVALUATED = 0
NOT_EVALUATED = 2
_GZIP_MAGIC = b"\x1f\x8b"
_MAX_STEPS_SHOWN = 20
_MOST_RECORDED = 50_000


def replay(
    rule: Annotated[Path, typer.Option("--rule", help="the body of POST /api/v2/rules as a JSON file")],
    tape: Annotated[
        Path | None, typer.Option("--tape", help="one quote a line as JSON, plain or gzip")
    ] = None,
    recorded: Annotated[
        str | None, typer.Option("--recorded", help="token whose tape the running stack recorded")
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", help="with --recorded: 2026-12-31T23:00:00Z; else a day ago")
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="answer with one JSON object")] = False,
) -> None:
    """Run a rule over a recorded tape with the code that watches live prices."""
    if (tape is None) == (recorded is None):
        raise typer.Exit(_refuse("give either --tape FILE or --recorded TOKEN"))
    if tape is not None:
        raise typer.Exit(replay_command(rule, tape, json_output))
    raise typer.Exit(_replay_recorded(rule, recorded or "", since, json_output))


def _replay_recorded(rule: Path, token: str, since: str | None, json_output: bool) -> int:
    """Run a rule over what the stack recorded, read through its API; the rule itself runs here."""
    # Only here: a replay of a file needs no client.
    from cli.client import api, objects

    with api() as client:
        found = client.get("/api/v2/tape", {"token_id": token, "since": since, "limit": _MOST_RECORDED})
    if found.get("complete") is not True:
        sys.stderr.write("note: the tape is longer than this, or no longer kept; its newest rows are used\n")
    return _replayed(
        rule, f"tape of {token}", [json.dumps(row) for row in objects(found, "items")], json_output
    )


def replay_command(rule: Path, tape: Path, json_output: bool) -> int:
    """Print what the rule does on the tape; return 0, or 2 with the reason on stderr if nobody can say."""
    try:
        with _opened(tape) as lines:
            return _replayed(rule, str(tape), lines, json_output)
    except (UnicodeDecodeError, EOFError, zlib.error) as error:
        return _refuse(f"{tape}: {error}")
    except OSError as error:
        return _refuse(f"{error.filename or tape}: {error.strerror or error}")


def _replayed(rule: Path, tape: str, lines: Iterable[str], json_output: bool) -> int:
    try:
        outcome = run_over(_read_rule(rule), read_rows(lines))
    except _Refused as error:
        return _refuse(str(error))
    except UnresolvableRule as error:
        return _refuse(f"{rule}: {error.field}: {error.reason}")
    except MalformedRow as error:
        return _refuse(f"{tape}: {error}")
    except OSError as error:
        return _refuse(f"{error.filename or tape}: {error.strerror or error}")
    if json_output:
        sys.stdout.write(json.dumps(outcome.answer()) + "\n")
    else:
        _draw(outcome)
    return EVALUATED


class _Refused(ValueError):
    """A rule file that cannot be used."""


def _refuse(reason: str) -> int:
    sys.stderr.write(f"error: {reason}\n")
    return NOT_EVALUATED


def _read_rule(path: Path) -> RuleDefinition:
    try:
        return RuleDefinition.model_validate_json(path.read_bytes())
    except ValidationError as error:
        reasons = [f"{field_path(fault['loc']) or 'rule'}: {fault['msg']}" for fault in error.errors()]
        raise _Refused(f"{path}: " + "; ".join(reasons)) from None


@contextmanager
def _opened(path: Path) -> Generator[IO[str]]:
    """Open a tape as text; gzip is told by its first bytes, not by its name."""
    with path.open("rb") as raw:
        is_gzip = raw.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
    with gzip.open(path, "rt", encoding="utf-8") if is_gzip else path.open(encoding="utf-8") as lines:
        yield lines


def _draw(outcome: ReplayOutcome) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(soft_wrap=True, highlight=False)
    if outcome.resolved is not None:
        console.print(describe(outcome.resolved), markup=False)
    if outcome.steps:
        steps = Table("row", "time", "condition", "highest", "level", title="trailing level")
        for step in _shown_steps(outcome):
            steps.add_row(*step)
        console.print(steps)
    if outcome.firing is None:
        ending = "expired unfired" if outcome.expired else "did not fire"
        console.print(f"The rule {ending} on {outcome.rows} rows.")
        return
    fired, quote = outcome.firing, outcome.firing.row.quote
    table = Table("row", "time", "condition", "level", "bid", "ask", "last", title="fired")
    prices = (_cell(price) for price in (fired.level, quote.bid, quote.ask, quote.last))
    table.add_row(str(fired.index), fired.row.ts, fired.condition.value, *prices)
    console.print(table)


def _shown_steps(outcome: ReplayOutcome) -> list[tuple[str, ...]]:
    """Return the changes as cells: all, or the first and the last ones with a line for what lies between."""
    rows = [
        (str(step.index), step.ts, str(step.condition_index), _cell(step.mark), _cell(step.level))
        for step in outcome.steps
    ]
    if len(rows) <= _MAX_STEPS_SHOWN:
        return rows
    half = _MAX_STEPS_SHOWN // 2
    between = f"{len(rows) - 2 * half} more"
    return [*rows[:half], ("…", between, "", "", ""), *rows[-half:]]


def _cell(price: Decimal | None) -> str:
    return "–" if price is None else plain(price)
