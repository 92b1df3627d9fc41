"""The order in which the `temporal` program is looked for, and each way alone."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from runtime.embedded import temporal_binary
from runtime.embedded.go_build import Announce, WayClosed
from runtime.embedded.temporal_binary import (
    BinarySearch,
    Source,
    TemporalBinaryMissing,
    build_by_go,
    cache_folder,
)


def program(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\necho temporal\n")
    path.chmod(0o755)
    return path


def closed(reason: str) -> Callable[[Path, Announce], None]:
    def way(_program: Path, _announce: Announce) -> None:
        raise WayClosed(reason)

    return way


def opened(log: list[str], name: str) -> Callable[[Path, Announce], None]:
    def way(path: Path, announce: Announce) -> None:
        log.append(name)
        announce(f"{name} runs")
        path.write_text(name)

    return way


def search(
    tmp_path: Path,
    *,
    named: Path | None = None,
    download: Callable[[Path, Announce], None] | None = None,
    build: Callable[[Path, Announce], None] | None = None,
) -> BinarySearch:
    return BinarySearch(
        named,
        str(tmp_path / "path"),
        tmp_path / "cache",
        download or closed("blocked"),
        build or closed("go is not on PATH"),
    )


def quiet(_text: str) -> None:
    return


def test_named_program_wins_over_all(tmp_path: Path) -> None:
    named = program(tmp_path / "mine")
    program(tmp_path / "path" / "temporal")
    found = search(tmp_path, named=named).resolve(quiet)
    assert (found.path, found.source) == (named, Source.NAMED)


def test_named_program_that_is_none_is_an_error_not_a_fallback(tmp_path: Path) -> None:
    program(tmp_path / "path" / "temporal")
    with pytest.raises(TemporalBinaryMissing, match="HOLDFAST_TEMPORAL_CLI"):
        search(tmp_path, named=tmp_path / "gone").resolve(quiet)


def test_path_comes_before_the_cache(tmp_path: Path) -> None:
    on_path = program(tmp_path / "path" / "temporal")
    program(search(tmp_path).cached)
    found = search(tmp_path).resolve(quiet)
    assert (found.path, found.source) == (on_path, Source.PATH)


def test_cached_program_is_used_without_download(tmp_path: Path) -> None:
    log: list[str] = []
    cached = program(search(tmp_path).cached)
    found = search(tmp_path, download=opened(log, "download")).resolve(quiet)
    assert (found.path, found.source) == (cached, Source.CACHE)
    assert log == []


def test_download_comes_before_the_build_and_is_cached(tmp_path: Path) -> None:
    log: list[str] = []
    ways = search(tmp_path, download=opened(log, "download"), build=opened(log, "build"))
    assert ways.resolve(quiet).source is Source.DOWNLOAD
    assert ways.resolve(quiet).source is Source.CACHE
    assert log == ["download"]


def test_build_follows_a_refused_download_and_says_so(tmp_path: Path) -> None:
    log: list[str] = []
    said: list[str] = []
    found = search(tmp_path, download=closed("blocked by the network"), build=opened(log, "build")).resolve(
        said.append
    )
    assert found.source is Source.BUILD
    assert os.access(found.path, os.X_OK)
    assert said == ["download: blocked by the network", "build runs"]


def test_no_way_left_names_each_refusal_and_the_next_step(tmp_path: Path) -> None:
    with pytest.raises(TemporalBinaryMissing, match=r"blocked.*go is not on PATH.*Install Go"):
        search(tmp_path).resolve(quiet)


CONTENDER = """
import sys
from pathlib import Path
from runtime.embedded.temporal_binary import BinarySearch

def way(path, announce):
    with open(sys.argv[2], "a") as log:
        log.write("built\\n")
    path.write_text("x")

found = BinarySearch(None, "/nonexistent", Path(sys.argv[1]), way, way).resolve(lambda text: None)
print(found.source)
"""


def test_two_processes_get_the_program_once(tmp_path: Path) -> None:
    log = tmp_path / "log"
    contenders = [
        subprocess.Popen(
            [sys.executable, "-c", CONTENDER, str(tmp_path / "cache"), str(log)], stdout=subprocess.PIPE
        )
        for _ in range(3)
    ]
    sources = sorted(process.communicate(timeout=60)[0].decode().strip() for process in contenders)
    assert sources == ["cache", "cache", "download"]
    assert log.read_text() == "built\n"


def test_build_without_go_is_a_closed_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(WayClosed, match="go is not on PATH"):
        build_by_go(tmp_path / "temporal", quiet)


def test_failing_build_tells_the_compilers_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = program(tmp_path / "go")
    go.write_text(
        "#!/bin/sh\necho 'go: downloading x/y v1' >&2\necho 'no space left on device' >&2\nexit 1\n"
    )
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    said: list[str] = []
    with pytest.raises(WayClosed, match="no space left on device"):
        build_by_go(tmp_path / "temporal", said.append)
    assert "downloading Go modules (1 so far)" in said


def test_build_asks_go_for_the_pinned_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go = program(tmp_path / "go")
    go.write_text(f'#!/bin/sh\necho "$PWD $CGO_ENABLED $*" > {tmp_path}/asked\n')
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    build_by_go(tmp_path / "temporal", quiet)
    asked = (tmp_path / "asked").read_text()
    assert asked.startswith(f"{temporal_binary.MODULE_FOLDER} 0 build")
    assert asked.strip().endswith(f"{tmp_path}/temporal {temporal_binary.COMMAND_PACKAGE}")
    assert (
        f"github.com/temporalio/cli v{temporal_binary.VERSION}"
        in (temporal_binary.MODULE_FOLDER / "go.mod").read_text()
    )


def test_cache_follows_xdg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "holdfast"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder() == tmp_path / "home" / ".cache" / "holdfast"
