"""Explaining, previewing and replaying rules: reads only, by the functions of the live path."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

import structlog

from api.deps import AccountContext, Services
from api.operations.rule_checks import check_rule
from api.operations.rules import rule_of
from api.problems import FieldError, Invalid, conflict, invalid
from api.schemas.explain import (
    CautionAnswer,
    ExplanationAnswer,
    HistoryAnswer,
    PreviewAnswer,
    PriceAnswer,
    RefusalAnswer,
    ReplayedAnswer,
    StandingAnswer,
    TapeAnswer,
    TapeRowAnswer,
)
from api.schemas.rules import FiredAnswer, QuoteAnswer
from domain.errors import VenueError
from domain.ids import OrderId, TokenId, exit_order_id
from domain.messages import RulePhase, RuleRow
from domain.orders import Instrument
from domain.ports import Book
from domain.positions import PositionKey
from domain.quotes import Level, Quote
from domain.rules.cautions import Prospect, cautions
from domain.rules.definition import RuleDefinition
from domain.rules.exit_preview import ExitPreview, preview_exit
from domain.rules.notices import logged_miss
from domain.rules.replay import replay_resolved
from domain.rules.resolved import ResolvedRule
from domain.rules.selling import Seller, wanted_shares
from domain.rules.standing import Sight, seen_price, standings
from domain.rules.tape import TapeRow
from domain.rules.trace import Trace, trace, unix_ms
from domain.rules.watch import TrailMark
from domain.rules.wording import describe, hindrances
from storage.records import from_ms
from storage.repositories.observations import near_misses
from storage.repositories.recorded_tape import RecordedTape, TapeWindow, WatchState
from storage.repositories.tape import TAPE_KEPT

EXPLAINED_ROWS = 10_000
REPLAYED_ROWS = 50_000
LOGGED_LINES = 20

_PREVIEW = OrderId("preview")
_MILLISECOND = timedelta(milliseconds=1)
_log = structlog.stdlib.get_logger("api")


@dataclass(frozen=True, slots=True)
class _Market:
    """What a rule is judged by now: the venue's book where it could be read, the tape's end beside."""

    instrument: Instrument
    book: Book | None
    taped: TapeRow | None
    now: datetime

    @property
    def quote(self) -> Quote | None:
        if self.book is None:
            return None if self.taped is None else self.taped.quote
        quote = self.book.quote
        if quote.last is None and self.taped is not None:
            return replace(quote, last=self.taped.quote.last)
        return quote

    @property
    def bids(self) -> Sequence[Level]:
        return self.book.bids if self.book is not None else ()

    @property
    def age_ms(self) -> int:
        if self.book is not None or self.taped is None:
            return 0
        return max((self.now - self.taped.at) // _MILLISECOND, 0)


async def explain_rule(services: Services, context: AccountContext, rule_id: str) -> ExplanationAnswer:
    """Explain a rule of this account.

    Raises:
        Problem: 404 when there is none, 409 while it has no levels yet, 503 when the venue or a part is away.
    """
    row = await rule_of(services, context, rule_id)
    tape = RecordedTape(services.database)
    state = await tape.watch_of(row.rule_id)
    resolved = _levels_of(row, state)
    market = await _market(services, row.venue, row.token_id)
    since, until = _span(row, state, market.now)
    window = await tape.window(row.venue, row.token_id, since, until, limit=EXPLAINED_ROWS)
    traced = await _traced(tape, row, state, resolved, market, window, since)
    logged = await near_misses(services.database, row.account_id, row.rule_id, limit=LOGGED_LINES)
    armed = row.phase is RulePhase.ARMED and (state is None or state.armed)
    waits = state.not_before_ms if state is not None else None
    sight = Sight(
        quote=market.quote,
        age_ms=market.age_ms,
        tick=market.instrument.tick,
        now=market.now,
        armed=armed,
        not_before=None if waits is None else from_ms(waits),
    )
    seller = await _seller(services, context.in_mode(row.mode), row, market.instrument)
    exits = _exits(seller, resolved, market, row.entry_price)
    found = zip(standings(resolved, sight, marks=traced.marks, runs=traced.runs), exits, strict=True)
    return ExplanationAnswer(
        id=row.rule_id,
        status=row.status.value,
        phase=row.phase.value,
        fired=None if row.fired is None else FiredAnswer.of(row.fired),
        sentence=describe(resolved),
        price_source=resolved.price_source.value,
        price=_price(resolved, market),
        conditions=[StandingAnswer.of(standing, exit_) for standing, exit_ in found],
        hindrances=await _hindrances(services, context, market.instrument),
        history=HistoryAnswer.of(
            since,
            traced,
            [logged_miss(event.data) for event in logged],
            complete=_is_complete(window, since, market.now),
        ),
    )


async def preview_rule(
    services: Services, context: AccountContext, definition: RuleDefinition
) -> PreviewAnswer:
    """Explain a rule that is not armed yet, with warnings. Changes nothing.

    Raises:
        Invalid: It could not be armed in any case: unknown token, no level, a level out of range.
    """
    now = services.clock.now()
    refusals = await _refusals(services, context, definition, now)
    lenient = definition.model_copy(update={"allow_immediate": True, "expect_position": True})
    checked = await check_rule(services, context, lenient, now)
    resolved, holding = checked.resolved, checked.holding
    market = await _market(services, definition.venue, checked.instrument.token_id)
    entry = definition.entry_price or holding.average_entry
    wallet = await services.venues.wallet(context.account_id, definition.venue, context.mode)
    seller = Seller(
        order_id=_PREVIEW,
        account_id=context.account_id,
        venue=definition.venue,
        mode=context.mode,
        wallet=wallet,
        instrument=market.instrument,
        held_shares=holding.shares,
        sold_shares=Decimal(0),
        slippage_points=Decimal(services.tuning.slippage_points),
    )
    exits = _exits(seller, resolved, market, entry)
    first = () if market.quote is None else (TapeRow(now.isoformat(), now, market.quote),)
    sight = Sight(quote=market.quote, age_ms=market.age_ms, tick=market.instrument.tick, now=now)
    traced = trace(resolved, first, tick=market.instrument.tick)
    found = standings(resolved, sight, marks=traced.marks, runs=traced.runs)
    prospect = Prospect(
        resolved=resolved,
        instrument=market.instrument,
        quote=market.quote,
        standings=found,
        exits=exits,
        entry_price=entry,
        entry_fee_usd=None,
        held_shares=holding.shares,
        wanted_shares=wanted_shares(resolved.action, holding.shares, Decimal(0)),
    )
    return PreviewAnswer(
        sentence=describe(resolved),
        accepted=not refusals,
        refusals=[RefusalAnswer(field=e.field, reason=e.reason, code=e.code) for e in refusals],
        warnings=[CautionAnswer.of(caution) for caution in cautions(prospect)],
        entry_price=entry,
        held_shares=holding.shares,
        price_source=resolved.price_source.value,
        price=_price(resolved, market),
        conditions=[StandingAnswer.of(s, exit_) for s, exit_ in zip(found, exits, strict=True)],
        hindrances=await _hindrances(services, context, market.instrument),
    )


async def replay_rule(
    services: Services,
    context: AccountContext,
    rule_id: str,
    *,
    since: datetime | None,
    until: datetime | None,
) -> ReplayedAnswer:
    """Run a rule of this account over the recorded tape of its token.

    Raises:
        Problem: 404 when there is none, 409 while it has no levels yet, 422 for a span that ends before it
            begins.
    """
    row = await rule_of(services, context, rule_id)
    tape = RecordedTape(services.database)
    state = await tape.watch_of(row.rule_id)
    resolved = _levels_of(row, state)
    begin = since or _span(row, state, services.clock.now())[0]
    end = until or services.clock.now()
    if end < begin:
        raise invalid("until", "must lie after the beginning of the span", "empty_span")
    window = await tape.window(row.venue, row.token_id, begin, end, limit=REPLAYED_ROWS)
    outcome = await asyncio.to_thread(replay_resolved, resolved, window.rows)
    return ReplayedAnswer.of(outcome, begin, end, complete=_is_complete(window, begin, services.clock.now()))


async def recorded_tape(
    services: Services,
    venue: str,
    token_id: str,
    since: datetime | None,
    until: datetime | None,
    limit: int,
) -> TapeAnswer:
    """Return recorded changes of a token, the newest of the span, oldest first."""
    now = services.clock.now()
    begin = since or now - timedelta(days=1)
    window = await RecordedTape(services.database).window(venue, token_id, begin, until or now, limit=limit)
    items = [TapeRowAnswer.of(row) for row in window.rows]
    return TapeAnswer(items=items, complete=_is_complete(window, begin, now))


def _levels_of(row: RuleRow, state: WatchState | None) -> ResolvedRule:
    """Return the levels that are watched; those of its row for a rule that is not."""
    if state is not None and state.armed:
        return state.resolved
    if row.resolved is None:
        raise conflict("conflict", "The rule has no levels yet: it is just being armed.", rule_id=row.rule_id)
    return row.resolved


async def _market(services: Services, venue: str, token_id: str) -> _Market:
    """Read what stands now; a book that cannot be read leaves the tape's end."""
    data, now = services.venues.market_data(venue), services.clock.now()
    instrument = await data.instrument(TokenId(token_id))
    taped = await RecordedTape(services.database).standing_at(venue, token_id, now)
    try:
        book = await data.book(TokenId(token_id))
    except VenueError as error:
        _log.warning("explain.book_unreadable", code=error.code)
        book = None
    return _Market(instrument, book, taped, now)


def _span(row: RuleRow, state: WatchState | None, now: datetime) -> tuple[datetime, datetime]:
    """Return from when to when the tape counts: since arming, until it fired where it did."""
    if state is not None and state.armed:
        return state.armed_at, now
    if row.fired is not None:
        return row.created_at, from_ms(row.fired.observed_at_ms) + _MILLISECOND
    return row.created_at, now


async def _traced(
    tape: RecordedTape,
    row: RuleRow,
    state: WatchState | None,
    resolved: ResolvedRule,
    market: _Market,
    window: TapeWindow,
    since: datetime,
) -> Trace:
    rows = list(window.rows)
    # The feed judges a newly armed rule by the quote that stands already.
    first = None if window.capped else await tape.standing_at(row.venue, row.token_id, since)
    if first is not None:
        rows.insert(0, TapeRow(since.isoformat(), since, first.quote))
    armed = state if state is not None and state.armed else None
    waits = armed.not_before_ms if armed is not None else None
    traced = await asyncio.to_thread(
        trace,
        resolved,
        rows,
        tick=market.instrument.tick,
        not_before=None if waits is None else from_ms(waits),
        marks=armed.armed_with if armed is not None else (),
    )
    return replace(traced, marks=_highest(traced.marks, armed.marks if armed is not None else ()))


def _highest(traced: dict[int, Decimal | None], saved: Sequence[TrailMark]) -> dict[int, Decimal | None]:
    """Return each trail's highest mark, be it traced or saved: a trace may begin later than the rule."""
    marks = dict(traced)
    for mark in saved:
        known = marks.get(mark.condition_index)
        if mark.active and mark.mark is not None and (known is None or known < mark.mark):
            marks[mark.condition_index] = mark.mark
    return marks


async def _seller(
    services: Services, context: AccountContext, row: RuleRow, instrument: Instrument
) -> Seller:
    key = PositionKey(
        account_id=row.account_id, venue=row.venue, mode=row.mode, token_id=TokenId(row.token_id)
    )
    holding = await services.ledger.holding(key)
    return Seller(
        order_id=exit_order_id(row.rule_id, row.generation),
        account_id=row.account_id,
        venue=row.venue,
        mode=row.mode,
        wallet=await services.venues.wallet(context.account_id, row.venue, context.mode),
        instrument=instrument,
        held_shares=holding.shares,
        sold_shares=row.sold_shares,
        slippage_points=Decimal(services.tuning.slippage_points),
    )


def _exits(
    seller: Seller, resolved: ResolvedRule, market: _Market, entry_price: Decimal | None
) -> list[ExitPreview]:
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


def _price(resolved: ResolvedRule, market: _Market) -> PriceAnswer:
    seen, quote, taped = seen_price(resolved, market.quote), market.quote, market.taped
    return PriceAnswer(
        price=None if seen is None else seen.price,
        quote=None if quote is None else QuoteAnswer.of(quote),
        age_ms=None if quote is None else market.age_ms,
        from_book=market.book is not None,
        feed_quote=None if taped is None else QuoteAnswer.of(taped.quote),
        feed_changed_at=None if taped is None else taped.at,
    )


async def _hindrances(services: Services, context: AccountContext, instrument: Instrument) -> list[str]:
    installation = await services.switches.kill_switch()
    return hindrances(context.account.kill_switch, installation, instrument.state)


async def _refusals(
    services: Services, context: AccountContext, definition: RuleDefinition, now: datetime
) -> tuple[FieldError, ...]:
    """Return why creating this very rule would be refused; nothing when it would not."""
    try:
        await check_rule(services, context, definition, now)
    except Invalid as refused:
        return refused.errors
    return ()


def _is_complete(window: TapeWindow, since: datetime, now: datetime) -> bool:
    return not window.capped and since >= now - TAPE_KEPT
