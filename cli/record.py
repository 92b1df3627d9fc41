"""`holdfast record`: a market's live quotes into a tape file that `holdfast replay` reads."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from cli.ending import Ending
from cli.errors import CommandFailed
from domain.errors import UnknownToken, VenueError
from domain.ids import TokenId


def record(
    token: Annotated[str, typer.Option("--token", help="token id")],
    out: Annotated[Path, typer.Option("--out", help="tape file; appended to when it exists")],
    venue: Annotated[str, typer.Option("--venue", help="venue of the token")] = "polymarket",
    seconds: Annotated[float | None, typer.Option(min=0.1, help="until Ctrl-C when left out")] = None,
    json_output: Annotated[bool, typer.Option("--json", help="end with one JSON object")] = False,
) -> None:
    """Write each change of a token's quote to a tape file, one JSON object a line, until Ctrl-C."""
    try:
        with Ending() as ending, out.open("a", encoding="utf-8") as lines:
            # Imported under its guard: that takes a second, and a Ctrl-C then ends with a summary too.
            from cli.recording import recorded

            rows = asyncio.run(recorded(venue, TokenId(token), lines, seconds, ending))
    except UnknownToken:
        raise CommandFailed("The venue knows no such token", "check --token") from None
    except VenueError as error:
        raise CommandFailed(f"The venue cannot be read: {error.code}", "holdfast doctor") from None
    except OSError as error:
        raise CommandFailed(f"{out}: {error.strerror}", "choose another --out") from None
    if json_output:
        sys.stdout.write(json.dumps({"rows": rows, "out": str(out)}) + "\n")
    else:
        sys.stderr.write(f"\n{rows} rows in {out}: holdfast replay --rule RULE.json --tape {out}\n")
