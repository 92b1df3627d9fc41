"""How programs of `bench` end: what the product owes and does not bring is a verdict, all else is none."""

import asyncio
from collections.abc import Callable, Coroutine

import pytest
from rich.console import Console

from bench.program import EXIT_FAILED, carry_through, prefixed
from bench.waiting import BenchFailed, missed, until


async def never() -> object:
    async def read() -> bool:
        return False

    return await until(read, bool, "the exit", limit_s=0, pause_s=0)


async def fails() -> object:
    raise KeyError("nobody expected this")


async def not_set_up() -> object:
    raise BenchFailed("no market")


@pytest.mark.parametrize("work", [never, fails, not_set_up])
def test_run_that_breaks_off_is_no_verdict(work: Callable[[], Coroutine[object, object, object]]) -> None:
    with pytest.raises(SystemExit) as ended:
        carry_through(work(), "a run", Console(quiet=True))
    assert ended.value.code == EXIT_FAILED


def test_unexpected_failure_shows_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        carry_through(fails(), "a run", Console(quiet=True))
    assert "nobody expected this" in capsys.readouterr().err


async def test_what_the_product_owes_and_does_not_bring_becomes_words() -> None:
    (words,) = await missed(never())
    assert words.startswith("the exit did not come")
    assert await missed(asyncio.sleep(0)) == ()


async def test_what_could_not_be_set_up_stays_a_failure() -> None:
    with pytest.raises(BenchFailed):
        await missed(not_set_up())


def test_prefix_goes_before_every_step() -> None:
    told: list[str] = []
    prefixed(told.append, "round 1: ")("positions")
    assert told == ["round 1: positions"]
