"""Parts of a long run, kept as they are taken: a run that was stopped goes on where it was."""

import shutil
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, TypeAdapter

from bench.program import Say

T = TypeVar("T")


class _Part(BaseModel):
    """A part as its file holds it: `asked` is what it was taken by, `seconds` how long that took."""

    asked: str
    taken_at: str
    seconds: float
    report: object


class Kept:
    """Takes each part once for a folder, and anew when it is asked for by other sizes."""

    def __init__(self, folder: Path, asked: str, say: Say) -> None:
        """Take the run's folder, the sizes that the run asks for, and who is told what is not taken again."""
        self._folder = folder
        self._asked = asked
        self._say = say
        self.seconds = 0.0
        """How long all parts took, those of earlier runs among them."""

    async def part(self, name: str, shape: TypeAdapter[T], take: Callable[[Path], Awaitable[T]]) -> T:
        """Return a part's report: the one that is kept, or a new one, which then is.

        Args:
            name: Names the part's file.
            shape: Of its report.
            take: Takes it in a folder of its own, from which what a stopped run left is gone.
        """
        path = self._folder / "parts" / f"{name}.json"
        kept = _Part.model_validate_json(path.read_text()) if path.exists() else None
        if kept is None or kept.asked != self._asked:
            kept = await self._taken(name, shape, take)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(kept.model_dump_json())
        else:
            self._say(f"{name}: taken already, {kept.taken_at}; remove {path} to take it anew")
        self.seconds += kept.seconds
        return shape.validate_python(kept.report)

    async def _taken(self, name: str, shape: TypeAdapter[T], take: Callable[[Path], Awaitable[T]]) -> _Part:
        place, began = self._folder / name, time.monotonic()
        if place.exists():
            shutil.rmtree(place)
        report = shape.dump_python(await take(place), mode="json")
        taken_at = time.strftime("%Y-%m-%d %H:%M")
        return _Part(asked=self._asked, taken_at=taken_at, seconds=time.monotonic() - began, report=report)
