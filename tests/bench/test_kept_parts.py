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


def test_part_that_was_taken_is_read_back_by_the_next_run_and_not_taken_again(tmp_path: Path) -> None:
    taken: list[str] = []

    async def take() -> list[latency.Report]:
        taken.append("once")
        return list(results().latency)

    first = asyncio.run(Kept(tmp_path).part("latency", LATENCIES, take))
    again = asyncio.run(Kept(tmp_path).part("latency", LATENCIES, take))

    assert (first, again, taken) == (list(results().latency), list(results().latency), ["once"])


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
