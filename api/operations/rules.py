"""Creating, changing and cancelling rules: one set of functions behind both forms of the API."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from http import HTTPStatus

import structlog
from pydantic import ValidationError

from api.deps import AccountContext, Services, well_formed
from api.errors import invalid_from
from api.fingerprints import fingerprint
from api.operations.rule_checks import CheckedRule, check_rule
from api.problems import Invalid, Problem, conflict, not_found
from api.starters import Started
from domain.errors import Conflict
from domain.ids import RuleId, rule_id_for
from domain.messages import (
    RULE_REVISION,
    CancelRule,
    Holding,
    PatchRule,
    RuleAnswer,
    RuleOutcome,
    RulePhase,
    RuleRow,
    RuleStart,
    RuleStatus,
)
from domain.orders import Instrument
from domain.positions import PositionKey
from domain.quotes import PriceSource, price_rules_of, source_price
from domain.rules.definition import RuleDefinition

ROUTE = "rules"
_log = structlog.stdlib.get_logger("api")


@dataclass(frozen=True, slots=True, kw_only=True)
class Creation:
    """How a creation came out: `row` is None while no worker has taken the rule up."""

    rule_id: RuleId
    row: RuleRow | None
    repeated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """How a patch or cancel came out."""

    row: RuleRow
    outcome: RuleOutcome
    detail: str


async def create_rule(
    services: Services, context: AccountContext, definition: RuleDefinition, key: str
) -> Creation:
    """Create a rule, or return the one that this key created before.

    Raises:
        Problem: 409 for a key used for something else, 422 with all fields that are refused, 503 when the
            Trade Manager is switched off or a part is away.
    """
    if not services.trade_manager.enabled:
        detail = "No rules are taken. Set TRADE_MANAGER_ENABLED=true and restart the API."
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, "trade_manager_disabled", detail)
    mark = fingerprint(definition)
    rule_id = rule_id_for(context.account_id, ROUTE, key)
    standing = await services.rules.get(context.account_id, rule_id)
    if standing is not None:
        return Creation(rule_id=rule_id, row=_same(standing, mark), repeated=True)
    context.must_be_enabled()
    checked = await check_rule(services, context, definition, services.clock.now())
    await services.idempotency.reserve(context.account_id, ROUTE, key, mark, rule_id)
    holding = checked.holding
    if checked.found_at_venue:
        holding = await _take_found(services, context, checked, rule_id)
    return await _start(services, context, checked, holding, rule_id, mark)


async def _take_found(
    services: Services, context: AccountContext, checked: CheckedRule, rule_id: RuleId
) -> Holding:
    """Take what was bought elsewhere into the ledger, so that the rule has shares to sell."""
    instrument = checked.instrument
    key = PositionKey(
        account_id=context.account_id,
        venue=instrument.venue,
        mode=context.mode,
        token_id=instrument.token_id,
    )
    price = checked.definition.entry_price or await _shown_price(services, instrument)
    return await services.found_holdings.take(
        key, instrument.market_id, price=price, at=services.clock.now(), name=rule_id
    )


async def _shown_price(services: Services, instrument: Instrument) -> Decimal:
    """Return what the venue shows now; shares of unknown origin are counted at it."""
    quote = (await services.venues.market_data(instrument.venue).book(instrument.token_id)).quote
    seen = source_price(quote, PriceSource.DISPLAY, price_rules_of(instrument.venue))
    known = [seen.price if seen else None, quote.last, quote.bid, quote.ask]
    return next((price for price in known if price is not None), Decimal(0))


def _same(row: RuleRow, mark: str) -> RuleRow:
    if row.fingerprint != mark:
        raise Conflict("this Idempotency-Key was used with another body", "idempotency_conflict")
    return row


async def _start(
    services: Services,
    context: AccountContext,
    checked: CheckedRule,
    holding: Holding,
    rule_id: RuleId,
    mark: str,
) -> Creation:
    definition = checked.definition
    wallet = await services.venues.wallet(
        context.account_id, definition.venue, context.mode, holding=checked.instrument.token_id
    )
    start = RuleStart(
        rule_id=rule_id,
        account_id=context.account_id,
        mode=context.mode,
        venue=definition.venue,
        definition=definition,
        fingerprint=mark,
        instrument=checked.instrument,
        wallet=wallet,
        holding=holding,
        created_at=services.clock.now(),
        tuning=services.tuning,
        revision=RULE_REVISION,
    )
    started = await services.rule_starter.create_rule(start)
    if checked.found_at_venue:
        await _tell_stream(services, context, definition.venue)
    row = await services.rules.get(context.account_id, rule_id)
    return Creation(rule_id=rule_id, row=row, repeated=started is Started.CLOSED)


async def _tell_stream(services: Services, context: AccountContext, venue: str) -> None:
    """Wake the account's stream, from which the ledger learns of what was bought elsewhere."""
    try:
        await services.signals.wake_stream(context.account_id, venue, context.mode)
    except ConnectionError:
        # The rule stands; the next pass of reconcile wakes the stream.
        _log.warning("rule.stream_not_woken", account_id=context.account_id)


async def rule_of(services: Services, context: AccountContext, rule_id: str) -> RuleRow:
    """Return a rule of this account.

    Raises:
        Problem: 404 when there is none, or it is another account's.
    """
    row = await services.rules.get(context.account_id, RuleId(well_formed(rule_id, "rule")))
    if row is None:
        raise not_found("rule")
    return row


async def patch_rule(
    services: Services,
    context: AccountContext,
    rule_id: str,
    changed: Callable[[RuleDefinition], RuleDefinition],
    *,
    version: int | None,
    key: str,
) -> Change:
    """Change a rule's definition.

    Args:
        services: What stands behind the API.
        context: Who asks.
        rule_id: The rule.
        changed: Returns the new definition from the present one; may raise pydantic's ValidationError.
        version: The version that the caller read, or None.
        key: Idempotency key.

    Raises:
        Problem: 404, 409 when a crossing won or the rule moved on, 422 with the refused fields, 503.
    """
    row = await rule_of(services, context, rule_id)
    try:
        definition = changed(row.definition)
    except ValidationError as error:
        raise invalid_from(error) from None
    if row.phase is RulePhase.DONE:
        raise _finished(row)
    known = definition.model_copy(update={"entry_price": definition.entry_price or row.entry_price})
    # The holding was judged when the rule was made; it counts again only where the amount changes.
    settled = definition.expect_position or definition.action == row.definition.action
    probe = known.model_copy(update={"expect_position": settled})
    try:
        await check_rule(services, context.in_mode(row.mode), probe, services.clock.now())
    except Invalid:
        # What was refused may follow from the exit itself: a level reached, a moment passed, a market closed.
        _must_stand(await rule_of(services, context, rule_id))
        raise
    patch = PatchRule(account_id=context.account_id, definition=definition, expected_version=version)
    answer = await services.rule_starter.patch_rule(row.rule_id, patch, key)
    return await _change(services, context, row, answer)


async def cancel_rule(services: Services, context: AccountContext, rule_id: str, key: str) -> Change:
    """Cancel a rule; cancelling a cancelled one changes nothing and succeeds.

    Raises:
        Problem: 404, 409 when a crossing won or the rule ended otherwise, 503.
    """
    row = await rule_of(services, context, rule_id)
    if row.phase is RulePhase.DONE:
        return _cancelled_before(row)
    cancel = CancelRule(account_id=context.account_id)
    answer = await services.rule_starter.cancel_rule(row.rule_id, cancel, key)
    return await _change(services, context, row, answer)


async def _change(
    services: Services, context: AccountContext, before: RuleRow, answer: RuleAnswer | None
) -> Change:
    row = await services.rules.get(context.account_id, before.rule_id) or before
    if answer is None:
        return _closed(row)
    if answer.outcome is RuleOutcome.CROSSING_WON:
        detail = "The price reached its level first: nothing was changed, and the exit goes on."
        raise conflict("crossing_won", detail, **_where(row, answer))
    if answer.outcome is RuleOutcome.VERSION_MISMATCH:
        detail = answer.detail or "The rule changed since that version was read: nothing was changed."
        raise conflict("version_mismatch", detail, **_where(row, answer))
    if answer.outcome is RuleOutcome.ALREADY_FINISHED:
        return _cancelled_before(row)
    return Change(row=row, outcome=answer.outcome, detail=_said(answer))


def _said(answer: RuleAnswer) -> str:
    if answer.outcome is RuleOutcome.CANCELED_WITH_RESIDUAL:
        return f"Cancelled while its exit was under way; {answer.residual_shares} shares are left unsold."
    return answer.detail


def _closed(row: RuleRow) -> Change:
    """Judge a rule whose workflow is gone by its row."""
    if row.phase is RulePhase.DONE:
        return _cancelled_before(row)
    detail = "Its workflow was ended from outside. It protects nothing. Adopt it, then it can be changed."
    raise conflict("orphaned", detail, rule_id=row.rule_id)


def _cancelled_before(row: RuleRow) -> Change:
    if row.status is RuleStatus.CANCELED:
        return Change(row=row, outcome=RuleOutcome.ALREADY_FINISHED, detail="It was cancelled before.")
    raise _finished(row)


def _must_stand(row: RuleRow) -> None:
    """Refuse to change a rule that has fired or ended meanwhile."""
    if row.status is not RuleStatus.ACTIVE:
        raise _finished(row)


def _finished(row: RuleRow) -> Problem:
    if row.status is RuleStatus.TRIGGERED:
        ends = "its exit is done" if row.phase is RulePhase.DONE else "its exit goes on"
        detail = f"The price reached its level first: nothing was changed, and {ends}."
        return conflict("crossing_won", detail, rule_id=row.rule_id, rule_status=row.status.value)
    detail = f"The rule has ended as {row.status.value}: nothing was changed."
    return conflict("already_finished", detail, rule_id=row.rule_id, rule_status=row.status.value)


def _where(row: RuleRow, answer: RuleAnswer) -> dict[str, str | int | None]:
    return {
        "rule_id": row.rule_id,
        "rule_status": answer.status.value,
        "phase": answer.phase.value,
        "version": answer.version,
    }
