"""Explaining rules that are armed or were: reads only, by the functions of the live path."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

from api.deps import AccountContext, Services
from api.operations.outlook import exits_of, hindrances_now, market_now, price_answer, seller_of, signer
from api.operations.replays import Stretch, is_complete, levels_of, seen_since, stretch_of
from api.operations.rules import rule_of
from api.schemas.explain import ExplanationAnswer, HistoryAnswer, StandingAnswer
from api.schemas.rules import FiredAnswer
from domain.ids import TokenId, exit_order_id
from domain.messages import RulePhase, RuleRow
from domain.orders import Instrument
from domain.positions import PositionKey
from domain.rules.notices import logged_miss
from domain.rules.resolved import ResolvedRule
from domain.rules.standing import Sight, standings
from domain.rules.tape import TapeRow
from domain.rules.trace import Trace, trace
from domain.rules.watch import TrailMark
from domain.rules.wording import describe
from storage.repositories.observations import near_misses
from storage.repositories.recorded_tape import RecordedTape

EXPLAINED_ROWS = 10_000
LOGGED_LINES = 20


async def explain_rule(services: Services, context: AccountContext, rule_id: str) -> ExplanationAnswer:
    """Explain a rule of this account.

    Raises:
        Problem: 404 when there is none, 409 while it has no levels yet, 503 when the venue or a part is away.
    """
    row = await rule_of(services, context, rule_id)
    own = context.in_mode(row.mode)
    tape, token_id = RecordedTape(services.database), TokenId(row.token_id)
    state = await tape.watch_of(row.rule_id)
    resolved, stretch = levels_of(row, state), await stretch_of(services, tape, row, state)
    instrument = await services.venues.market_data(row.venue).instrument(token_id)
    market = await market_now(services, instrument)
    window = await tape.window(row.venue, row.token_id, stretch.since, stretch.until, limit=EXPLAINED_ROWS)
    rows = await seen_since(tape, row, window, stretch.since)
    traced = await asyncio.to_thread(_traced, resolved, rows, instrument, stretch)
    logged = await near_misses(services.database, row.account_id, row.rule_id, limit=LOGGED_LINES)
    sight = Sight(
        quote=market.quote,
        age_ms=market.age_ms,
        tick=instrument.tick,
        now=market.now,
        armed=row.phase is RulePhase.ARMED and (state is None or state.armed),
        not_before=stretch.arming.not_before,
    )
    wallet = await signer(services, own, row.venue, token_id)
    seller = seller_of(
        services,
        own,
        instrument,
        wallet,
        order_id=exit_order_id(row.rule_id, row.generation),
        held=await _held(services, row),
        sold=row.sold_shares,
    )
    exits = exits_of(seller, resolved, market, row.entry_price)
    found = zip(standings(resolved, sight, marks=traced.marks, runs=traced.runs), exits, strict=True)
    return ExplanationAnswer(
        id=row.rule_id,
        status=row.status.value,
        phase=row.phase.value,
        detail=row.detail,
        fired=None if row.fired is None else FiredAnswer.of(row.fired),
        sentence=describe(resolved),
        price_source=resolved.price_source.value,
        price=price_answer(resolved, market),
        conditions=[StandingAnswer.of(standing, exit_) for standing, exit_ in found],
        hindrances=await hindrances_now(services, own, instrument, wallet),
        history=HistoryAnswer.of(
            stretch.since,
            stretch.until,
            traced,
            [logged_miss(event.data) for event in logged],
            complete=is_complete(window, stretch.since, market.now),
        ),
    )


async def _held(services: Services, row: RuleRow) -> Decimal:
    token_id = TokenId(row.token_id)
    key = PositionKey(account_id=row.account_id, venue=row.venue, mode=row.mode, token_id=token_id)
    return (await services.ledger.holding(key)).shares


def _traced(
    resolved: ResolvedRule, rows: Sequence[TapeRow], instrument: Instrument, stretch: Stretch
) -> Trace:
    traced = trace(
        resolved,
        rows,
        tick=instrument.tick,
        not_before=stretch.arming.not_before,
        marks=stretch.arming.marks,
    )
    return replace(traced, marks=_highest(traced.marks, stretch.marks))


def _highest(traced: dict[int, Decimal | None], saved: Sequence[TrailMark]) -> dict[int, Decimal | None]:
    """Return each trail's highest mark, be it traced or saved: a trace may begin later than the rule."""
    marks = dict(traced)
    for mark in saved:
        known = marks.get(mark.condition_index)
        if mark.active and mark.mark is not None and (known is None or known < mark.mark):
            marks[mark.condition_index] = mark.mark
    return marks
