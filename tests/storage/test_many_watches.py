"""Many watches at once: read in slices, so that whoever reads them goes on beating."""

import asyncio
from contextlib import asynccontextmanager

from pydantic import TypeAdapter

from domain.messages import WatchRow
from storage.repositories.watches import ROWS_IN_ONE_GO, Watches
from tests.activities.feed_floor import FeedFloor

SLICES = 4
STOP = {"type": "stop_loss", "price": "0.40"}


class ManyWatches:
    """A database that answers every question with many rows of one watch."""

    def __init__(self):
        row = TypeAdapter(WatchRow).dump_python(FeedFloor().watch(STOP), mode="json")
        self.rows = [{**row, "edge": "7"}] * (SLICES * ROWS_IN_ONE_GO)
        self.hot = self

    @asynccontextmanager
    async def connection(self):
        yield self

    async def fetch(self, *_):
        return self.rows


async def test_many_watches_are_read_in_slices():
    turns, reading = 0, asyncio.create_task(Watches(ManyWatches()).snapshot("polymarket"))
    while not reading.done():
        turns += 1
        await asyncio.sleep(0)
    rows, edge = reading.result()
    assert (len(rows), edge) == (SLICES * ROWS_IN_ONE_GO, 7)
    assert turns > SLICES
