"""`python -m bench.chaos`: kill anything while prices cross; nothing may be lost, nothing sent twice.

Exit status 1 when the three ledgers differ in anything, or the recovery budget was passed; 2 when the run
could not be carried through; 130 when a signal stopped it.
"""

import argparse
import secrets
import sys
from pathlib import Path

from rich.console import Console

import runtime.logging
from bench.chaos.options import GROUPS, ChaosOptions, Pace, Target, targets_of, troubles_of
from bench.chaos.report import as_json, show
from bench.chaos.run import run
from bench.histories import KEEP_HELP
from bench.program import EXIT_DIFFERENT, with_a_folder

BUDGET_S = 10.0
"""Within this time after each kill every exit that stood crossed has been sent."""


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    made = argparse.ArgumentParser(prog="python -m bench.chaos", description=__doc__)
    made.add_argument("--exits", type=int, default=50, help="exits that are to come about")
    made.add_argument("--seed", type=int, default=None, help="decides prices, rules, acts")
    made.add_argument(
        "--minutes",
        type=float,
        default=None,
        help="how long prices move; without it what fits the exits: eight for 1,000",
    )
    made.add_argument("--kill", default="all", help=f"{','.join(Target)}, all or none")
    words = f"kinds of trouble, or groups of them: {', '.join(GROUPS)}"
    made.add_argument("--faults", default="all", help=words)
    made.add_argument(
        "--pace", type=Pace, choices=list(Pace), default=Pace.PRODUCT, help="the product's durations"
    )
    made.add_argument(
        "--recovery-budget",
        type=float,
        default=None,
        help=f"seconds within which exits must be sent; unless given, exits over {BUDGET_S:g} are only told",
    )
    made.add_argument("--data-dir", type=Path, default=None, help="keep the stack's data and logs here")
    made.add_argument("--keep-histories", type=Path, default=None, help=KEEP_HELP)
    made.add_argument("--deeds", action="store_true", help="list everything that was done")
    made.add_argument("--json", action="store_true", help="print one JSON object; the table goes to stderr")
    return made


def options_of(given: argparse.Namespace) -> ChaosOptions:
    """Return the options that a command line amounts to.

    Raises:
        ValueError: A kind of trouble is unknown.
    """
    return ChaosOptions(
        exits=given.exits,
        seed=given.seed if given.seed is not None else secrets.randbelow(1_000_000),
        minutes=given.minutes,
        kill=targets_of(given.kill),
        troubles=troubles_of(given.faults),
        pace=given.pace,
    )


def main() -> None:
    """Run, print, exit with 1 on any difference."""
    commands = parser()
    given = commands.parse_args()
    try:
        options = options_of(given)
    except ValueError as error:
        commands.error(str(error))
    runtime.logging.configure(level=50)
    name = f"seed {options.seed}"
    outcome = with_a_folder(
        name, given.data_dir, lambda folder, say: run(options, say, folder, given.keep_histories)
    )
    report = outcome.report
    readable = Console(stderr=given.json)
    if given.deeds:
        for deed in outcome.deeds:
            readable.print(deed, markup=False)
    budget_s = BUDGET_S if given.recovery_budget is None else given.recovery_budget
    show(report, budget_s, outcome.deeds, outcome.strikes, replay_line(options, given), readable)
    if given.json:
        print(as_json(report, budget_s, outcome.strikes))
    late = given.recovery_budget is not None and report.late(budget_s)
    sys.exit(EXIT_DIFFERENT if report.findings or late else 0)


def replay_line(options: ChaosOptions, given: argparse.Namespace) -> str:
    """Return the command that runs the same plan again."""
    line = f"python -m bench.chaos --seed {options.seed} --exits {options.exits}"
    if options.minutes is not None:
        line += f" --minutes {options.minutes:g}"
    for name, default in (("kill", "all"), ("faults", "all"), ("pace", Pace.PRODUCT)):
        chosen: str = getattr(given, name)
        if chosen != default:
            line += f" --{name} {chosen}"
    return line


if __name__ == "__main__":
    main()
