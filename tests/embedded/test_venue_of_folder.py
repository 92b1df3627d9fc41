"""Which venue a data folder belongs to: the simulator's books are never compared with another venue's."""

from pathlib import Path

import pytest

from runtime.embedded import env_file
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
