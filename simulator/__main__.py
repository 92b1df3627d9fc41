"""``python -m simulator``: the local exchange as a process of its own."""

import argparse
import asyncio
import os
import signal
import sys
from pathlib import Path

import orjson
import uvloop

from simulator.app import POLYGON, serve
from simulator.journal import Durability


def main() -> None:
    """Parses the command line and serves until SIGTERM or Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m simulator", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="public port, 0 for a free one")
    parser.add_argument("--admin-port", type=int, default=0, help="control port, 0 for a free one")
    parser.add_argument("--state", type=Path, required=True, help="directory of the journal")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--chain-id", type=int, default=POLYGON)
    parser.add_argument("--durability", type=Durability, choices=list(Durability), default=Durability.NORMAL)
    uvloop.run(_run(parser.parse_args()))


async def _run(arguments: argparse.Namespace) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    state: Path = arguments.state
    async with serve(
        state,
        host=arguments.host,
        port=arguments.port,
        admin_port=arguments.admin_port,
        chain_id=arguments.chain_id,
        durability=arguments.durability,
    ) as running:
        ports = orjson.dumps(
            {
                "port": running.port,
                "admin_port": running.admin_port,
                "url": running.url,
                "admin_url": running.admin_url,
                "ws_url": running.ws_url,
                "pid": os.getpid(),
            }
        )
        (state / "ports.json").write_bytes(ports)
        sys.stdout.write(ports.decode() + "\n")
        sys.stdout.flush()
        await stop.wait()


if __name__ == "__main__":
    main()
