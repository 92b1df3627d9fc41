"""Parts of a long run: taken once, read back as they were."""

import asyncio
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter

from bench import burst, create, index, latency
from bench.kept import Kept
from bench.machine import Machine
from bench.peers import comparison
from tests.bench.test_published_page import results

T = TypeVar("T")
LATENCIES = TypeAdapter(list[latency.Report])


class Runs:
    """Runs over one folder, each by its sizes; counts what was taken, and left something behind."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.found: list[bool] = []
        self.said: list[str] = []

    def again(self, asked: str) -> list[latency.Report]:
        kept = Kept(self.folder, asked, self.said.append)
        return asyncio.run(kept.part("latency", LATENCIES, self._take))

    async def _take(self, place: Path) -> list[latency.Report]:
        self._leave_something(place)
        return list(results().latency)

    def _leave_something(self, place: Path) -> None:
        self.found.append(place.exists())
        place.mkdir()


def test_part_that_was_taken_is_read_back_by_the_next_run_which_says_so(tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    assert runs.again("n = 400") == runs.again("n = 400") == list(results().latency)
    assert len(runs.found) == 1
    assert [words for words in runs.said if "taken already" in words] == runs.said != []


def test_part_of_other_sizes_is_taken_anew_where_nothing_is_left_of_the_old(tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    runs.again("n = 400")
    runs.again("n = 1000")
    assert (runs.found, runs.said) == ([False, False], [])


def comes_back(shape: TypeAdapter[T], report: T) -> bool:
    return shape.validate_python(shape.dump_python(report, mode="json")) == report


def test_every_benchmark_s_report_comes_back_from_its_file_as_it_was() -> None:
    known = results()
    assert known.peers is not None
    assert comes_back(TypeAdapter(Machine), known.machine)
    assert comes_back(TypeAdapter(index.Report), known.index)
    assert comes_back(TypeAdapter(burst.Report), known.burst)
    assert comes_back(TypeAdapter(create.Report), known.create)
    assert comes_back(TypeAdapter(comparison.Report), known.peers)
