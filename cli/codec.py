"""`holdfast codec`: keys that encrypt what Temporal stores, and which of them are still needed."""

import asyncio
import base64
import re
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from pydantic import SecretStr
from temporalio.client import Client

from cli.client import JsonObject
from cli.errors import CommandFailed
from cli.output import Json, console, print_facts, print_json
from runtime.embedded.env_file import PAYLOAD_KEYS, read_env_file, write_env_file
from runtime.embedded.layout import DataDir, DataDirLock, StackAlreadyRunning
from runtime.settings import RING_KEY_BYTES, Settings, TemporalSettings, load, parse_key_ring
from runtime.temporal import connect
from runtime.temporal_codec import CODEC_PATH, codec_of
from runtime.temporal_histories import HistorySurvey, TemporalAway, survey_histories

SAMPLE = 50
"""Histories of open workflows, and as many of closed ones, that are read unless all are wanted."""

_NAME = re.compile(r"[A-Za-z0-9._-]{1,40}")

app = typer.Typer(help="Encryption of what Temporal stores.", no_args_is_help=True)


@app.command("new-key")
def new_key(
    key_id: Annotated[
        str | None, typer.Option("--id", help="name of the key; made of today's date when left out")
    ] = None,
    write: Annotated[
        bool, typer.Option("--write", help="put it first in the env file of the stack on this machine")
    ] = False,
) -> None:
    """Make a key of 256 random bits; without --write it is printed for HOLDFAST_TEMPORAL_PAYLOAD_KEYS.

    A key that histories were written with must be kept until `holdfast codec status --all` counts none.
    """
    name = f"{datetime.now(UTC):%Y%m%d}-{secrets.token_hex(2)}" if key_id is None else key_id
    if not _NAME.fullmatch(name):
        raise CommandFailed("--id cannot be used", "take up to 40 letters, digits, dots, dashes", exit_code=2)
    entry = f"{name}:{base64.b64encode(secrets.token_bytes(RING_KEY_BYTES)).decode()}"
    if not write:
        console().print(entry, soft_wrap=True)
        return
    _write(load(), name, entry)
    console().print(f"Payloads are encrypted with the key {name} from the next `holdfast up` on.")


def _write(settings: Settings, name: str, entry: str) -> None:
    directory = DataDir(settings.embedded.data_dir)
    directory.create()
    try:
        with DataDirLock(directory):
            _put_first(directory.env_file, name, entry)
    except StackAlreadyRunning as running:
        # A worker that is started again reads the file; the others would not know the key it writes with.
        raise CommandFailed(f"the stack runs, process {running.pid}", "stop it, then make the key") from None


def _put_first(env_file: Path, name: str, entry: str) -> None:
    older = read_env_file(env_file).get(PAYLOAD_KEYS)
    ring = f"{entry},{older}" if older else entry
    try:
        parse_key_ring(SecretStr(ring))
    except ValueError as error:
        raise CommandFailed(f"the ring cannot take the key {name}: {error}", "choose another --id") from None
    write_env_file(env_file, {PAYLOAD_KEYS: ring})


@app.command()
def status(
    every: Annotated[
        bool, typer.Option("--all", help="read every history, not only the newest; may take minutes")
    ] = False,
    json_output: Json = False,
) -> None:
    """Show which key encrypts, which can be read, and which keys the stored histories need."""
    settings = load()
    survey = asyncio.run(_survey(settings, None if every else SAMPLE))
    if json_output:
        print_json(_document(settings, survey))
    else:
        print_facts("Payload encryption", _facts(settings, survey))
    if survey.unreadable:
        first, why = next(iter(survey.unreadable.items()))
        problem = f"{len(survey.unreadable)} histories are unreadable, {first} for one: {why}"
        raise CommandFailed(problem, f"put that key back into {PAYLOAD_KEYS}")


async def _survey(settings: Settings, of_each: int | None) -> HistorySurvey:
    try:
        client = await _connected(settings.temporal)
        return await survey_histories(client, codec_of(settings.temporal), of_each=of_each)
    except TemporalAway as away:
        problem = f"Temporal does not answer at {settings.temporal.address}"
        raise CommandFailed(
            problem, "start the stack with `holdfast up`; `holdfast doctor` tells more"
        ) from away


async def _connected(temporal: TemporalSettings) -> Client:
    try:
        return await connect(temporal)
    except RuntimeError as error:  # the SDK raises the bare one when it cannot connect, and only there
        raise TemporalAway(str(error)) from error


def _document(settings: Settings, survey: HistorySurvey) -> JsonObject:
    codec = codec_of(settings.temporal)
    return {
        "encrypts_with": codec.encrypting_key_id,
        "decrypts": [*codec.key_ids],
        "endpoint": settings.api.url() + CODEC_PATH,
        "histories": survey.histories,
        "in_clear": survey.in_clear,
        "needed": {**survey.by_key},
        "stuck": [*survey.stuck],
        "unreadable": {workflow_id: why.code for workflow_id, why in survey.unreadable.items()},
    }


def _facts(settings: Settings, survey: HistorySurvey) -> dict[str, str]:
    codec = codec_of(settings.temporal)
    return {
        "encrypts with": codec.encrypting_key_id or "nothing: payloads stand in clear",
        "decrypts": ", ".join(codec.key_ids),
        "endpoint": settings.api.url() + CODEC_PATH,
        "histories read": str(survey.histories),
        "of them in clear": str(survey.in_clear),
        "open, unreadable": ", ".join(survey.stuck),
        "keys they need": ", ".join(f"{name} in {count}" for name, count in survey.by_key.items()),
    }
