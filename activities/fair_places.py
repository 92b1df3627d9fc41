"""A few places at once, given to accounts in turn."""

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager


class FairPlaces:
    """A semaphore whose free places go round the accounts that wait, one each.

    A lonely rule does not stand behind the thousand of somebody else; within an account the first to come is
    the first served. Whoever holds none takes a free place at once, and since nobody may hold them all there
    is one, as long as the others are not many.
    """

    def __init__(self, places: int, one_accounts: int) -> None:
        """Begin with all places free; `one_accounts` is how many of them an account may hold."""
        self._free = places
        self._one_accounts = one_accounts
        self._held: Counter[str] = Counter()
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()
        self._granting: asyncio.Handle | None = None

    async def take(self, account_id: str) -> None:
        """Wait for this account's turn, and hold a place until `give`."""
        if self._free and not self._held[account_id] and account_id not in self._waiting:
            self._hold(account_id)
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(account_id, deque()).append(turn)
        self._grant_soon()
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # the place had come, and nobody else will give it back
                self.give(account_id)
            raise

    @asynccontextmanager
    async def place(self, account_id: str) -> AsyncGenerator[None]:
        """Hold a place for as long as the block runs."""
        await self.take(account_id)
        try:
            yield
        finally:
            self.give(account_id)

    def give(self, account_id: str) -> None:
        """Free a place that this account held."""
        self._free += 1
        self._held[account_id] -= 1
        if not self._held[account_id]:
            del self._held[account_id]
        self._grant_soon()

    def _hold(self, account_id: str) -> None:
        self._free -= 1
        self._held[account_id] += 1

    def _grant_soon(self) -> None:
        """Grant once all that came in this turn of the loop have queued: who came first has no head start."""
        if self._waiting and self._granting is None:
            self._granting = asyncio.get_running_loop().call_soon(self._grant)

    def _grant(self) -> None:
        self._granting = None
        while self._free and (account_id := self._next()) is not None:
            turns = self._waiting.pop(account_id)
            turn = turns.popleft()
            if turns:
                self._waiting[account_id] = turns
            if not turn.done():
                turn.set_result(None)
                self._hold(account_id)

    def _next(self) -> str | None:
        """Return the account whose turn it is; one that holds its part already keeps its turn."""
        return next((one for one in self._waiting if self._held[one] < self._one_accounts), None)
