"""A rule before it is armed: how it would stand, what it would send, and what speaks against it."""

from decimal import Decimal

from api.deps import AccountContext, Services
from api.operations.outlook import (
    Market,
    exits_of,
    hindrances_now,
    market_now,
    price_answer,
    seller_of,
    signer,
)
from api.operations.rule_checks import CheckedRule, RuleFindings, immediate_errors, judge_rule
from api.problems import FieldError, Invalid
from api.schemas.explain import CautionAnswer, PreviewAnswer, RefusalAnswer, StandingAnswer
from domain.ids import OrderId
from domain.orders import WalletIdentity
from domain.rules.cautions import Prospect, cautions
from domain.rules.definition import RuleDefinition
from domain.rules.selling import wanted_shares
from domain.rules.standing import Sight, standings
from domain.rules.tape import TapeRow
from domain.rules.trace import trace
from domain.rules.wording import describe

_PREVIEW = OrderId("preview")


async def preview_rule(
    services: Services, context: AccountContext, definition: RuleDefinition
) -> PreviewAnswer:
    """Explain a rule that is not armed yet, with warnings. Changes nothing.

    Raises:
        Invalid: It could not be armed in any case: unknown token, no level, a level out of range.
        VenueError: The venue could not answer.
    """
    found = await judge_rule(services, context, definition, services.clock.now())
    checked = found.checked
    if checked is None:
        raise Invalid(found.errors)
    instrument, resolved = checked.instrument, checked.resolved
    wallet = await signer(services, context, definition.venue, instrument.token_id)
    market = await market_now(services, instrument)
    prospect = _prospect(services, context, checked, market, wallet)
    refusals = _refusals(found, checked, market, wallet)
    lines = zip(prospect.standings, prospect.exits, strict=True)
    return PreviewAnswer(
        sentence=describe(resolved),
        accepted=not refusals,
        refusals=[RefusalAnswer(field=e.field, reason=e.reason, code=e.code) for e in refusals],
        warnings=[CautionAnswer.of(caution) for caution in cautions(prospect)],
        entry_price=prospect.entry_price,
        held_shares=checked.held,
        price_source=resolved.price_source.value,
        price=price_answer(resolved, market),
        conditions=[StandingAnswer.of(standing, exit_) for standing, exit_ in lines],
        hindrances=await hindrances_now(services, context, instrument, wallet),
    )


def _prospect(
    services: Services,
    context: AccountContext,
    checked: CheckedRule,
    market: Market,
    wallet: WalletIdentity | None,
) -> Prospect:
    resolved, instrument, held = checked.resolved, checked.instrument, checked.held
    entry = checked.definition.entry_price or checked.holding.average_entry
    seller = seller_of(services, context, instrument, wallet, order_id=_PREVIEW, held=held, sold=Decimal(0))
    first = () if market.quote is None else (TapeRow(market.now.isoformat(), market.now, market.quote),)
    traced = trace(resolved, first, tick=instrument.tick)
    sight = Sight(quote=market.quote, age_ms=market.age_ms, tick=instrument.tick, now=market.now)
    return Prospect(
        resolved=resolved,
        instrument=instrument,
        quote=market.quote,
        standings=standings(resolved, sight, marks=traced.marks, runs=traced.runs),
        exits=exits_of(seller, resolved, market, entry),
        entry_price=entry,
        held_shares=held,
        wanted_shares=wanted_shares(resolved.action, held, Decimal(0)),
    )


def _refusals(
    found: RuleFindings, checked: CheckedRule, market: Market, wallet: WalletIdentity | None
) -> list[FieldError]:
    """Return why creating this very rule would be refused now; nothing when it would not."""
    refusals = list(found.refusals)
    if wallet is None:
        refusals.append(_NO_WALLET)
    if checked.definition.allow_immediate:
        return refusals
    if market.book is None:
        return [*refusals, _NO_BOOK]
    return [*refusals, *immediate_errors(checked.resolved, market.book.quote)]


_NO_WALLET = FieldError(
    "venue", "this account has no wallet with usable credentials there", "credentials_missing"
)
_NO_BOOK = FieldError(
    "token_id",
    "its book cannot be read now, so nobody knows whether it would fire at once",
    "venue_unavailable",
)
