"""Holdings beside their protection: the report of adjustments, and proposals for what nothing protects."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import structlog

from api.deps import AccountContext, Paging, Services
from api.operations.reads import clean
from api.schemas.common import Page
from api.schemas.holdings import AdjustmentAnswer, ProposalAnswer
from domain.errors import CredentialsMissing, UnknownToken
from domain.ids import MarketId, TokenId, derived_id
from domain.orders import Mode
from domain.outside import Origin, of_all_wallets
from domain.ports import MarketData
from domain.positions import Position, PositionKey
from domain.protection import Exposed, Protection, propose
from domain.quotes import Quote, price_rules_of
from domain.rules.levels import describe, resolve
from storage.repositories.holdings import Holdings
from storage.repositories.positions import PositionFilter

INDEX_VENUES = ("polymarket",)
_BATCH = 200
_AT_ONCE = 8
_log = structlog.stdlib.get_logger("api")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bare:
    """A holding that no open rule protects."""

    key: PositionKey
    market_id: MarketId
    shares: Decimal
    average_entry: Decimal | None
    origin: Origin


async def adjustments(
    services: Services, context: AccountContext, page: Paging, *, token_id: str | None = None
) -> Page[AdjustmentAnswer]:
    """Return adjustments of the account's positions, newest first."""
    found = await Holdings(services.database).adjustments(
        context.account_id,
        token_id=None if token_id is None else TokenId(clean(token_id)),
        limit=page.limit,
        offset=page.offset,
    )
    items = [AdjustmentAnswer.of(adjustment) for adjustment in found.items]
    return Page(items=items, total=found.total, limit=page.limit, offset=page.offset)


async def proposals(
    services: Services, context: AccountContext, *, stop_percent: Decimal
) -> list[ProposalAnswer]:
    """Return a proposed rule for each holding in the account's mode that no open rule protects.

    Raises:
        VenueError: The venue cannot show a market or its book now.
    """
    places = asyncio.Semaphore(_AT_ONCE)

    async def one(bare: _Bare) -> ProposalAnswer:
        async with places:
            return await _proposal(services, bare, stop_percent)

    return list(await asyncio.gather(*(one(bare) for bare in await _bare(services, context))))


async def _bare(services: Services, context: AccountContext) -> list[_Bare]:
    held = await _open_positions(services, context)
    origins = await Holdings(services.database).origins(context.account_id, held)
    known = {position.key for position in held}
    bare = [
        _Bare(
            key=position.key,
            market_id=position.market_id,
            shares=position.shares,
            average_entry=position.average_entry,
            origin=origins[position.key],
        )
        for position in held
    ]
    if context.mode is Mode.LIVE:
        bare += [found for found in await _listed(services, context) if found.key not in known]
    return [each for each in bare if not await services.rules.open_rules_on(each.key)]


async def _open_positions(services: Services, context: AccountContext) -> list[Position]:
    wanted, held = PositionFilter(mode=context.mode), list[Position]()
    while True:
        page = await services.positions.page(context.account_id, wanted, limit=_BATCH, offset=len(held))
        held += page.items
        if len(page.items) < _BATCH:
            return held


async def _listed(services: Services, context: AccountContext) -> Sequence[_Bare]:
    """Return what the venues' own index lists, which the next comparison takes into the ledger.

    A token that several wallets hold is one holding. An account without credentials has nothing there that
    could be seen.

    Raises:
        VenueError: The index cannot be read now; to leave it out would look as if nothing were bare.
    """
    found: list[_Bare] = []
    for venue in INDEX_VENUES:
        try:
            sessions = await services.venues.sessions(context.account_id, venue, context.mode)
            held = [token for session in sessions for token in await session.held_tokens()]
        except CredentialsMissing as error:
            _log.warning("holdings.index_not_asked", account_id=context.account_id, code=error.code)
            continue
        found += [
            _Bare(
                key=PositionKey(
                    account_id=context.account_id, venue=venue, mode=context.mode, token_id=token.token_id
                ),
                market_id=token.market_id,
                shares=token.shares,
                average_entry=token.average_entry,
                origin=Origin.FOUND,
            )
            for token in of_all_wallets(held)
        ]
    return found


async def _proposal(services: Services, bare: _Bare, stop_percent: Decimal) -> ProposalAnswer:
    key = bare.key
    data = services.venues.market_data(key.venue)
    instrument = await data.instrument(key.token_id)
    rules = price_rules_of(key.venue)
    exposed = Exposed(
        instrument=instrument,
        shares=bare.shares,
        average_entry=bare.average_entry,
        quote=await _quote(data, key.token_id),
        rules=rules,
        stop_percent=stop_percent,
    )
    found = propose(exposed)
    protection = found if isinstance(found, Protection) else None
    sentence = ""
    if protection is not None:
        resolved = resolve(
            protection.definition,
            bare.average_entry,
            armed_at=services.clock.now(),
            opened_at=None,
            market_end=instrument.ends_at,
            rules=rules,
        )
        sentence = describe(resolved)
    return ProposalAnswer(
        venue=key.venue,
        mode=key.mode,
        market_id=bare.market_id,
        token_id=key.token_id,
        question=instrument.question,
        outcome=instrument.outcome,
        origin=bare.origin,
        shares=bare.shares,
        average_entry=bare.average_entry,
        price=protection.price if protection else None,
        level=protection.level if protection else None,
        sentence=sentence,
        proceeds_usd=protection.proceeds_usd if protection else None,
        rule=protection.definition if protection else None,
        idempotency_key=await _key(services, bare) if protection else None,
        skipped=None if isinstance(found, Protection) else found,
    )


async def _quote(data: MarketData, token_id: TokenId) -> Quote:
    """Return what the venue shows; nothing where it keeps no book, as for a market at its end."""
    try:
        return (await data.book(token_id)).quote
    except UnknownToken:
        return Quote(None, None, None)


async def _key(services: Services, bare: _Bare) -> str:
    """Return a key that stays until a rule on the position stands, and is another one after it has ended."""
    key = bare.key
    earlier = await Holdings(services.database).rules_ever_on(key)
    return derived_id("imp", key.account_id, key.venue, key.mode.value, key.token_id, str(earlier))
