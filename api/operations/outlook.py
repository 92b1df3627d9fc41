"""What explanations and previews share: the market as it stands now, and what an exit would make of it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

import structlog

from api.deps import AccountContext, Services
from api.operations.breaker_checks import open_breakers
from api.schemas.explain import PriceAnswer
from api.schemas.rules import QuoteAnswer
from domain.errors import CredentialsMissing, VenueError
from domain.ids import OrderId, TokenId, WalletId
from domain.money import Shares
from domain.orders import Instrument, WalletIdentity
from domain.ports import Book
from domain.quotes import Level, Quote
from domain.rules.exit_preview import ExitPreview, preview_exit
from domain.rules.resolved import ResolvedRule
from domain.rules.selling import Seller
from domain.rules.standing import seen_price
from domain.rules.tape import TapeRow
from domain.rules.trace import unix_ms
from domain.rules.wording import hindrances
from storage.repositories.recorded_tape import RecordedTape

_MILLISECOND = timedelta(milliseconds=1)
_NOBODY = WalletIdentity(wallet_id=WalletId(""), signer="", funder="", signature_type=0, chain_id=0)
"""Stands for the wallet in an order that is looked at and never signed."""

_log = structlog.stdlib.get_logger("api")


@dataclass(frozen=True, slots=True)
class Market:
    """What a rule is judged by now: the venue's book where it could be read, the tape's end beside."""

    instrument: Instrument
    book: Book | None
    taped: TapeRow | None
    now: datetime

    @property
    def quote(self) -> Quote | None:
        """The book's quote, with the tape's last trade where the book knows none; else the tape's."""
        if self.book is None:
            return None if self.taped is None else self.taped.quote
        quote = self.book.quote
        if quote.last is None and self.taped is not None:
            return replace(quote, last=self.taped.quote.last)
        return quote

    @property
    def bids(self) -> Sequence[Level]:
        """The book's bids, best first."""
        return self.book.bids if self.book is not None else ()

    @property
    def age_ms(self) -> int:
        """How old the quote is."""
        if self.book is not None or self.taped is None:
            return 0
        return max((self.now - self.taped.at) // _MILLISECOND, 0)


async def market_now(services: Services, instrument: Instrument) -> Market:
    """Read what stands now; a book that cannot be read leaves the tape's end."""
    now = services.clock.now()
    taped = await RecordedTape(services.database).standing_at(instrument.venue, instrument.token_id, now)
    try:
        book = await services.venues.market_data(instrument.venue).book(instrument.token_id)
    except VenueError as error:
        _log.warning("explain.book_unreadable", code=error.code)
        book = None
    return Market(instrument, book, taped, now)


async def signer(
    services: Services, context: AccountContext, venue: str, token_id: TokenId
) -> WalletIdentity | None:
    """Return the wallet that would sign an exit of a token; None where none has usable credentials."""
    try:
        try:
            return await services.venues.wallet(context.account_id, venue, context.mode, holding=token_id)
        except VenueError as error:  # it does not say which of several wallets holds the shares
            _log.warning("explain.holder_unknown", code=error.code)
            return await services.venues.wallet(context.account_id, venue, context.mode)
    except CredentialsMissing:
        return None


def seller_of(
    services: Services,
    context: AccountContext,
    instrument: Instrument,
    wallet: WalletIdentity | None,
    *,
    order_id: OrderId,
    held: Shares,
    sold: Shares,
) -> Seller:
    """Return whose exit is looked at; without a wallet it is nobody's, and all else is as it would be."""
    return Seller(
        order_id=order_id,
        account_id=context.account_id,
        venue=instrument.venue,
        mode=context.mode,
        wallet=wallet or _NOBODY,
        instrument=instrument,
        held_shares=held,
        sold_shares=sold,
        slippage_points=Decimal(services.tuning.slippage_points),
    )


def exits_of(
    seller: Seller, resolved: ResolvedRule, market: Market, entry_price: Decimal | None
) -> list[ExitPreview]:
    """Return what each condition would send if it fired now."""
    seen = seen_price(resolved, market.quote)
    return [
        preview_exit(
            seller,
            resolved,
            index,
            bids=market.bids,
            reference_price=None if seen is None else seen.price,
            entry_price=entry_price,
            timestamp_ms=unix_ms(market.now),
        )
        for index in range(len(resolved.conditions))
    ]


def price_answer(resolved: ResolvedRule, market: Market) -> PriceAnswer:
    """Return the price that a rule looks at, with where it comes from."""
    seen, quote, taped = seen_price(resolved, market.quote), market.quote, market.taped
    return PriceAnswer(
        price=None if seen is None else seen.price,
        quote=None if quote is None else QuoteAnswer.of(quote),
        age_ms=None if quote is None else market.age_ms,
        from_book=market.book is not None,
        feed_quote=None if taped is None else QuoteAnswer.of(taped.quote),
        feed_changed_at=None if taped is None else taped.at,
    )


async def hindrances_now(
    services: Services, context: AccountContext, instrument: Instrument, wallet: WalletIdentity | None
) -> list[str]:
    """Return what keeps an exit from being sent though its rule fires, one sentence each."""
    opened = await open_breakers(services, context, instrument.venue)
    return hindrances(
        context.account.kill_switch,
        await services.switches.kill_switch(),
        instrument.state,
        can_sign=wallet is not None,
        breaker_open=any(each.is_venues for each in opened),
    )
