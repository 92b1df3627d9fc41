"""Postgres refuses to run as root: which user it runs as then, and what that user can reach."""

import hashlib
import os
import pwd
import shutil
import subprocess
from pathlib import Path

from runtime.embedded.process import SystemUser

CANDIDATES = ("holdfast", "postgres", "nobody")
STATE_ROOT = Path("/var/lib/holdfast")
CACHE_ROOT = Path("/var/cache/holdfast")


class NoUnprivilegedUser(Exception):
    """The stack runs as root and the system has none of the users that Postgres could run as."""

    def __init__(self) -> None:
        super().__init__(
            f"Postgres does not run as root and none of the users {', '.join(CANDIDATES)} exists: "
            "create one (useradd --system holdfast), or run as a normal user"
        )


def choose_user() -> SystemUser | None:
    """Returns the user to run Postgres as, None for the present one when that is not root.

    Raises:
        NoUnprivilegedUser: Root, and no candidate exists.
    """
    if os.geteuid() != 0:
        return None
    for name in CANDIDATES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return SystemUser(name, entry.pw_uid, entry.pw_gid)
    raise NoUnprivilegedUser


def can_reach(path: Path, user: SystemUser) -> bool:
    """Tells whether `user` can pass through to the directory `path`, asked of the kernel by trying it."""
    outcome = subprocess.run(  # noqa: S603 - fixed program, a path of ours
        ["/bin/sh", "-c", 'test -x "$1"', "sh", str(path)],
        user=user.uid,
        group=user.gid,
        extra_groups=[],
        cwd="/",
        check=False,
    )
    return outcome.returncode == 0


def reachable_cluster(wanted: Path, user: SystemUser | None) -> Path:
    """Returns where the cluster lies: `wanted`, or a place below /var/lib that `user` can reach.

    A private parent (such as root's home) is not opened for others: the cluster moves instead, to a place
    named after the wanted path, so that every start finds it again.
    """
    if user is None or can_reach(wanted.parent, user):
        return wanted
    name = hashlib.sha256(str(wanted.resolve()).encode()).hexdigest()[:16]
    place = STATE_ROOT / name
    place.mkdir(parents=True, exist_ok=True)
    for folder in (STATE_ROOT, place):
        folder.chmod(0o711)
    return place / wanted.name


def reachable_installation(
    installation: Path, libraries: Path, version: str, user: SystemUser | None
) -> Path:
    """Returns an installation of Postgres that `user` can run: the given one, or a copy below /var/cache.

    Args:
        installation: Folder with bin, lib and share, inside its package folder.
        libraries: Folder of the shared libraries, found relative to the binaries.
        version: Names the copy, so that another version gets another one.
        user: Who runs it.
    """
    if user is None or can_reach(installation / "bin" / "postgres", user):
        return installation
    copy = CACHE_ROOT / f"postgres-{version}"
    if not copy.is_dir():
        partial = copy.with_name(f"{copy.name}.{os.getpid()}")
        shutil.copytree(installation, partial / installation.parent.name / installation.name, symlinks=True)
        shutil.copytree(libraries, partial / libraries.name, symlinks=True)
        for folder in (CACHE_ROOT, partial):
            folder.chmod(0o755)
        _publish(partial, copy)
    return copy / installation.parent.name / installation.name


def _publish(partial: Path, copy: Path) -> None:
    """Puts a finished copy in its place; when another process was first, that one's stays."""
    try:
        partial.rename(copy)
    except OSError:
        shutil.rmtree(partial)
        if not copy.is_dir():
            raise
