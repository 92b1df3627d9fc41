"""The env file of an embedded stack: secrets made once, URLs of the present run; mode 600."""

import base64
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from dotenv import dotenv_values

POSTGRES_PASSWORD = "HOLDFAST_EMBEDDED_POSTGRES_PASSWORD"  # noqa: S105 - the variable's name
MASTER_KEYS = "HOLDFAST_SECURITY_MASTER_KEYS"
API_KEY_PEPPER = "HOLDFAST_SECURITY_API_KEY_PEPPER"
API_ADMIN_KEY = "HOLDFAST_API_ADMIN_KEY"
PAYLOAD_KEYS = "HOLDFAST_TEMPORAL_PAYLOAD_KEYS"
PAYLOAD_ENCRYPT = "HOLDFAST_TEMPORAL_PAYLOAD_ENCRYPT"
KEPT_WHEN_PRESENT = (PAYLOAD_KEYS, PAYLOAD_ENCRYPT)
"""Never made by a start, and never lost by one: histories written with a key need it."""

_HEADER = "# Written by the embedded stack. Secrets are made once and kept; URLs change with each start.\n"


def generated_secrets() -> dict[str, str]:
    """Returns fresh secrets: 256 random bits each."""
    return {
        POSTGRES_PASSWORD: secrets.token_urlsafe(32),
        MASTER_KEYS: "embedded-1:" + base64.b64encode(secrets.token_bytes(32)).decode(),
        API_KEY_PEPPER: secrets.token_urlsafe(32),
        API_ADMIN_KEY: "hf_" + secrets.token_urlsafe(32),
    }


def read_env_file(path: Path) -> dict[str, str]:
    """Returns the variables of an env file; none when it does not exist."""
    return {name: text for name, text in dotenv_values(path).items() if text} if path.exists() else {}


def write_env_file(path: Path, variables: Mapping[str, str]) -> None:
    """Replaces the env file in one step, readable by its owner only.

    Raises:
        ValueError: A value holds a line break or a quote and could be read back as something else.
    """
    lines: list[str] = []
    for name, value in variables.items():
        if any(character in value for character in "\n\r'\"\\$#"):
            raise ValueError(f"{name} holds a character that an env file cannot carry")
        lines.append(f"{name}={value}\n")
    temporary = path.with_name(path.name + ".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(_HEADER)
        file.writelines(lines)
    temporary.replace(path)


def refresh_env_file(path: Path, urls: Mapping[str, str], kept_secrets: Mapping[str, str]) -> dict[str, str]:
    """Writes secrets and URLs and returns them together; secrets of an earlier run win over new ones."""
    variables = {**kept_secrets, **urls}
    write_env_file(path, variables)
    return variables


def secrets_of(path: Path) -> dict[str, str]:
    """Returns the secrets of an env file, made fresh where one is missing; payload keys if it has any."""
    present = read_env_file(path)
    kept = {name: present[name] for name in KEPT_WHEN_PRESENT if name in present}
    return {name: present.get(name, fresh) for name, fresh in generated_secrets().items()} | kept
