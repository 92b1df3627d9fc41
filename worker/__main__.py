"""`python -m worker --role core|feed|io|all [--standby]`."""

import argparse
import asyncio
import os

import uvloop

from runtime.logging import configure, configure_by
from runtime.settings import load
from runtime.telemetry.tracing import tracing_of
from worker.registry import Role
from worker.run import run_worker

# Where processors are short, selling comes before booking and comparing: when all workers start anew, the
# streams of all accounts read at once what they missed, and took most of a core from exits that waited.
IO_NICENESS = 5


def main() -> None:
    """Run a worker until it is told to stop."""
    parser = argparse.ArgumentParser(prog="python -m worker", description="Run a Holdfast worker process.")
    parser.add_argument("--role", choices=[role.value for role in Role], default=Role.ALL.value)
    parser.add_argument("--standby", action="store_true", help="run the standbys of the feeds (role feed)")
    arguments = parser.parse_args()
    role, standby = Role(arguments.role), bool(arguments.standby)
    if standby and role is not Role.FEED:
        parser.error("--standby belongs to --role feed: beside a first feed a standby would die with it")
    if role is Role.IO:
        os.nice(IO_NICENESS)
    configure()
    settings = load()
    with (
        tracing_of(settings.tracing, role=role.value) as tracing,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        configure_by(settings.log, more=tracing.processors)
        runner.run(run_worker(settings, role, standby=standby, tracing=tracing))


if __name__ == "__main__":
    main()
