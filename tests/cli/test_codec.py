"""`holdfast codec`: keys are made, put first, never lost; and what the stored histories need is told."""

import json
import os
import stat
from contextlib import suppress
from pathlib import Path

import pytest
from pydantic import SecretStr

from cli.app import GROUPS, run
from cli.errors import CommandFailed
from runtime.embedded import env_file
from runtime.embedded.layout import DataDir, DataDirLock
from runtime.settings import parse_key_ring
from tests.shared_stack import SharedStack


def codec(*arguments: str) -> None:
    with pytest.raises(SystemExit) as ended:
        run("codec", GROUPS["codec"], arguments)
    assert ended.value.code == 0


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataDir:
    monkeypatch.setenv("HOLDFAST_DATA_DIR", str(tmp_path / "data"))
    return DataDir(tmp_path / "data")


def ring(data_dir: DataDir) -> list[str]:
    text = env_file.read_env_file(data_dir.env_file)[env_file.PAYLOAD_KEYS]
    return [key.key_id for key in parse_key_ring(SecretStr(text))]


def test_new_key_is_printed_and_written_nowhere(
    data_dir: DataDir, capsys: pytest.CaptureFixture[str]
) -> None:
    codec("new-key", "--id", "2026-a")

    (key,) = parse_key_ring(SecretStr(capsys.readouterr().out.strip()))
    assert key.key_id == "2026-a"
    assert not data_dir.env_file.exists()


def test_written_key_comes_first_is_not_shown_and_the_older_stays(
    data_dir: DataDir, capsys: pytest.CaptureFixture[str]
) -> None:
    codec("new-key", "--id", "older", "--write")
    env_file.refresh_env_file(data_dir.env_file, {}, env_file.secrets_of(data_dir.env_file))
    before = env_file.read_env_file(data_dir.env_file)
    codec("new-key", "--id", "newer", "--write")

    assert ring(data_dir) == ["newer", "older"]
    after = env_file.read_env_file(data_dir.env_file)
    assert {**after, env_file.PAYLOAD_KEYS: before[env_file.PAYLOAD_KEYS]} == before
    assert stat.S_IMODE(data_dir.env_file.stat().st_mode) == 0o600
    assert not any(each in capsys.readouterr().out for each in after[env_file.PAYLOAD_KEYS].split(","))


def test_key_of_a_running_stack_is_not_changed(data_dir: DataDir) -> None:
    data_dir.create()
    with DataDirLock(data_dir), pytest.raises(CommandFailed, match=f"process {os.getpid()}"):
        codec("new-key", "--write")

    assert not data_dir.env_file.exists()


@pytest.mark.parametrize("name", ["older", "a,b", "a:b", "", "a$b", "a'"])
def test_unusable_or_known_name_changes_nothing(data_dir: DataDir, name: str) -> None:
    codec("new-key", "--id", "older", "--write")
    before = data_dir.env_file.read_text()

    with pytest.raises(CommandFailed):
        codec("new-key", "--id", name, "--write")

    assert data_dir.env_file.read_text() == before


def test_status_tells_keys_without_showing_them(
    stack: SharedStack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "here:" + "A" * 43 + "="
    monkeypatch.setenv("HOLDFAST_TEMPORAL_ADDRESS", stack.temporal_address)
    monkeypatch.setenv("HOLDFAST_TEMPORAL_PAYLOAD_KEYS", text)

    with suppress(CommandFailed):  # histories that other tests encrypted on this server are unreadable
        codec("status", "--json")
    told = capsys.readouterr().out
    codec_status = json.loads(told)

    assert (codec_status["encrypts_with"], codec_status["decrypts"]) == ("here", ["here"])
    assert codec_status["endpoint"].endswith("/codec")
    assert "AAAA" not in told


def test_status_without_temporal_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOLDFAST_TEMPORAL_ADDRESS", "127.0.0.1:9")

    with pytest.raises(CommandFailed, match="does not answer"):
        codec("status")
