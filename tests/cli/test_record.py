"""Recording a market's socket to a tape that replay reads."""

import asyncio
import io
import signal
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from cli.ending import Ending
from cli.recording import Recording, recorded, tape_line
from domain.errors import UnknownToken
from domain.ids import TokenId
from domain.quotes import Quote
from domain.rules.tape import read_rows
from simulator.app import serve
from simulator.client import SimulatorAdmin
from venues.polymarket.config import PolymarketConfig
from venues.polymarket.market_data import PolymarketMarketData

NOW = datetime(2026, 11, 21, 12, 0, 0, 123456, tzinfo=UTC)


class Lines(io.StringIO):
    """A file that says when a line was written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = asyncio.Event()

    def flush(self) -> None:
        self.written.set()

    async def until(self, rows: int) -> None:
        async with asyncio.timeout(20):
            while len(self.getvalue().splitlines()) < rows:
                self.written.clear()
                await self.written.wait()


async def test_changes_of_the_live_book_become_rows_that_replay_reads() -> None:
    async with serve(None) as running, SimulatorAdmin(running.admin_url) as admin:
        token = (await admin.create_market("Will it rain?")).token_ids[0]
        await admin.set_book(token, [("0.40", "100")], [("0.42", "100")])
        config = PolymarketConfig(
            clob_url=running.url,
            gamma_url=f"{running.url}/gamma",
            data_url=f"{running.url}/data-api",
            ws_url=running.ws_url,
        )
        data = PolymarketMarketData(config)
        lines = Lines()
        recording = asyncio.create_task(Recording(TokenId(token), lines).run(data))
        try:
            await lines.until(1)
            await admin.set_book(token, [("0.45", "100")], [("0.47", "100")])
            await lines.until(2)
        finally:
            recording.cancel()
            await asyncio.gather(recording, return_exceptions=True)
            await data.aclose()

    rows = list(read_rows(lines.getvalue().splitlines()))
    assert (rows[0].quote.bid, rows[0].quote.ask) == (Decimal("0.4"), Decimal("0.42"))
    assert (rows[-1].quote.bid, rows[-1].quote.ask) == (Decimal("0.45"), Decimal("0.47"))


async def test_token_that_the_venue_does_not_know_is_refused() -> None:
    async with serve(None) as running:
        config = PolymarketConfig(clob_url=running.url, gamma_url=f"{running.url}/gamma")
        data = PolymarketMarketData(config)
        with pytest.raises(UnknownToken):
            await Recording(TokenId("404"), Lines()).run(data)
        await data.aclose()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_end_that_was_asked_for_before_a_loop_ran_ends_the_recording(number: signal.Signals) -> None:
    lines = io.StringIO()
    with Ending() as ending:
        signal.raise_signal(number)
        rows = asyncio.run(recorded("polymarket", TokenId("1"), lines, None, ending))

    assert (rows, lines.getvalue()) == (0, "")


def test_end_that_is_asked_for_while_a_loop_sleeps_wakes_it_and_the_signal_is_given_back() -> None:
    before = signal.getsignal(signal.SIGINT)

    async def asked(ending: Ending) -> None:
        waiting = asyncio.create_task(ending.asked())
        await asyncio.sleep(0)
        signal.raise_signal(signal.SIGINT)
        async with asyncio.timeout(5):
            await waiting

    with Ending() as ending:
        asyncio.run(asked(ending))

    assert signal.getsignal(signal.SIGINT) is before


def test_equal_quotes_are_one_row() -> None:
    lines = io.StringIO()
    recording = Recording(TokenId("1"), lines)
    for bid in ("0.40", "0.40", "0.41"):
        recording.write(Quote(Decimal(bid), None, None), NOW)

    assert recording.rows == 2
    assert len(lines.getvalue().splitlines()) == 2


def test_line_of_a_tape_has_text_and_milliseconds() -> None:
    line = tape_line(Quote(Decimal("0.40"), None, Decimal("0.410")), NOW)

    assert line == {"ts": "2026-11-21T12:00:00.123Z", "bid": "0.4", "ask": None, "last": "0.41", "size": None}
