"""What all benchmarks found."""

from dataclasses import dataclass

from bench import burst, create, index, latency
from bench.machine import Machine
from bench.peers import comparison


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """The figures of all benchmarks that ran."""

    machine: Machine
    seconds: int
    runs: int
    latency: tuple[latency.Report, ...]
    index: index.Report
    burst: burst.Report
    create: create.Report
    peers: comparison.Report | None
