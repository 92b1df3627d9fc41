"""Parts of a long run, kept as they are taken: a run that was stopped goes on where it was."""

import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, TypeAdapter

T = TypeVar("T")


class _Part(BaseModel):
    seconds: float
    report: object


class Kept:
    """Takes each part once for a folder."""

    def __init__(self, folder: Path) -> None:
        """Take where parts are kept, each as a JSON file."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.seconds = 0.0
        """How long all parts took, those of earlier runs among them."""

    async def part(self, name: str, shape: TypeAdapter[T], take: Callable[[], Awaitable[T]]) -> T:
        """Return a part's report: the one that is kept, or a new one, which then is."""
        path = self._folder / f"{name}.json"
        if not path.exists():
            began = time.monotonic()
            report = shape.dump_python(await take(), mode="json")
            path.write_text(_Part(seconds=time.monotonic() - began, report=report).model_dump_json())
        kept = _Part.model_validate_json(path.read_text())
        self.seconds += kept.seconds
        return shape.validate_python(kept.report, strict=False)
