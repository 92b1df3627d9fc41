"""What a rule must stand up to before its workflow starts: token, holding, levels, the present book.

All of it is read, nothing is written; whoever is refused here has changed nothing.
"""

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TypeVar

from activities.wallets import shown_holdings
from api.deps import AccountContext, Services
from api.problems import FieldError, Invalid, invalid
from domain.errors import CredentialsMissing, UnknownToken, UnknownVenue
from domain.ids import TokenId
from domain.messages import Holding
from domain.money import Shares
from domain.orders import Instrument, MarketState
from domain.positions import PositionKey
from domain.quotes import Quote, price_rules_of
from domain.rules.definition import Confirm, RuleDefinition, SellPartial
from domain.rules.index import TriggerIndex
from domain.rules.levels import ResolvedRule, UnresolvableRule, resolve
from domain.rules.resolved import FiringTime
from domain.rules.watch import Watch

T = TypeVar("T")

_PROBE = "probe"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedRule:
    """A definition with its market filled in, and what it was judged by.

    Attributes:
        holding: what the ledger holds.
        held: shares, those included that the venue alone shows; it is asked only where the ledger holds less
            than the rule needs.
    """

    definition: RuleDefinition
    instrument: Instrument
    holding: Holding
    held: Shares
    resolved: ResolvedRule

    @property
    def found_at_venue(self) -> bool:
        """Whether the venue shows more than the ledger does."""
        return self.held > self.holding.shares


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleFindings:
    """What was found about a definition, the present book left aside.

    Attributes:
        checked: None where something is wrong with the definition itself.
        faults: what is wrong with it.
        refusals: what else keeps it from being armed now: nothing held, a moment that has passed.
        unasked: why the venue could not be asked what the account holds.
    """

    checked: CheckedRule | None
    faults: Sequence[FieldError]
    refusals: Sequence[FieldError]
    unasked: CredentialsMissing | None

    @property
    def errors(self) -> list[FieldError]:
        """Everything that was found wrong."""
        return [*self.faults, *self.refusals]


async def check_rule(
    services: Services, context: AccountContext, definition: RuleDefinition, now: datetime
) -> CheckedRule:
    """Return the definition with its market filled in, once every check has passed.

    Raises:
        Invalid: Fields and reasons of everything that was found wrong.
        CredentialsMissing: The venue cannot be asked what the account holds.
        VenueError: The venue could not answer.
    """
    # Read beside everything else, since the venue is far away; heeded only when all else is well.
    async with _beside(_present_quote(services, definition)) as present:
        found = await judge_rule(services, context, definition, now)
        if found.unasked is not None:
            raise found.unasked
        errors, checked = found.errors, found.checked
        if checked is not None and not (errors or definition.allow_immediate):
            errors += immediate_errors(checked.resolved, await present)
        if errors or checked is None:
            raise Invalid(errors)
        return checked


@asynccontextmanager
async def _beside(work: Coroutine[object, object, T]) -> AsyncGenerator[asyncio.Task[T]]:
    """Run something beside a block; what comes of it counts only where the block awaits it."""
    task = asyncio.create_task(work)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _present_quote(services: Services, definition: RuleDefinition) -> Quote:
    if definition.allow_immediate or not _is_plausible(definition.token_id):
        return Quote(None, None, None)
    book = await services.venues.market_data(definition.venue).book(TokenId(definition.token_id))
    return book.quote


async def judge_rule(
    services: Services, context: AccountContext, definition: RuleDefinition, now: datetime
) -> RuleFindings:
    """Return what is found about a definition, all but whether the present book would fire it.

    Raises:
        Invalid: The venue or the token is unknown, or the market never trades again.
        VenueError: The venue could not answer.
    """
    instrument, holding = await asyncio.gather(
        tradable_instrument(services, definition.venue, definition.token_id),
        _holding(services, context, definition),
    )
    faults, refusals = _market_errors(definition, instrument), list[FieldError]()
    named = definition.model_copy(update={"market_id": instrument.market_id})
    held, unasked = holding.shares, None
    try:
        held = await _held(services, context, named, holding)
        refusals += _holding_errors(named, held)
    except CredentialsMissing as missing:
        unasked = missing
    resolved = _resolved(named, holding, instrument, now, faults)
    if resolved is not None:
        faults += _end_passed(resolved, now)
        refusals += _moments_passed(named, resolved, now)
    checked = None
    if resolved is not None and not faults:
        checked = CheckedRule(
            definition=named, instrument=instrument, holding=holding, held=held, resolved=resolved
        )
    return RuleFindings(checked=checked, faults=faults, refusals=refusals, unasked=unasked)


async def tradable_instrument(services: Services, venue: str, token_id: str) -> Instrument:
    """Return what a token trades by.

    Raises:
        Invalid: The venue or the token is unknown, or the market never trades again.
    """
    if not _is_plausible(token_id):
        raise invalid(
            "token_id", "name the token to watch" if not token_id else _UNKNOWN_TOKEN, "unknown_token"
        )
    try:
        instrument = await services.instruments.instrument(venue, TokenId(token_id))
    except UnknownVenue:
        raise invalid("venue", "there is no venue of this name", "unknown_venue") from None
    except UnknownToken:
        raise invalid("token_id", _UNKNOWN_TOKEN, "unknown_token") from None
    if instrument.state.is_final:
        resolved = instrument.state is MarketState.RESOLVED
        code, reason = ("market_resolved", "is resolved") if resolved else ("market_closed", "is closed")
        raise invalid("token_id", f"the market of this token {reason}: nothing can be sold any more", code)
    return instrument


def _is_plausible(token_id: str) -> bool:
    return bool(token_id) and token_id.isprintable() and token_id.isascii() and " " not in token_id


_UNKNOWN_TOKEN = "the venue knows no such token"  # noqa: S105 - a sentence, not a secret


def _market_errors(definition: RuleDefinition, instrument: Instrument) -> list[FieldError]:
    if definition.market_id and definition.market_id != instrument.market_id:
        return [FieldError("market_id", "the token belongs to another market", "market_mismatch")]
    return []


async def _holding(services: Services, context: AccountContext, definition: RuleDefinition) -> Holding:
    return await services.ledger.holding(
        PositionKey(
            account_id=context.account_id,
            venue=definition.venue,
            mode=context.mode,
            token_id=TokenId(definition.token_id),
        )
    )


async def _held(
    services: Services, context: AccountContext, definition: RuleDefinition, holding: Holding
) -> Decimal:
    """Return the shares that are held; the venue is asked when the ledger alone would refuse."""
    wanted = definition.action.amount if isinstance(definition.action, SellPartial) else Decimal(0)
    held = holding.shares
    if definition.expect_position or (held > 0 and held >= wanted):
        return held
    sessions = await services.venues.sessions(context.account_id, definition.venue, context.mode)
    shown = await shown_holdings(sessions, TokenId(definition.token_id))
    return max(held, sum(shown, Decimal(0)))


def _holding_errors(definition: RuleDefinition, held: Decimal) -> list[FieldError]:
    if definition.expect_position:
        return []
    if held <= 0:
        reason = "this account holds none of the token; set expect_position when it is about to be bought"
        return [FieldError("token_id", reason, "no_holding")]
    if isinstance(definition.action, SellPartial) and definition.action.amount > held:
        return [FieldError("action.amount", "is more than the account holds", "more_than_held")]
    return []


def _resolved(
    definition: RuleDefinition,
    holding: Holding,
    instrument: Instrument,
    now: datetime,
    errors: list[FieldError],
) -> ResolvedRule | None:
    entry = definition.entry_price or holding.average_entry
    try:
        return resolve(
            definition,
            entry,
            armed_at=now,
            opened_at=holding.opened_at,
            market_end=instrument.ends_at,
            rules=price_rules_of(definition.venue),
        )
    except UnresolvableRule as refusal:
        errors.append(FieldError(refusal.field, refusal.reason, _code(refusal, entry is None)))
        return None


def _code(refusal: UnresolvableRule, without_entry: bool) -> str:
    """Tell apart what is missing from what is out of range, by the field and by what was known."""
    field = refusal.field.rpartition(".")[2]
    if field == "seconds":
        return "market_end_unknown"
    if without_entry and field in ("percent", "points", "activation_percent"):
        return "entry_price_needed"
    return "price_out_of_range"


def _end_passed(resolved: ResolvedRule, now: datetime) -> list[FieldError]:
    if resolved.expires_at is None or resolved.expires_at > now:
        return []
    return [FieldError("expires_at", "lies in the past", "in_the_past")]


def _moments_passed(definition: RuleDefinition, resolved: ResolvedRule, now: datetime) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, condition in enumerate(resolved.conditions):
        passed = isinstance(condition, FiringTime) and condition.fires_at <= now
        if passed and not definition.allow_immediate:
            reason = f"its moment has passed: it would fire at once; {_ALLOW}"
            errors.append(FieldError(f"conditions.{index}", reason, "would_fire_at_once"))
    return errors


_ALLOW = "set allow_immediate if that is meant"


def immediate_errors(resolved: ResolvedRule, quote: Quote) -> list[FieldError]:
    """Return an error for each condition that this quote would fire, its confirmation left aside."""
    index = TriggerIndex(resolved.prices)
    eager = resolved.model_copy(update={"confirm": Confirm()})
    index.add(Watch(_PROBE, 1, _PROBE, eager), 0)
    crossings = index.on_quote(_PROBE, quote, 0, wall_ms=0)
    reason = f"the present price is beyond its level: it would fire at once; {_ALLOW}"
    fields = sorted({f"conditions.{crossing.condition_index}" for crossing in crossings})
    return [FieldError(field, reason, "would_fire_at_once") for field in fields]
