"""Settings: where values come from, blanks, durations, secrets that do not show."""

import json
import logging
import re
from datetime import timedelta
from io import StringIO
from pathlib import Path

import pytest
import structlog
from pydantic import SecretStr, ValidationError

import runtime.logging
from runtime.settings import (
    SCALED_FLOORS,
    Concern,
    MissingSetting,
    SettingsError,
    TuningSettings,
    load,
    parse_key_ring,
)
from tests.conftest import REPOSITORY

KEY = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVoxMjM0NTY="


def test_overrides_win_over_the_environment_and_that_over_the_env_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "env"
    path.write_text(
        "HOLDFAST_API_PORT=1\nHOLDFAST_TEMPORAL_ADDRESS=file:1\nHOLDFAST_TEMPORAL_NAMESPACE=file\n"
    )
    monkeypatch.setenv("HOLDFAST_API_PORT", "2")
    monkeypatch.setenv("HOLDFAST_TEMPORAL_ADDRESS", "process:1")
    settings = load({"HOLDFAST_API_PORT": "3"}, env_file=path)
    assert settings.api.port == 3
    assert settings.temporal.address == "process:1"
    assert settings.temporal.namespace == "file"


def test_env_file_is_found_by_variable_or_in_the_data_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "env").write_text("HOLDFAST_API_PORT=11\n")
    monkeypatch.setenv("HOLDFAST_DATA_DIR", str(tmp_path))
    assert load().api.port == 11
    (tmp_path / "other").write_text("HOLDFAST_API_PORT=12\n")
    monkeypatch.setenv("HOLDFAST_ENV_FILE", str(tmp_path / "other"))
    assert load().api.port == 12
    monkeypatch.setenv("HOLDFAST_ENV_FILE", str(tmp_path / "gone"))
    with pytest.raises(SettingsError, match="gone"):
        load()


def test_blank_counts_as_unset_and_does_not_hide_the_env_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "env"
    path.write_text("HOLDFAST_API_PORT=11\n")
    monkeypatch.setenv("HOLDFAST_API_PORT", "")
    assert load(env_file=path).api.port == 11
    assert load({"HOLDFAST_SECURITY_MASTER_KEYS": ""}).security.master_keys is None


def test_trade_manager_keeps_its_documented_names() -> None:
    settings = load(
        {
            "TRADE_MANAGER_ENABLED": "false",
            "TRADE_MANAGER_POLL_INTERVAL_S": "7",
            "TRADE_MANAGER_WS_ENABLED": "0",
        }
    ).trade_manager
    assert (settings.enabled, settings.ws_enabled) == (False, False)
    assert settings.poll_interval == timedelta(seconds=7)
    assert load().trade_manager.poll_interval == timedelta(seconds=60)


@pytest.mark.parametrize("text", ["-1", "0", "soon"])
def test_duration_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        load({"HOLDFAST_TUNING_TASK_TIMEOUT": text})


def test_tuning_reaches_a_child_process_unchanged() -> None:
    fast = TuningSettings().scaled(0.1)
    assert load(fast.as_environment()).tuning == fast


def test_scaling_multiplies_down_to_the_floors() -> None:
    normal, fast = TuningSettings(), TuningSettings().scaled(0.1)
    for name, value in normal.durations().items():
        assert fast.durations()[name] == max(value * 0.1, min(value, SCALED_FLOORS.get(name, timedelta(0))))
    assert set(SCALED_FLOORS) <= set(normal.durations())


def test_missing_secrets_are_named() -> None:
    settings = load()
    for ask, variable in [
        (settings.database.dsn, "HOLDFAST_DATABASE_URL"),
        (settings.api.caller_key, "HOLDFAST_API_KEY"),
        (settings.security.key_ring, "HOLDFAST_SECURITY_MASTER_KEYS"),
        (settings.security.pepper, "HOLDFAST_SECURITY_API_KEY_PEPPER"),
    ]:
        with pytest.raises(MissingSetting, match=variable):
            ask()


def test_caller_key_falls_back_to_the_admin_key() -> None:
    admin = {"HOLDFAST_API_ADMIN_KEY": "first"}
    assert load(admin).api.caller_key().get_secret_value() == "first"
    assert load({**admin, "HOLDFAST_API_KEY": "own"}).api.caller_key().get_secret_value() == "own"


def test_database_url_serves_both_drivers() -> None:
    for url in ("postgresql://u:p@h/d", "postgresql+asyncpg://u:p@h/d"):
        database = load({"HOLDFAST_DATABASE_URL": url}).database
        assert database.dsn() == "postgresql://u:p@h/d"
        assert database.sqlalchemy_url() == "postgresql+asyncpg://u:p@h/d"


def test_first_key_of_the_ring_seals() -> None:
    ring = parse_key_ring(SecretStr(f"new:{KEY},old:{KEY}"))
    assert [key.key_id for key in ring] == ["new", "old"]
    assert len(ring[0].raw()) == 32


@pytest.mark.parametrize("text", [KEY, f":{KEY}", "a:", "a:AAAA", f"a:{KEY},a:{KEY}", "a:not base64"])
def test_malformed_key_ring_is_refused_without_showing_it(text: str) -> None:
    with pytest.raises(ValidationError) as error:
        load({"HOLDFAST_SECURITY_MASTER_KEYS": text})
    assert KEY not in str(error.value)


def test_short_pepper_is_refused_without_showing_it() -> None:
    with pytest.raises(ValidationError) as error:
        load({"HOLDFAST_SECURITY_API_KEY_PEPPER": "canary-pepper"})
    assert "canary-pepper" not in str(error.value)


def test_no_secret_shows_in_the_repr_of_the_settings() -> None:
    planted = {
        "HOLDFAST_DATABASE_URL": "postgresql://u:canary-1@h/d",
        "HOLDFAST_SECURITY_MASTER_KEYS": f"a:{KEY}",
        "HOLDFAST_SECURITY_API_KEY_PEPPER": "canary-2" * 8,
        "HOLDFAST_API_KEY": "canary-3",
        "HOLDFAST_API_ADMIN_KEY": "canary-4",
        "HOLDFAST_TEMPORAL_API_KEY": "canary-5",
    }
    shown = repr(load(planted))
    assert "canary" not in shown
    assert KEY not in shown


def test_log_lines_hold_ids_and_no_secrets() -> None:
    stream = StringIO()
    before = logging.getLogger().handlers[:], logging.getLogger().level
    try:
        runtime.logging.configure(stream=stream)
        runtime.logging.bind_ids(rule_id="rule-1")
        log = structlog.stdlib.get_logger("trading")
        log.info(
            "order.submitted",
            private_key="canary-1",
            request={"headers": {"POLY_SIGNATURE": "canary-2"}, "keys": [{"secret": "canary-3"}]},
            sealed=SecretStr("canary-4"),
            shares="12.5",
        )
        logging.getLogger("library").warning("plain", extra={"api_key": "canary-5"})
    finally:
        runtime.logging.unbind_ids()
        structlog.reset_defaults()
        logging.getLogger().handlers[:], level = before
        logging.getLogger().setLevel(level)
    first, second = (json.loads(line) for line in stream.getvalue().splitlines())
    assert "canary" not in stream.getvalue()
    assert (first["event"], first["rule_id"], first["shares"]) == ("order.submitted", "rule-1", "12.5")
    assert (second["event"], second["api_key"]) == ("plain", runtime.logging.REDACTED)


def test_every_setting_is_read_by_somebody() -> None:
    folders = ("activities", "api", "bench", "cli", "runtime", "storage", "venues", "worker")
    code = "".join(path.read_text() for folder in folders for path in (REPOSITORY / folder).rglob("*.py"))
    fields = {name for concern in Concern.__subclasses__() for name in concern.model_fields}
    assert sorted(name for name in fields if not re.search(rf"\.{name}\b", code)) == []
