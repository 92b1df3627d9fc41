"""Ports, lock, env file, and where Postgres lies when its user cannot reach the data directory."""

import os
import socket
import stat
import subprocess
from pathlib import Path

import pytest

from runtime.embedded import env_file, unprivileged
from runtime.embedded.layout import DataDir, DataDirLock, StackAlreadyRunning, holder
from runtime.embedded.ports import PortBusy, Ports, free_port
from runtime.embedded.process import SystemUser
from runtime.embedded.unprivileged import (
    can_reach,
    choose_user,
    reachable_cluster,
    reachable_installation,
)
from tests.conftest import traversable_folder

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs Postgres as another user")


def test_busy_port_is_refused_with_its_option() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PortBusy, match=rf"port {port} \(api\) is in use.*--api-port"):
            Ports(api=port).resolved(options={"api": "--api-port"})


def test_zero_becomes_a_free_port_and_all_differ() -> None:
    ports = Ports().resolved()
    values = [getattr(ports, name) for name in Ports.__slots__]
    assert 0 not in values
    assert len(set(values)) == len(values)


def test_free_port_avoids_taken_ones() -> None:
    first = free_port(set())
    assert free_port({first}) != first


def test_lock_is_exclusive_and_names_its_holder(tmp_path: Path) -> None:
    directory = DataDir(tmp_path)
    assert holder(directory) is None
    with DataDirLock(directory):
        assert holder(directory) == os.getpid()
        with pytest.raises(StackAlreadyRunning, match=f"process {os.getpid()}"):
            DataDirLock(directory).acquire()
    assert holder(directory) is None


def test_secrets_are_made_once_and_only_the_owner_reads_them(tmp_path: Path) -> None:
    path = tmp_path / "env"
    first = env_file.secrets_of(path)
    env_file.refresh_env_file(path, {"HOLDFAST_DATABASE_URL": "postgresql://a"}, first)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert env_file.secrets_of(path) == first
    env_file.refresh_env_file(path, {"HOLDFAST_DATABASE_URL": "postgresql://b"}, first)
    assert env_file.read_env_file(path) == {**first, "HOLDFAST_DATABASE_URL": "postgresql://b"}


def test_payload_keys_are_never_made_by_a_start_and_part_of_what_the_stack_knows(tmp_path: Path) -> None:
    path = tmp_path / "env"
    given = {env_file.PAYLOAD_KEYS: "a:AAAA", env_file.PAYLOAD_ENCRYPT: "false"}
    assert not set(given) & set(env_file.secrets_of(path))
    env_file.write_env_file(path, given)
    known = env_file.refresh_env_file(path, {}, env_file.secrets_of(path))
    assert given.items() <= known.items()
    assert given.items() <= env_file.read_env_file(path).items()


def test_lines_and_comments_of_a_user_outlive_a_start_where_they_stand(tmp_path: Path) -> None:
    path = tmp_path / "env"
    env_file.refresh_env_file(path, {"HOLDFAST_API_PORT": "1"}, env_file.secrets_of(path))
    made = path.read_text()
    own = """
# polled, since the proxy cuts sockets
export TRADE_MANAGER_WS_ENABLED=false   # for now
HOLDFAST_NOTE='two words
HOLDFAST_API_PORT=7 is no line of its own'
this is no setting"""
    path.write_text("# first of all\n" + made + own)

    env_file.refresh_env_file(path, {"HOLDFAST_API_PORT": "2"}, env_file.secrets_of(path))

    expected = "# first of all\n" + made.replace("HOLDFAST_API_PORT=1", "HOLDFAST_API_PORT=2") + own + "\n"
    assert path.read_text() == expected
    assert env_file.read_env_file(path)["TRADE_MANAGER_WS_ENABLED"] == "false"


def test_name_that_stands_twice_is_left_once_with_the_new_value(tmp_path: Path) -> None:
    path = tmp_path / "env"
    path.write_text("\n\nHOLDFAST_API_PORT=1\nTRADE_MANAGER_ENABLED=true\nHOLDFAST_API_PORT=2")

    env_file.write_env_file(path, {"HOLDFAST_API_PORT": "3", "HOLDFAST_API_HOST": "127.0.0.1"})

    assert path.read_text().splitlines() == [
        "",
        "",
        "HOLDFAST_API_PORT=3",
        "TRADE_MANAGER_ENABLED=true",
        "HOLDFAST_API_HOST=127.0.0.1",
    ]


def test_address_of_a_part_that_does_not_run_now_stays(tmp_path: Path) -> None:
    path = tmp_path / "env"
    path.write_text("HOLDFAST_DATABASE_URL=postgresql://elsewhere/holdfast\n")

    env_file.refresh_env_file(path, {"HOLDFAST_API_PORT": "2"}, env_file.secrets_of(path))

    assert env_file.read_env_file(path)["HOLDFAST_DATABASE_URL"] == "postgresql://elsewhere/holdfast"


def test_secrets_differ_between_installations(tmp_path: Path) -> None:
    one, other = env_file.secrets_of(tmp_path / "one"), env_file.secrets_of(tmp_path / "other")
    assert not set(one.values()) & set(other.values())


@pytest.mark.parametrize("value", ["a\nB=c", "it's", 'quo"te', "$HOME", "a#b", "back\\slash"])
def test_value_that_would_be_read_back_otherwise_is_refused(tmp_path: Path, value: str) -> None:
    with pytest.raises(ValueError, match="NAME"):
        env_file.write_env_file(tmp_path / "env", {"NAME": value})


@as_root
def test_root_runs_postgres_as_another_user() -> None:
    user = choose_user()
    assert user is not None
    assert user.uid != 0


def test_normal_user_runs_postgres_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert choose_user() is None


@pytest.fixture
def user() -> SystemUser:
    chosen = choose_user()
    assert chosen is not None
    return chosen


@as_root
def test_cluster_moves_out_of_a_private_folder_and_is_found_again(
    user: SystemUser, monkeypatch: pytest.MonkeyPatch
) -> None:
    with traversable_folder() as state, traversable_folder() as outer:
        monkeypatch.setattr(unprivileged, "STATE_ROOT", state)
        private = outer / "home"
        private.mkdir(mode=0o700)
        (private / "data").mkdir(mode=0o711)
        wanted = private / "data" / "postgres"
        moved = reachable_cluster(wanted, user)
        assert moved.is_relative_to(state)
        assert can_reach(moved.parent, user)
        assert reachable_cluster(wanted, user) == moved
        assert stat.S_IMODE(private.stat().st_mode) == 0o700
        assert reachable_cluster(outer / "postgres", user) == outer / "postgres"


@as_root
def test_installation_in_a_private_folder_is_copied_and_runs(
    user: SystemUser, monkeypatch: pytest.MonkeyPatch
) -> None:
    with traversable_folder() as cache, traversable_folder() as outer:
        monkeypatch.setattr(unprivileged, "CACHE_ROOT", cache)
        private = outer / "home"
        package = private / "package"
        (package / "install" / "bin").mkdir(parents=True)
        private.chmod(0o700)
        program = package / "install" / "bin" / "postgres"
        program.write_text("#!/bin/sh\necho runs\n")
        program.chmod(0o755)
        (private / "package.libs").mkdir()
        copy = reachable_installation(package / "install", private / "package.libs", "1.2", user)
        assert copy == cache / "postgres-1.2" / "package" / "install"
        assert (cache / "postgres-1.2" / "package.libs").is_dir()
        answer = subprocess.run(
            [copy / "bin" / "postgres"],
            user=user.uid,
            group=user.gid,
            capture_output=True,
            check=True,
            cwd="/",
        )
        assert answer.stdout == b"runs\n"
        again = reachable_installation(package / "install", private / "package.libs", "1.2", user)
        assert again == copy
