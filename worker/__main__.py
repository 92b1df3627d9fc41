"""`python -m worker --role core|feed|io|all`."""

import argparse
import asyncio

import uvloop

from runtime.logging import configure, configure_by
from runtime.settings import load
from worker.registry import Role
from worker.run import run_worker


def main() -> None:
    """Run a worker until it is told to stop."""
    parser = argparse.ArgumentParser(prog="python -m worker", description="Run a Holdfast worker process.")
    parser.add_argument("--role", choices=[role.value for role in Role], default=Role.ALL.value)
    role = Role(parser.parse_args().role)
    configure()
    settings = load()
    configure_by(settings.log)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run_worker(settings, role))


if __name__ == "__main__":
    main()
