"""Migrations of the projection's Postgres: `python -m storage.migrate upgrade|downgrade|current|check`.

The address comes from `HOLDFAST_DATABASE_URL` (it holds a password, so it is no argument). Every command
takes one advisory lock first, so several processes may start at once; the later ones find nothing to do.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.util.exc import CommandError
from pydantic import SecretStr
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from domain.errors import StorageUnavailable
from storage.database import plain_dsn
from storage.failures import storage_unavailable

_LOCK = 0x686F6C6466617374  # "holdfast"
_CONNECT_SECONDS = 5.0
_Result = TypeVar("_Result")


async def upgrade(url: SecretStr | str, revision: str = "head") -> None:
    """Bring the database to `revision`; does nothing when it is there.

    Raises:
        StorageUnavailable: Postgres cannot be reached.
    """
    await _locked(url, lambda connection: command.upgrade(_config(connection), revision))


async def downgrade(url: SecretStr | str, revision: str) -> None:
    """Take the database back to `revision` (`base` removes everything).

    Raises:
        StorageUnavailable: Postgres cannot be reached.
    """
    await _locked(url, lambda connection: command.downgrade(_config(connection), revision))


async def current(url: SecretStr | str) -> str | None:
    """Return the revision of the database, None when it was never migrated.

    Raises:
        StorageUnavailable: Postgres cannot be reached.
    """
    return await _locked(
        url, lambda connection: MigrationContext.configure(connection).get_current_revision()
    )


async def check(url: SecretStr | str) -> None:
    """Compare the tables of the database with the models.

    Raises:
        CommandError: They differ; the text says where.
        StorageUnavailable: Postgres cannot be reached.
    """
    await _locked(url, lambda connection: command.check(_config(connection)))


async def revise(url: SecretStr | str, message: str, revision: str) -> None:
    """Write a new migration from what the models have and the database has not; to be read by a person.

    Raises:
        StorageUnavailable: Postgres cannot be reached.
    """
    await _locked(
        url,
        lambda connection: command.revision(
            _config(connection), message=message, rev_id=revision, autogenerate=True
        ),
    )


async def _locked(url: SecretStr | str, work: Callable[[Connection], _Result]) -> _Result:
    engine = create_async_engine(
        plain_dsn(url).replace("postgresql://", "postgresql+asyncpg://", 1),
        poolclass=NullPool,
        hide_parameters=True,
        connect_args={
            "timeout": _CONNECT_SECONDS,
            "server_settings": {"application_name": "holdfast-migrate"},
        },
    )
    try:
        async with engine.connect() as connection:
            # Bound to this transaction, so it ends with it whatever happens.
            await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            result = await connection.run_sync(work)
            await connection.commit()
            return result
    except BaseException as error:
        failure = storage_unavailable(error)
        if failure is None:
            raise
        raise failure from error
    finally:
        await engine.dispose()


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m storage.migrate", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("upgrade", help="bring the database to a revision").add_argument(
        "revision", nargs="?", default="head"
    )
    commands.add_parser("downgrade", help="take the database back").add_argument("revision")
    commands.add_parser("current", help="say which revision the database has")
    commands.add_parser("check", help="compare the database with the models")
    revise_parser = commands.add_parser("revise", help="write a migration from the models")
    revise_parser.add_argument("revision")
    revise_parser.add_argument("message")
    return parser.parse_args()


async def _run(arguments: argparse.Namespace, url: str) -> None:
    match arguments.command:
        case "upgrade":
            await upgrade(url, arguments.revision)
        case "downgrade":
            await downgrade(url, arguments.revision)
        case "check":
            await check(url)
        case "revise":
            await revise(url, arguments.message, arguments.revision)
        case _:
            sys.stdout.write(f"{await current(url) or 'not migrated'}\n")


def main() -> int:
    """Run one command; returns the exit code and says on stderr what went wrong."""
    arguments = _arguments()
    url = os.environ.get("HOLDFAST_DATABASE_URL")
    if not url:
        sys.stderr.write("HOLDFAST_DATABASE_URL is not set: start `holdfast up`, or set it\n")
        return 2
    try:
        asyncio.run(_run(arguments, url))
    except (StorageUnavailable, CommandError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
