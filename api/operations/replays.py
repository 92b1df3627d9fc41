"""Rules over the recorded tape of their token, and the tape itself: reads only."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from api.deps import AccountContext, Services
from api.operations.rules import rule_of
from api.problems import conflict, invalid
from api.schemas.explain import ReplayedAnswer, TapeAnswer, TapeRowAnswer
from domain.messages import RuleRow
from domain.rules.crossing import Crossing
from domain.rules.replay import Arming, replay_resolved
from domain.rules.resolved import ResolvedRule
from domain.rules.tape import TapeRow
from domain.rules.watch import TrailMark
from storage.records import from_ms
from storage.repositories.recorded_tape import RecordedTape, TapeWindow, WatchState
from storage.repositories.tape import TAPE_KEPT

REPLAYED_ROWS = 50_000

_MILLISECOND = timedelta(milliseconds=1)
_WRITTEN_LATE = timedelta(seconds=1)
_LATE_ROWS = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """The time in which a rule's present levels were watched.

    Attributes:
        until: not included.
        arming: what the rule went on from at its beginning.
        marks: as high as the feed saved them since.
    """

    since: datetime
    until: datetime
    arming: Arming = field(default_factory=Arming)
    marks: Sequence[TrailMark] = ()


async def stretch_of(
    services: Services, tape: RecordedTape, row: RuleRow, state: WatchState | None
) -> Stretch:
    """Return since when a rule's levels were watched: until it fired, until it ended, else until now."""
    now = services.clock.now()
    if state is not None and state.armed:
        return _watched(state, max(now, state.armed_at))
    until = now
    if row.fired is not None:
        until = await _behind(tape, row, row.fired)
    elif (ended_at := await services.rules.ended_at(row.account_id, row.rule_id)) is not None:
        until = min(ended_at, now)
    if state is not None and state.armed_at < until:
        return _watched(state, until)
    return Stretch(since=min(row.created_at, until), until=until)


async def _behind(tape: RecordedTape, row: RuleRow, fired: Crossing) -> datetime:
    """Return a time just behind what fired a rule: its quote is on the tape a moment after it was judged."""
    observed = from_ms(fired.observed_at_ms)
    late = await tape.window(row.venue, row.token_id, observed, observed + _WRITTEN_LATE, limit=_LATE_ROWS)
    same = next((each.at for each in late.rows if each.quote == fired.quote), observed)
    return same + _MILLISECOND


def _watched(state: WatchState, until: datetime) -> Stretch:
    waits = state.not_before_ms
    arming = Arming(marks=state.armed_with, not_before=None if waits is None else from_ms(waits))
    return Stretch(since=state.armed_at, until=until, arming=arming, marks=state.marks)


def levels_of(row: RuleRow, state: WatchState | None) -> ResolvedRule:
    """Return the levels that are watched; those of its row for a rule that is not.

    Raises:
        Problem: 409 while it has none yet.
    """
    if state is not None and state.armed:
        return state.resolved
    if row.resolved is None:
        raise conflict("conflict", "The rule has no levels yet: it is just being armed.", rule_id=row.rule_id)
    return row.resolved


async def seen_since(tape: RecordedTape, row: RuleRow, window: TapeWindow, since: datetime) -> list[TapeRow]:
    """Return a window's rows behind the quote that stood already: the feed judges a new watch by that.

    A token that nobody watched has none, whatever the tape told of it long ago.
    """
    rows = list(window.rows)
    first = None if window.capped else await tape.standing_at(row.venue, row.token_id, since)
    if first is not None and (
        first.at >= row.created_at
        or await tape.watched_by_another(row.venue, row.token_id, row.rule_id, since)
    ):
        rows.insert(0, TapeRow(since.isoformat(), since, first.quote))
    return rows


async def replay_rule(
    services: Services,
    context: AccountContext,
    rule_id: str,
    *,
    since: datetime | None,
    until: datetime | None,
) -> ReplayedAnswer:
    """Run a rule of this account over the recorded tape of its token.

    From its own arming on it goes on from what it was armed with, as the feed did; from another time on it
    is as if it were armed then, and only the span's rows count.

    Raises:
        Problem: 404 when there is none, 409 while it has no levels yet, 422 for a span that ends before it
            begins.
    """
    row = await rule_of(services, context, rule_id)
    tape, now = RecordedTape(services.database), services.clock.now()
    state = await tape.watch_of(row.rule_id)
    resolved, own = levels_of(row, state), await stretch_of(services, tape, row, state)
    begin, end = since or own.since, until or (own.until if since is None else now)
    if end < begin:
        raise invalid("until", "must lie after the beginning of the span", "empty_span")
    window = await tape.window(row.venue, row.token_id, begin, end, limit=REPLAYED_ROWS)
    rows = window.rows if since is not None else await seen_since(tape, row, window, begin)
    arming = own.arming if since is None else Arming()
    outcome = await asyncio.to_thread(replay_resolved, resolved, rows, until=end, arming=arming)
    return ReplayedAnswer.of(outcome, begin, end, complete=is_complete(window, begin, now))


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
    return TapeAnswer(items=items, complete=is_complete(window, begin, now))


def is_complete(window: TapeWindow, since: datetime, now: datetime) -> bool:
    """Say whether a window holds all that ever changed in its span."""
    return not window.capped and since >= now - TAPE_KEPT
