"""Plots of the published figures, as PNG. Drawn by matplotlib, which only `make bench-full` installs."""

# pyright: reportMissingModuleSource=false

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from bench.index_scenes import Mix
from bench.results import Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIZE = (7.0, 4.0)
DPI = 110
BAR = 0.35


def draw(results: Results, folder: Path) -> list[Path]:
    """Write the plots into a folder; return their files.

    Raises:
        ModuleNotFoundError: matplotlib is not installed.
    """
    from matplotlib.figure import Figure  # here, so that nothing else needs it

    folder.mkdir(parents=True, exist_ok=True)
    drawn: list[Path] = []
    plots: dict[str, Callable[[Results, Axes], None]] = {
        "latency": _latency,
        "index": _index,
        "create": _create,
    }
    for name, plot in plots.items():
        figure = Figure(figsize=SIZE, layout="constrained")
        plot(results, figure.subplots())
        path = folder / f"{name}.png"
        figure.savefig(path, dpi=DPI)
        drawn.append(path)
    return drawn


def _latency(results: Results, axes: "Axes") -> None:
    reports = results.latency
    places = list(range(len(reports)))
    axes.bar(places, [r.frame_to_post_ms.p50_ms for r in reports], BAR, label="frame → POST")
    floors = [r.floor_signal_to_eager_ms.p50_ms for r in reports]
    axes.bar([place + BAR for place in places], floors, BAR, label="signal → eager activity")
    names = [f"{r.armed:,} armed{', cold' if r.cold else ''}" for r in reports]
    axes.set_xticks([place + BAR / 2 for place in places], names)
    axes.set_ylabel("milliseconds, median")
    axes.set_title("From a price frame to the order's POST")
    axes.legend()


def _index(results: Results, axes: "Axes") -> None:
    for mix in Mix:
        rows = [row for row in results.index.rows if row.mix == mix]
        rates = [row.quotes_per_s for row in rows]
        axes.plot([row.rules for row in rows], rates, "o-", label=mix.value.replace("_", " "))
    axes.set_xscale("log")
    axes.set_ylim(0)
    axes.set_xlabel("rules in the index")
    axes.set_ylabel("quotes a second, one core")
    axes.set_title("The trigger index")
    axes.legend()


def _create(results: Results, axes: "Axes") -> None:
    rows = results.create.creations
    clients = [row.clients for row in rows]
    axes.plot(clients, [row.create_ms.p50_ms for row in rows], "o-", label="rule through the API")
    axes.plot(clients, [row.floor_ms.p50_ms for row in rows], "o-", label="bare update-with-start")
    axes.plot(clients, [row.http_ms.p50_ms for row in rows], "o-", label="HTTP alone")
    axes.set_xlabel("clients at once")
    axes.set_ylabel("milliseconds, median")
    axes.set_title("Creating a rule")
    axes.legend()
