"""The packages keep their names, their directions and their promises about secrets and addresses."""

import importlib.metadata
import importlib.util
import inspect
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

import runtime.settings
from runtime.settings import Concern

REPOSITORY = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
PACKAGES: list[str] = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]


@pytest.mark.parametrize("package", PACKAGES)
def test_package_resolves_inside_the_repository(package: str) -> None:
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    assert Path(spec.origin).is_relative_to(REPOSITORY)


def test_no_installed_distribution_provides_our_names() -> None:
    providers = importlib.metadata.packages_distributions()
    foreign = {name: set(providers.get(name, [])) - {"holdfast"} for name in PACKAGES}
    assert {name: names for name, names in foreign.items() if names} == {}


def test_every_package_is_listed_everywhere() -> None:
    folders = {path.parent.name for path in REPOSITORY.glob("*/__init__.py")} - {"tests"}
    assert folders == set(PACKAGES)
    assert folders == set(PROJECT["tool"]["importlinter"]["root_packages"])
    assert folders == set(PROJECT["tool"]["pyright"]["include"])


def test_imports_point_down() -> None:
    outcome = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stdout


def test_nothing_outside_tests_imports_tests() -> None:
    offenders = [
        str(path.relative_to(REPOSITORY))
        for package in PACKAGES
        for path in (REPOSITORY / package).rglob("*.py")
        if re.search(r"^\s*(from|import) tests\b", path.read_text(), re.MULTILINE)
    ]
    assert offenders == []


def test_lock_holds_every_dependency_by_hash_and_no_address() -> None:
    text = (REPOSITORY / "requirements.lock").read_text()
    assert "://" not in text
    assert "--index-url" not in text
    assert "--find-links" not in text
    entries = re.split(r"\n(?=[a-zA-Z0-9])", text.strip())
    assert [entry.split()[0] for entry in entries if "--hash=sha256:" not in entry] == []
    locked = {entry.split("==")[0].lower() for entry in entries}
    wanted = [*PROJECT["project"]["dependencies"], *PROJECT["dependency-groups"]["dev"]]
    assert {re.split(r"[\[=]", line)[0].lower() for line in wanted} <= locked


def test_every_dependency_is_pinned() -> None:
    wanted = [*PROJECT["project"]["dependencies"], *PROJECT["dependency-groups"]["dev"]]
    assert [line for line in wanted if "==" not in line] == []


def test_every_make_target_has_help_and_bare_make_lists_them() -> None:
    text = (REPOSITORY / "Makefile").read_text()
    phony = next(line for line in text.splitlines() if line.startswith(".PHONY:")).split()[1:]
    shown = subprocess.run(["make"], cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    for target in phony:
        assert re.search(rf"^{target}:.*## \S", text, re.MULTILINE), target
        assert re.search(rf"m{target}\s", shown), target


def concerns() -> Iterator[type[Concern]]:
    for _, kind in inspect.getmembers(runtime.settings, inspect.isclass):
        if issubclass(kind, Concern) and kind is not Concern:
            yield kind


@pytest.mark.parametrize("concern", list(concerns()))
def test_secrets_have_no_default_and_secret_sounding_fields_are_secrets(concern: type[Concern]) -> None:
    for name, field in concern.model_fields.items():
        is_secret = "SecretStr" in str(field.annotation)
        if is_secret:
            assert field.default is None, name
            assert field.annotation == SecretStr | None, name
        sounds_secret = re.search(r"(^|_)(key|keys|secret|password|pepper|token)$", name)
        if sounds_secret and "Path" not in str(field.annotation):
            assert is_secret, name


def test_no_module_reads_the_environment_but_settings_and_start_up() -> None:
    allowed = {"runtime", "cli", "bench", "simulator", "worker", "storage/migrate.py", "storage/migrations"}
    offenders = [
        relative
        for package in PACKAGES
        for path in (REPOSITORY / package).rglob("*.py")
        if "os.environ" in path.read_text() or "getenv(" in path.read_text()
        for relative in [str(path.relative_to(REPOSITORY))]
        if not any(relative.startswith(place) for place in allowed)
    ]
    assert offenders == []
