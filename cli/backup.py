"""`holdfast backup` and `holdfast restore`: the two stores of the stack on this machine."""

import asyncio
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer
from pydantic import JsonValue

from cli.output import Json, print_facts, print_json
from cli.up import parts_of, settings_of
from runtime.embedded.backup import back_up
from runtime.embedded.env_file import read_env_file
from runtime.embedded.layout import DataDir
from runtime.embedded.restore import restore
from runtime.embedded.stack import Part, is_simulated
from runtime.settings import load

Folder = Annotated[Path, typer.Argument(help="Folder of the backup.")]
Data = Annotated[
    Path | None, typer.Option("--data-dir", help="The stack's data; HOLDFAST_DATA_DIR by default.")
]


def backup(folder: Folder, data_dir: Data = None, json_output: Json = False) -> None:
    """Copy Temporal and Postgres into a new folder, while the stack runs or not.

    The secrets are not copied: keep the env file of the data folder, at another place than the backups.
    """
    data = _data(data_dir)
    manifest = asyncio.run(back_up(data, folder))
    if json_output:
        answer: dict[str, JsonValue] = manifest.model_dump(mode="json")
        print_json({"folder": str(folder), "env_file": str(data.env_file), **answer})
        return
    master, payload = (
        ", ".join(ids) or "none in use" for ids in (manifest.master_keys, manifest.payload_keys)
    )
    facts = {
        "folder": str(folder),
        "temporal as of": manifest.temporal.began_at.isoformat(timespec="milliseconds"),
        "holdfast as of": manifest.holdfast.began_at.isoformat(timespec="milliseconds"),
        "migration": manifest.revision,
        "keep elsewhere": f"{data.env_file} (master keys: {master}; payload keys: {payload})",
    }
    print_facts("Backed up", facts)


_BOOKKEEPERS = (Part.POSTGRES, Part.TEMPORAL, Part.SIMULATOR, Part.API, Part.WORKER_IO)


def starts_after(data: DataDir) -> tuple[str, str]:
    """Return the commands that start a restored folder: its bookkeepers first, then all as always.

    The simulator is part of them only where it is the folder's venue.
    """
    settings = settings_of(data.root)
    if is_simulated(read_env_file(data.env_file)):
        return _up(data, _BOOKKEEPERS), _up(data)
    everything = [part for part in Part if part in parts_of(settings)]
    return _up(data, _without_simulator(_BOOKKEEPERS)), _up(data, _without_simulator(everything))


def _without_simulator(parts: Iterable[Part]) -> list[Part]:
    return [part for part in parts if part is not Part.SIMULATOR]


def _up(data: DataDir, parts: Iterable[Part] = ()) -> str:
    named = f" --data-dir {shlex.quote(str(data.root))}" if data.root != _data(None).root else ""
    return "holdfast up" + named + "".join(f" --part {part}" for part in parts)


def restore_backup(folder: Folder, data_dir: Data = None, json_output: Json = False) -> None:
    """Put a backup in place of what a stopped stack holds; that is set aside, not deleted.

    Start it without worker-core and worker-feed first: what went out to the
    venue since the backup is found and booked before a rule can act on what
    it remembers. Then start it as always.
    """
    data = _data(data_dir)
    look_first, always = starts_after(data)
    aside = asyncio.run(restore(data, folder))
    if json_output:
        kept: list[JsonValue] = [*aside]
        print_json(
            {
                "restored": str(folder),
                "data_dir": str(data.root),
                "set_aside": kept,
                "next": look_first,
                "then": always,
            }
        )
        return
    facts = {
        "from": str(folder),
        "into": str(data.root),
        "set aside": ", ".join(aside),
        "next": look_first,
        "then": f"when `holdfast positions` is right, stop it and start as always: {always}",
    }
    print_facts("Restored", facts)


def _data(given: Path | None) -> DataDir:
    return DataDir((given or load().embedded.data_dir).resolve())
