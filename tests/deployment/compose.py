"""`docker-compose.yml` as data."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
TEXT = (REPOSITORY / "docker-compose.yml").read_text()
FILE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = FILE["services"]
PROGRAMS = {name: service for name, service in SERVICES.items() if service["image"].startswith("holdfast:")}
WORKERS = {name: service for name, service in PROGRAMS.items() if name.startswith("worker-")}

_REQUIRED = re.compile(r"\$\{([A-Z_]+):\?[^}]*\}")
_ALTERNATIVE = re.compile(r"\$\{([A-Z_]+):\+([^}]*)\}")
_DEFAULT = re.compile(r"\$\{([A-Z_]+):-([^}]*)\}")


OPTIONAL_SECRETS = {"HOLDFAST_TEMPORAL_PAYLOAD_KEYS"}
"""Printed for a new deployment; one that was made before goes on without."""


@dataclass(frozen=True)
class Mount:
    """One entry of a service's `volumes`."""

    source: str
    target: str
    options: str

    @property
    def is_path(self) -> bool:
        return self.source.startswith(".")


def mounts(service: dict[str, Any]) -> list[Mount]:
    return [Mount(*[*entry.split(":"), ""][:3]) for entry in service.get("volumes", ())]


def required_variables() -> set[str]:
    """Variables without which compose refuses to start."""
    return set(_REQUIRED.findall(TEXT))


def resolved(text: str, values: dict[str, str]) -> str:
    """The text as compose would fill it in."""
    filled = _REQUIRED.sub(lambda match: values[match[1]], text)
    filled = _ALTERNATIVE.sub(lambda match: match[2] if values.get(match[1]) else "", filled)
    return _DEFAULT.sub(lambda match: values.get(match[1]) or match[2], filled)
