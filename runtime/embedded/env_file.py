"""The env file of a stack: secrets made once, URLs of the present run, what its user writes; mode 600."""

import base64
import os
import secrets
from collections.abc import Mapping
from io import StringIO
from pathlib import Path

from dotenv import dotenv_values
from dotenv.parser import parse_stream

POSTGRES_PASSWORD = "HOLDFAST_EMBEDDED_POSTGRES_PASSWORD"  # noqa: S105 - the variable's name
MASTER_KEYS = "HOLDFAST_SECURITY_MASTER_KEYS"
API_KEY_PEPPER = "HOLDFAST_SECURITY_API_KEY_PEPPER"
API_ADMIN_KEY = "HOLDFAST_API_ADMIN_KEY"
PAYLOAD_KEYS = "HOLDFAST_TEMPORAL_PAYLOAD_KEYS"
PAYLOAD_ENCRYPT = "HOLDFAST_TEMPORAL_PAYLOAD_ENCRYPT"
NEVER_MADE = (PAYLOAD_KEYS, PAYLOAD_ENCRYPT)
"""Secrets that a start does not make, though whoever calls a stack needs them where they stand."""

_HEADER = """\
# Made by the stack: secrets once, addresses anew with each start. Any other setting may stand here as a line
# of its own, and stays as it is; what the environment says wins over it.
"""


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
    """Sets variables of an env file in one step, readable by its owner only; every other line stays.

    Raises:
        ValueError: A value holds a line break or a quote and could be read back as something else.
    """
    for name, value in variables.items():
        if any(character in value for character in "\n\r'\"\\$#"):
            raise ValueError(f"{name} holds a character that an env file cannot carry")
    present = path.read_text() if path.exists() else _HEADER
    temporary = path.with_name(path.name + ".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(_with(present, variables))
        file.flush()
        os.fsync(file.fileno())  # the keys of everything that is sealed stand in it
    temporary.replace(path)


def _with(present: str, variables: Mapping[str, str]) -> str:
    """Returns a file's text with variables set where they stand, and at its end where they do not."""
    missing = {name: f"{name}={value}\n" for name, value in variables.items()}
    kept: list[str] = []
    # By the parser of those who read it: a quoted value may have several lines.
    for binding in parse_stream(StringIO(present)):
        line = binding.original.string
        if binding.key not in variables:
            kept.append(line)
        elif binding.key in missing:
            blank = line[: len(line) - len(line.lstrip())]
            kept.append(blank + missing.pop(binding.key))
    text = "".join(kept)
    return text + ("\n" if text and not text.endswith("\n") else "") + "".join(missing.values())


def refresh_env_file(path: Path, urls: Mapping[str, str], kept_secrets: Mapping[str, str]) -> dict[str, str]:
    """Writes secrets and URLs and returns them together; secrets of an earlier run win over new ones."""
    variables = {**kept_secrets, **urls}
    write_env_file(path, variables)
    return variables


def secrets_of(path: Path) -> dict[str, str]:
    """Returns the secrets of an env file, made fresh where one is missing; payload keys if it has any."""
    present = read_env_file(path)
    kept = {name: present[name] for name in NEVER_MADE if name in present}
    return {name: present.get(name, fresh) for name, fresh in generated_secrets().items()} | kept
