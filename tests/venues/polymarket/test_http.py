"""What the HTTP client does by itself, seen from the other end of a real socket."""

from collections.abc import Callable
from itertools import count

import pytest

from tests.venues.recording_server import Prepared, RawRequest, recording_server
from venues.polymarket.config import PolymarketConfig
from venues.polymarket.http import HttpSession, NetworkFailure, NetworkFault


def hangs_up_once() -> Callable[[RawRequest], Prepared]:
    """Answers, closes the kept connection when the next request has come, answers again."""
    turn = count(1)
    return lambda _: Prepared(hang_up=next(turn) == 2)


async def test_post_is_not_repeated_when_a_kept_connection_breaks() -> None:
    async with (
        recording_server(hangs_up_once()) as server,
        HttpSession(server.url, PolymarketConfig()) as session,
    ):
        await session.request("POST", "/order", body=b"1")
        with pytest.raises(NetworkFailure) as broken:
            await session.request("POST", "/order", body=b"2")
    assert broken.value.fault is NetworkFault.BROKEN
    assert [(request.body, server.connections) for request in server.requests] == [(b"1", 1), (b"2", 1)]


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_what_may_be_repeated_freely_is_sent_once_more(method: str) -> None:
    async with (
        recording_server(hangs_up_once()) as server,
        HttpSession(server.url, PolymarketConfig()) as session,
    ):
        await session.request(method, "/order")
        assert (await session.request(method, "/order")).status == 200
    assert [request.method for request in server.requests] == [method] * 3
    assert server.connections == 2
