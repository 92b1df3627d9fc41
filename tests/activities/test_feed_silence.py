"""Silent tokens are compared with their books; only one that no frame told of gets a new socket."""

import asyncio

import pytest

from domain.ids import TokenId
from tests.activities.feed_floor import FeedFloor
from tests.domain.builders import TOKEN

STOP = {"type": "stop_loss", "price": "0.40"}
OTHER = TokenId("other")


@pytest.fixture
def floor():
    floor = FeedFloor()
    floor.watch(STOP)
    floor.watch(STOP, rule="rul_2", token=OTHER)
    floor.books_at = {TOKEN: ("0.50", "0.52"), OTHER: ("0.50", "0.52")}
    return floor


async def compared(floor):
    """Lets what was silent be compared, and that be over: the next comparison has begun."""
    for _ in range(2):
        floor.clock.pass_s(0.1)
        await floor.next_read()


async def test_book_that_no_frame_told_of_moves_its_token_to_a_new_socket(floor):
    async with floor.running(silence_s=0.02):
        floor.books_at[TOKEN] = ("0.55", "0.57")
        await compared(floor)
    assert floor.resubscribed == [[TOKEN]]


async def test_quiet_token_keeps_its_socket(floor):
    async with floor.running(silence_s=0.02):
        await compared(floor)
    assert floor.resubscribed == []


async def test_token_without_any_book_keeps_its_socket(floor):
    del floor.books_at[TOKEN]
    async with floor.running(silence_s=0.02):
        await compared(floor)
    assert floor.resubscribed == []


async def test_frame_that_came_during_the_read_shows_that_the_socket_lives(floor):
    async with floor.running(silence_s=0.02):
        floor.held[TOKEN] = asyncio.Event()
        floor.clock.pass_s(0.1)
        await floor.next_read()
        floor.clock.pass_s(0.1)
        await floor.quoted("0.51", "0.53")
        await floor.until(lambda: len(floor.entries) > 2)
        floor.books_at[TOKEN] = ("0.51", "0.53")
        floor.held.pop(TOKEN).set()
        await compared(floor)
    assert floor.resubscribed == []
