"""Which market sockets of the exchange follow a token: whoever changes a book wants feeds that see it."""

from collections.abc import Iterable

from bench.waiting import until
from simulator.client import SimulatorAdmin


async def followers(admin: SimulatorAdmin, token_id: str) -> int:
    """Return how many market sockets follow a token: one of each feed."""
    market = (await admin.open_sockets()).get("market")
    sockets = market if isinstance(market, list) else []
    return sum(1 for socket in sockets if isinstance(socket, dict) and token_id in str(socket["token_ids"]))


async def await_followed(admin: SimulatorAdmin, token_ids: Iterable[str], feeds: int = 1) -> None:
    """Wait until so many feeds follow each of these tokens.

    Raises:
        NeverCame: They never did.
    """
    for token_id in token_ids:
        await until(
            lambda token=token_id: followers(admin, token),
            lambda count: count >= feeds,
            "the feeds on the token",
        )
