"""Which venue a data folder belongs to: the simulator's books are never compared with another venue's."""

from pathlib import Path

import pytest

from cli.backup import starts_after
from runtime.embedded import env_file
from runtime.embedded.layout import DataDir
from runtime.embedded.local_stack import simulator_urls
from runtime.embedded.stack import EmbeddedStack, Part, StackOptions, VenueContradicted

SIMULATED = {
    **simulator_urls("http://127.0.0.1:9"),
    "HOLDFAST_SIMULATOR_ADMIN_URL": "http://127.0.0.1:8",
}


def options(folder: Path, *parts: Part) -> StackOptions:
    return StackOptions(folder, parts=frozenset(parts))


@pytest.fixture(autouse=True)
def no_venue_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SIMULATED:
        monkeypatch.delenv(name, raising=False)


async def test_folder_of_the_simulator_stays_its_own_when_a_start_leaves_it_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = EmbeddedStack(options(tmp_path))
    stack.data_dir.create()
    env_file.write_env_file(stack.data_dir.env_file, SIMULATED)
    for name in SIMULATED:
        monkeypatch.setenv(name, "https://clob.polymarket.com")
    async with stack:
        assert SIMULATED.items() <= env_file.read_env_file(stack.data_dir.env_file).items()
        # Its programs read that file, and the environment must not win over it.
        assert not SIMULATED.keys() & stack._program_environment().keys()


async def test_folder_that_never_had_a_simulator_names_no_hosts(tmp_path: Path) -> None:
    async with EmbeddedStack(options(tmp_path)) as stack:
        assert not SIMULATED.keys() & env_file.read_env_file(stack.data_dir.env_file).keys()


@pytest.mark.parametrize("name", sorted(simulator_urls("")))
async def test_hosts_that_a_stack_with_a_simulator_would_not_use_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "https://clob.polymarket.com")
    with pytest.raises(VenueContradicted, match=name):
        async with EmbeddedStack(options(tmp_path, Part.SIMULATOR)):
            pass
    async with EmbeddedStack(options(tmp_path)):
        pass  # without the simulator they are what it trades at


@pytest.mark.parametrize(
    "lines",
    [
        {"HOLDFAST_DATABASE_URL": "postgresql://h:p@127.0.0.1:9/holdfast", "HOLDFAST_API_PORT": "8080"},
        {"HOLDFAST_POLYMARKET_CLOB_URL": "https://clob.polymarket.com"},
    ],
    ids=["it ran without a simulator", "it names the hosts itself"],
)
async def test_folder_of_another_venue_gets_no_simulator(tmp_path: Path, lines: dict[str, str]) -> None:
    stack = EmbeddedStack(options(tmp_path, Part.SIMULATOR))
    stack.data_dir.create()
    env_file.write_env_file(stack.data_dir.env_file, lines)
    before = stack.data_dir.env_file.read_text()
    with pytest.raises(VenueContradicted, match="real venue"):
        await stack.start()
    assert stack.data_dir.env_file.read_text() == before
    async with EmbeddedStack(options(tmp_path)):
        pass


async def test_folder_whose_stores_alone_ran_may_get_a_simulator(tmp_path: Path) -> None:
    stores = {"HOLDFAST_DATABASE_URL": "postgresql://h:p@127.0.0.1:9/holdfast"}
    stack = EmbeddedStack(options(tmp_path, Part.SIMULATOR))
    stack.data_dir.create()
    env_file.write_env_file(stack.data_dir.env_file, stores)
    stack._check_venue()


@pytest.mark.parametrize("simulated", [True, False])
def test_first_start_after_a_restore_runs_the_simulator_only_where_it_is_the_venue(
    tmp_path: Path, simulated: bool
) -> None:
    data = DataDir(tmp_path)
    env_file.write_env_file(data.env_file, SIMULATED if simulated else {"HOLDFAST_API_PORT": "1"})
    bookkeepers, all_of_them = starts_after(data)
    assert ("--part simulator" in bookkeepers) is simulated
    assert ("--part worker-core-1" in all_of_them) is not simulated
    assert "worker-core" not in bookkeepers
