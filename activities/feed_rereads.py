"""Reads that frames call for, beside the frames: a slow answer must not hold up other tokens' quotes."""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from activities.feed_board import QuoteBoard
from activities.feed_books import BookReader
from activities.feed_delivery import Delivery
from activities.feed_gaps import Blind, GapLog
from domain.ids import TokenId
from domain.ports import Clock

AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Loss:
    """Frames that were missed: of which tokens (None for all of them), and since when."""

    blind: Blind
    tokens: Collection[TokenId] | None = None


@dataclass(slots=True)
class _Wanted:
    """What is to be read of one token; without a token the books of all that was lost."""

    instrument: bool = False
    losses: list[Loss] = field(default_factory=list[Loss])


class Rereads:
    """One read at a time per token; what is asked for during a read is read once more after it."""

    def __init__(
        self, board: QuoteBoard, books: BookReader, *, delivery: Delivery, gaps: GapLog, clock: Clock
    ) -> None:
        """Take what reads and where the news goes."""
        self._board = board
        self._books = books
        self._delivery = delivery
        self._gaps = gaps
        self._clock = clock
        self._wanted: dict[TokenId | None, _Wanted] = {}
        self._asked: asyncio.Queue[TokenId | None] = asyncio.Queue()
        self._reading: set[TokenId | None] = set()
        self._places = asyncio.Semaphore(AT_ONCE)

    def ask_token(self, token_id: TokenId, *, instrument: bool) -> None:
        """Ask for a token's book, and for its instrument first when its terms changed."""
        wanted = self._ask(token_id)
        wanted.instrument = wanted.instrument or instrument

    def ask_lost(self, loss: Loss) -> None:
        """Ask for the books of tokens whose frames were missed. The gap ends when they were read."""
        self._ask(None).losses.append(loss)

    async def run(self) -> None:
        """Read what is asked for, until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                subject = await self._asked.get()
                if subject not in self._reading:
                    self._reading.add(subject)
                    group.create_task(self._read_wanted(subject))

    def _ask(self, subject: TokenId | None) -> _Wanted:
        if subject not in self._wanted:
            self._wanted[subject] = _Wanted()
            self._asked.put_nowait(subject)
        return self._wanted[subject]

    async def _read_wanted(self, subject: TokenId | None) -> None:
        try:
            while subject in self._wanted:
                async with self._places:
                    await self._read(subject, self._wanted.pop(subject))
        finally:
            self._reading.discard(subject)

    async def _read(self, subject: TokenId | None, wanted: _Wanted) -> None:
        if subject is None:
            await self._read_lost(wanted.losses)
            return
        if wanted.instrument:
            await self._delivery.market_changed(subject, self._board.rules_on(subject))
        await self._books.read([subject])

    async def _read_lost(self, losses: Sequence[Loss]) -> None:
        watched = self._board.tokens()
        concerned = [
            None if loss.tokens is None else set(watched).intersection(loss.tokens) for loss in losses
        ]
        everything = None in concerned
        await self._books.read(
            [t for t in watched if everything or any(t in lost for lost in concerned if lost)]
        )
        now = self._clock.now()
        for loss, lost in zip(losses, concerned, strict=True):
            if lost is None or len(lost) == len(watched):
                self._gaps.end(loss.blind, now)
            elif lost:
                self._gaps.end(loss.blind, now, tokens=sorted(lost))
