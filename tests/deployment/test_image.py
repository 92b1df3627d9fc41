"""The image holds the packages that run and the locked versions, and runs as nobody in particular."""

import re
import tomllib
from typing import Any

from tests.deployment.compose import REPOSITORY

DOCKERFILE = (REPOSITORY / "Dockerfile").read_text()
PROJECT: dict[str, Any] = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
NOT_SHIPPED = {"bench"}


def instructions() -> list[tuple[str, str]]:
    """Each instruction with its arguments, continued lines joined."""
    joined = re.sub(r"\\\n\s*", "", DOCKERFILE)
    lines = [line for line in joined.splitlines() if line and not line.startswith("#")]
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines)]


def pins(path: str) -> dict[str, str]:
    found = re.findall(r"^([\w.-]+(?:\[\w+\])?)==(\S+)", (REPOSITORY / path).read_text(), re.MULTILINE)
    return dict(found)


def test_build_context_is_the_shipped_packages_and_their_lock() -> None:
    lines = (REPOSITORY / ".dockerignore").read_text().splitlines()
    packages = set(PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"])
    assert next(line for line in lines if not line.startswith("#")) == "*"
    assert {line[1:] for line in lines if line.startswith("!")} == (packages - NOT_SHIPPED) | {
        "deploy/requirements.lock"
    }


def test_base_is_the_oldest_python_that_is_supported_pinned_to_its_patch() -> None:
    bases = {rest.split()[0] for word, rest in instructions() if word == "FROM"}
    (base,) = bases
    oldest = PROJECT["project"]["requires-python"].removeprefix(">=")
    assert re.fullmatch(rf"python:{re.escape(oldest)}\.\d+-slim-\w+", base)


def test_packages_are_installed_by_hash_and_only_as_wheels() -> None:
    (install,) = [rest for word, rest in instructions() if word == "RUN" and "pip install" in rest]
    for option in ("--require-hashes", "--only-binary :all:", "-r /tmp/requirements.lock"):
        assert option in install
    assert ("COPY", "deploy/requirements.lock /tmp/requirements.lock") in instructions()


def test_image_runs_as_a_user_without_privileges() -> None:
    (user,) = [rest for word, rest in instructions() if word == "USER"]
    number = user.partition(":")[0]
    assert int(number) >= 10000
    assert f"--uid {number}" in DOCKERFILE


def test_shipped_versions_are_the_tested_ones_without_the_tools_of_development() -> None:
    shipped, tested = pins("deploy/requirements.lock"), pins("requirements.lock")
    assert shipped.items() <= tested.items()
    declared = {re.split(r"[\[=]", entry)[0] for entry in PROJECT["project"]["dependencies"]}
    assert declared <= {name.partition("[")[0] for name in shipped}
    tools = {re.split(r"[\[=]", entry)[0] for entry in PROJECT["dependency-groups"]["dev"]}
    # The venue client's own packages ask for pytest.
    assert tools & set(shipped) <= {"pytest"}
