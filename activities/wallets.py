"""What the venue says of an account over all of its wallets: one that it refuses hides no other."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Generic, TypeVar

import structlog

from domain.errors import VenueBlocked
from domain.fills import Fill
from domain.ids import MarketId, TokenId
from domain.money import EXACT, Shares
from domain.ports import Trading

log = structlog.get_logger()

_Wallet = TypeVar("_Wallet")
_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class Asked(Generic[_Wallet, _Answer]):
    """What the wallets answered, in their order; `complete` is False where the venue refused one of them."""

    given: Sequence[tuple[_Wallet, _Answer]]
    complete: bool

    @property
    def answers(self) -> list[_Answer]:
        """The answers alone."""
        return [answer for _, answer in self.given]


@dataclass(frozen=True, slots=True)
class SeenShares:
    """Shares of a token by the venue; at least so many where not every wallet could be asked."""

    shares: Shares
    complete: bool


async def ask_wallets(
    wallets: Sequence[_Wallet], ask: Callable[[_Wallet], Awaitable[_Answer]]
) -> Asked[_Wallet, _Answer]:
    """Ask each wallet; those whose credentials the venue refuses are passed over while another answers.

    Asking them again does not help, a person must act. Any other failure may be over in a moment, and a part
    of the answers must not be taken for all of them until then.

    Raises:
        VenueBlocked: The venue refuses every one of them.
        VenueError: One of them cannot be asked now.
    """
    given: list[tuple[_Wallet, _Answer]] = []
    refusal: VenueBlocked | None = None
    for wallet in wallets:
        try:
            given.append((wallet, await ask(wallet)))
        except VenueBlocked as error:
            log.warning("wallet.passed_over", code=error.code, error=str(error))
            refusal = error
    if refusal is not None and not given:
        raise refusal
    return Asked(given, complete=refusal is None)


async def venue_shares(sessions: Sequence[Trading], token_id: TokenId) -> SeenShares:
    """Return the shares of a token that these wallets hold together, after the venue has looked again.

    Raises:
        VenueError: None of them can be asked, or one cannot be asked now.
    """

    async def look_again(session: Trading) -> Decimal:
        await session.refresh_holding(token_id)
        return (await session.holding(token_id)).amount

    seen = await ask_wallets(sessions, look_again)
    return SeenShares(_sum(seen.answers), seen.complete)


async def shown_holdings(sessions: Sequence[Trading], token_id: TokenId) -> list[Shares]:
    """Return what the venue shows of a token, a number for each wallet that it serves.

    Raises:
        VenueError: None of them can be asked, or one cannot be asked now.
    """
    asked = await ask_wallets(sessions, lambda session: session.holding(token_id))
    return [balance.amount for balance in asked.answers]


async def venue_fills(sessions: Sequence[Trading], market_id: MarketId) -> list[Fill]:
    """Return all fills of a market of every wallet that the venue serves.

    Raises:
        VenueError: None of them can be asked, or one cannot be asked now.
    """
    asked = await ask_wallets(sessions, lambda session: session.fills(after=None, market_id=market_id))
    return [fill for fills in asked.answers for fill in fills]


def _sum(shares: Sequence[Shares]) -> Shares:
    total = Decimal(0)
    for each in shares:
        total = EXACT.add(total, each)
    return total
