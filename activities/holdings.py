"""The comparison of the ledger with the venue's own balances: what changed outside is booked and told."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

import structlog
from temporalio import activity

from activities.heartbeats import beating
from activities.ingest import Ingest
from activities.wallets import venue_fills, venue_shares
from domain.errors import CredentialsMissing, VenueError
from domain.ids import MarketId, TokenId
from domain.messages import Holding
from domain.money import plain
from domain.orders import Mode
from domain.outside import (
    ComparedHoldings,
    CompareHoldings,
    Comparison,
    HoldingsPlace,
    HoldingsPlaces,
    Judgement,
    Sighting,
    Verdict,
    adjustment_price,
    judge,
    of_all_wallets,
    turn,
)
from domain.ports import Clock, HeldToken, Trading, Venues
from domain.positions import PositionKey
from domain.quotes import PriceSource, price_rules_of, source_price
from storage.repositories.holdings import Holdings
from storage.repositories.ledger import Ledger
from storage.repositories.wallets import Wallets

log = structlog.get_logger()

# Each token costs two requests for each wallet; the venue limits refreshes to 50 in ten seconds.
TOKENS_IN_ONE_PASS = 60
AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class _Token:
    """A token to compare, with the venue's average entry where its index tells one."""

    token_id: TokenId
    market_id: MarketId
    venue_average: Decimal | None


@dataclass(frozen=True, slots=True)
class _Desk:
    """A place with the sessions of this pass."""

    place: HoldingsPlace
    sessions: Sequence[Trading]
    sees_all_wallets: bool

    def key(self, token_id: TokenId) -> PositionKey:
        place = self.place
        return PositionKey(account_id=place.account_id, venue=place.venue, mode=Mode.LIVE, token_id=token_id)


class HoldingsActivities:
    """Compares holdings, account by account. Paper holdings are the ledger's own, nobody else moves them."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        holdings: Holdings,
        wallets: Wallets,
        ingest: Ingest,
        venues: Venues,
        clock: Clock,
        apart: timedelta,
        tokens_in_one_pass: int = TOKENS_IN_ONE_PASS,
    ) -> None:
        """Take the ports, and how far apart two comparisons must show a difference."""
        self._ledger = ledger
        self._holdings = holdings
        self._wallets = wallets
        self._ingest = ingest
        self._venues = venues
        self._clock = clock
        self._apart = apart
        self._limit = tokens_in_one_pass

    @activity.defn
    @beating()
    async def holdings_places(self) -> HoldingsPlaces:
        """Return the accounts and venues to compare."""
        return HoldingsPlaces(places=tuple(await self._holdings.places()))

    @activity.defn
    @beating()
    async def compare_holdings(self, request: CompareHoldings) -> ComparedHoldings:
        """Compare one account's holdings at a venue; book the differences that count.

        Raises:
            StorageUnavailable: Postgres cannot be reached now.
        """
        place = request.place
        try:
            sessions = await self._venues.sessions(place.account_id, place.venue, Mode.LIVE)
        except (CredentialsMissing, VenueError) as error:
            return _skipped(request, error.code)
        wallets = await self._wallets.all_of(place.account_id, place.venue)
        desk = _Desk(place, sessions, len(sessions) >= len(wallets))
        tokens = await self._tokens(desk)
        sighted = {sighting.token_id: sighting for sighting in request.sightings}
        chosen = turn([*tokens], [*sighted], request.after, self._limit)
        places = asyncio.Semaphore(AT_ONCE)

        async def compare(token_id: TokenId) -> Judgement | None:
            async with places:
                return await self._compare(desk, tokens[token_id], sighted.get(token_id))

        judged = await asyncio.gather(*(compare(token_id) for token_id in chosen))
        left = {token_id: sighting for token_id, sighting in sighted.items() if token_id in tokens}
        for token_id, judgement in zip(chosen, judged, strict=True):
            if judgement is not None:
                left.pop(token_id, None)
                if judgement.sighting is not None:
                    left[token_id] = judgement.sighting
        done = [judgement for judgement in judged if judgement is not None]
        return ComparedHoldings(
            place=place,
            sightings=tuple(left[token_id] for token_id in sorted(left)),
            after=chosen[-1] if len(chosen) < len(tokens) else None,
            compared=len(done),
            adjusted=sum(judgement.verdict is Verdict.COUNTS for judgement in done),
        )

    async def _tokens(self, desk: _Desk) -> dict[TokenId, _Token]:
        """Return what the ledger holds and what the venue's index lists beside it."""
        listed = {held.token_id: held for held in await _listed(desk)}
        tokens = {
            token_id: _Token(token_id, held.market_id, held.average_entry)
            for token_id, held in listed.items()
        }
        for known in await self._holdings.open_tokens(desk.place, Mode.LIVE):
            held = listed.get(known.token_id)
            average = held.average_entry if held is not None else None
            tokens[known.token_id] = _Token(known.token_id, known.market_id, average)
        return tokens

    async def _compare(self, desk: _Desk, token: _Token, known: Sighting | None) -> Judgement | None:
        """Judge one token, and adjust it when its difference counts; None when the venue cannot be asked."""
        try:
            seen = await self._look(desk, token.token_id)
            if not seen.has_unsettled and seen.venue_shares != seen.ledger.shares:
                # The venue's trades may explain it: they are booked first.
                await self._book_trades(desk, token.market_id)
                seen = await self._look(desk, token.token_id)
            judgement = judge(seen, known, self._apart)
            if judgement.verdict is Verdict.COUNTS:
                await self._adjust(desk, token, seen)
        except (VenueError, CredentialsMissing) as error:
            log.warning(
                "holding.not_compared",
                account_id=desk.place.account_id,
                token_id=token.token_id,
                code=error.code,
            )
            return None
        return judgement

    async def _look(self, desk: _Desk, token_id: TokenId) -> Comparison:
        """Read the venue first and the ledger after it.

        An order that was sent before the venue was read is then unsettled, unconfirmed or booked; one that is
        sent later changes the ledger before anything is adjusted, which `Ledger.adjust` notices.
        """
        seen, place = await venue_shares(desk.sessions, token_id), desk.place
        unsettled = await self._ledger.unsettled_orders(place.account_id, place.venue, Mode.LIVE)
        return Comparison(
            token_id=token_id,
            ledger=await self._ledger.holding(desk.key(token_id)),
            venue_shares=seen.shares,
            has_unsettled=any(ref.token_id == token_id for ref in unsettled),
            sees_all_wallets=desk.sees_all_wallets and seen.complete,
            at=self._clock.now(),
        )

    async def _book_trades(self, desk: _Desk, market_id: MarketId) -> None:
        fills = await venue_fills(desk.sessions, market_id)
        place = desk.place
        await self._ingest.book(place.account_id, place.venue, Mode.LIVE, fills=fills)

    async def _adjust(self, desk: _Desk, token: _Token, seen: Comparison) -> None:
        price = await self._price(desk.place.venue, token, seen.ledger, seen.venue_shares)
        booked = await self._ledger.adjust(
            desk.key(token.token_id),
            token.market_id,
            ledger_shares=seen.ledger.shares,
            venue_shares=seen.venue_shares,
            price=price,
            at=seen.at,
            adjustment_key=f"outside/{token.token_id}/{seen.ledger.version}",
        )
        if booked.new_entries:
            log.warning(
                "position.adjusted",
                account_id=desk.place.account_id,
                token_id=token.token_id,
                ledger_shares=plain(seen.ledger.shares),
                venue_shares=plain(seen.venue_shares),
            )
        await self._ingest.tell(booked)

    async def _price(self, venue: str, token: _Token, ledger: Holding, venue_shares: Decimal) -> Decimal:
        data = self._venues.market_data(venue)
        instrument = await data.instrument(token.token_id)
        shown = None
        if not instrument.state.is_final:
            quote = (await data.book(token.token_id)).quote
            seen = source_price(quote, PriceSource.DISPLAY, price_rules_of(venue))
            shown = seen.price if seen is not None else quote.last
        return adjustment_price(
            grows=venue_shares > ledger.shares,
            payout=instrument.payout,
            venue_average=token.venue_average,
            ledger_average=ledger.average_entry,
            shown=shown,
        )


async def _listed(desk: _Desk) -> list[HeldToken]:
    """Return what the venue's index lists for all wallets together; nothing while it cannot be asked."""
    try:
        return of_all_wallets([held for s in desk.sessions for held in await s.held_tokens()])
    except VenueError as error:
        log.warning("holdings.index_away", account_id=desk.place.account_id, code=error.code)
        return []


def _skipped(request: CompareHoldings, code: str) -> ComparedHoldings:
    return ComparedHoldings(
        place=request.place, sightings=request.sightings, after=request.after, skipped=code
    )
