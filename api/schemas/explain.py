"""Explanations, previews and replays of rules."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Self

from pydantic import AwareDatetime, Field

from api.schemas.common import Amount, Answer, Body
from api.schemas.rules import FiredAnswer, QuoteAnswer, ReachedAnswer
from domain.rules.approaches import Approach
from domain.rules.cautions import Caution
from domain.rules.exit_preview import ExitPreview
from domain.rules.notices import LoggedMiss, last_misses
from domain.rules.replay import Firing, ReplayOutcome, TrailStep
from domain.rules.standing import ConditionStanding, Confirmation, Distance
from domain.rules.tape import TapeRow
from domain.rules.trace import NEAR_MISSES_KEPT, Extreme, Trace
from domain.rules.wording import approach_text, caution_text, describe, exit_text, guard_text, standing_text


class DistanceAnswer(Answer):
    """The way from the price to a level; negative once the price is beyond it."""

    points: Amount = Field(description="Price units")
    percent: Amount | None = Field(description="Of the price, floored to two decimals")
    ticks: Amount

    @classmethod
    def of(cls, distance: Distance) -> Self:
        """Return the answer form of a distance."""
        return cls(points=distance.points, percent=distance.percent, ticks=distance.ticks)


class ConfirmationAnswer(Answer):
    """How far a confirmation is, as far as the recorded quotes show (equal quotes are not recorded)."""

    updates: int
    updates_needed: int
    ms: int
    ms_needed: int

    @classmethod
    def of(cls, confirmation: Confirmation) -> Self:
        """Return the answer form of a confirmation."""
        return cls(
            updates=confirmation.updates,
            updates_needed=confirmation.updates_needed,
            ms=confirmation.ms,
            ms_needed=confirmation.ms_needed,
        )


class GuardAnswer(Answer):
    """What holds a condition back, or would if the price were there."""

    code: str = Field(examples=["spread_too_wide"])
    text: str


class ExitPreviewAnswer(Answer):
    """What a condition would send if it fired now, and what the present book would give for it."""

    text: str
    nothing: str | None = Field(description="Why nothing could be sent; the order's fields are null then")
    wanted_shares: Amount
    order_shares: Amount | None
    worst_price: Amount | None
    expected_shares: Amount
    average_price: Amount | None
    gross_usd: Amount
    fee_usd: Amount
    net_usd: Amount
    rest_shares: Amount
    pnl_usd: Amount | None = Field(description="After the exit's fee, without the entry's fees")

    @classmethod
    def of(cls, preview: ExitPreview) -> Self:
        """Return the answer form of a preview."""
        sale = preview.sale
        return cls(
            text=exit_text(preview),
            nothing=preview.nothing.value if preview.nothing else None,
            wanted_shares=preview.wanted_shares,
            order_shares=preview.order_shares,
            worst_price=preview.worst_price,
            expected_shares=sale.shares,
            average_price=sale.average_price,
            gross_usd=sale.gross_usd,
            fee_usd=sale.fee_usd,
            net_usd=sale.net_usd,
            rest_shares=preview.rest_shares,
            pnl_usd=preview.pnl_usd,
        )


class StandingAnswer(Answer):
    """One condition: its level as it stands now, the way to it, the guard, and what it would send."""

    index: int
    condition: str
    text: str
    level: Amount | None
    mark: Amount | None
    active: bool
    fires_at: datetime | None
    due_in_ms: int | None
    distance: DistanceAnswer | None
    reached: bool
    fires: bool
    guard: GuardAnswer | None
    confirmation: ConfirmationAnswer | None
    would_send: ExitPreviewAnswer

    @classmethod
    def of(cls, standing: ConditionStanding, preview: ExitPreview) -> Self:
        """Return the answer form of a condition's standing."""
        guard, confirmation = standing.guard, standing.confirmation
        return cls(
            index=standing.index,
            condition=standing.condition.value,
            text=standing_text(standing),
            level=standing.level,
            mark=standing.mark,
            active=standing.active,
            fires_at=standing.fires_at,
            due_in_ms=standing.due_in_ms,
            distance=DistanceAnswer.of(standing.distance) if standing.distance else None,
            reached=standing.reached,
            fires=standing.fires,
            guard=GuardAnswer(code=guard.value, text=guard_text(guard)) if guard else None,
            confirmation=ConfirmationAnswer.of(confirmation) if confirmation else None,
            would_send=ExitPreviewAnswer.of(preview),
        )


class PriceAnswer(Answer):
    """What the rule looks at now: the venue's book, read for this answer, else the feed's last change.

    `age_ms` counts from that reading, else from the change.
    """

    price: Amount | None = Field(description="Source price; null where the quote is skipped")
    quote: QuoteAnswer | None
    age_ms: int | None
    from_book: bool
    feed_quote: QuoteAnswer | None = Field(description="The newest quote on the tape")
    feed_changed_at: datetime | None


class NearMissAnswer(Answer):
    """A price came near a level or beyond it, and the rule did not fire."""

    condition_index: int
    condition: str
    text: str
    began_at: datetime
    ended_at: datetime | None
    at: datetime
    price: Amount
    level: Amount
    distance: Amount
    held_by: str | None
    quote: QuoteAnswer
    count: int = Field(description="How many approaches of one kind the event log told in one line")

    @classmethod
    def of(cls, approach: Approach, count: int) -> Self:
        """Return the answer form of a near miss."""
        return cls(
            condition_index=approach.condition_index,
            condition=approach.condition.value,
            text=approach_text(approach),
            began_at=approach.began_at,
            ended_at=approach.ended_at,
            at=approach.at,
            price=approach.price,
            level=approach.level,
            distance=approach.distance,
            held_by=approach.held_by.value if approach.held_by else None,
            quote=QuoteAnswer.of(approach.quote),
            count=count,
        )


class ExtremeAnswer(Answer):
    """A source price and when it was first seen."""

    price: Amount
    at: datetime

    @classmethod
    def of(cls, extreme: Extreme) -> Self:
        """Return the answer form of an extreme."""
        return cls(price=extreme.price, at=extreme.at)


class HistoryAnswer(Answer):
    """What the tape shows since the rule was armed: until it fired or ended, else until now.

    `complete` is false where older rows are missing: they were more than one answer looks at, or are older
    than the tape is kept.
    """

    since: datetime
    until: datetime
    rows: int
    complete: bool
    highest: ExtremeAnswer | None
    lowest: ExtremeAnswer | None
    near_misses: list[NearMissAnswer] = Field(
        description="The last five, oldest first, of the tape and of the event log"
    )

    @classmethod
    def of(
        cls, since: datetime, until: datetime, traced: Trace, logged: Sequence[LoggedMiss], *, complete: bool
    ) -> Self:
        """Return the answer form of a trace, with near misses that the event log holds."""
        misses = last_misses(traced.near_misses, logged, NEAR_MISSES_KEPT)
        return cls(
            since=since,
            until=until,
            rows=traced.rows,
            complete=complete,
            highest=ExtremeAnswer.of(traced.highest) if traced.highest else None,
            lowest=ExtremeAnswer.of(traced.lowest) if traced.lowest else None,
            near_misses=[NearMissAnswer.of(approach, count) for approach, count in misses],
        )


class OutlookAnswer(Answer):
    """A rule at the present price: how far its conditions are, and what it would send now."""

    sentence: str
    price_source: str
    price: PriceAnswer
    conditions: list[StandingAnswer]
    hindrances: list[str] = Field(description="What would keep a fired rule from sending")


class ExplanationAnswer(OutlookAnswer):
    """Why a rule did or did not fire, how far it is, and what it would send now."""

    id: str
    status: str
    phase: str
    detail: str = Field(description="What it waits for, or how it ended; empty while it is simply armed")
    fired: FiredAnswer | None
    history: HistoryAnswer


class CautionAnswer(Answer):
    """A warning; `condition_index` is null where it is about the whole rule."""

    code: str
    condition_index: int | None
    text: str

    @classmethod
    def of(cls, caution: Caution) -> Self:
        """Return the answer form of a warning."""
        return cls(
            code=caution.code.value, condition_index=caution.condition_index, text=caution_text(caution)
        )


class RefusalAnswer(Answer):
    """A reason for which creating the rule as it stands would be refused."""

    field: str
    reason: str
    code: str


class PreviewAnswer(OutlookAnswer):
    """A rule before it is armed. Nothing was changed."""

    accepted: bool = Field(description="Whether creating it now would pass every check")
    refusals: list[RefusalAnswer]
    warnings: list[CautionAnswer]
    entry_price: Amount | None
    held_shares: Amount


class ReplayBody(Body):
    """Span of the tape. Where it is left out it is the rule's own: from arming until it fired or ended, else
    until now, and it goes on from what it was armed with. From another beginning on it is as if armed then.
    """

    since: AwareDatetime | None = None
    until: AwareDatetime | None = None


class FiringAnswer(ReachedAnswer):
    """What fired in a replay, and when."""

    row: int | None = Field(
        description="From 0; the one that stood when time fired it, null before the first"
    )
    at: datetime

    @classmethod
    def of(cls, firing: Firing) -> Self:
        """Return the answer form of a firing."""
        return cls(
            row=firing.index,
            at=firing.row.at,
            condition_index=firing.condition_index,
            condition=firing.condition.value,
            level=firing.level,
            quote=QuoteAnswer.of(firing.row.quote),
        )


class StepAnswer(Answer):
    """A change of a running trailing level."""

    row: int
    at: datetime
    condition_index: int
    mark: Amount | None
    level: Amount | None

    @classmethod
    def of(cls, step: TrailStep) -> Self:
        """Return the answer form of a step."""
        return cls(
            row=step.index,
            at=datetime.fromisoformat(step.ts),
            condition_index=step.condition_index,
            mark=step.mark,
            level=step.level,
        )


class ReplayedAnswer(Answer):
    """What the rule does on the recorded tape, with its levels as they stand now.

    `rows` counts the quotes that were looked at, in the rule's own span the one with which it began first.

    `complete` is false where the span holds more rows than one replay looks at: the newest were taken.
    """

    sentence: str
    since: datetime
    until: datetime
    rows: int
    complete: bool
    fired: FiringAnswer | None
    expired: bool
    high_water: Amount | None
    steps: list[StepAnswer] = Field(description="Changes of trailing levels, the last two hundred")

    @classmethod
    def of(cls, outcome: ReplayOutcome, since: datetime, until: datetime, *, complete: bool) -> Self:
        """Return the answer form of a replay."""
        return cls(
            sentence=describe(outcome.resolved) if outcome.resolved else "",
            since=since,
            until=until,
            rows=outcome.rows,
            complete=complete,
            fired=FiringAnswer.of(outcome.firing) if outcome.firing else None,
            expired=outcome.expired,
            high_water=outcome.high_water,
            steps=[StepAnswer.of(step) for step in outcome.steps[-200:]],
        )


class TapeRowAnswer(Answer):
    """One change of the top of a book: a line of a tape file."""

    ts: str
    bid: Amount | None
    ask: Amount | None
    last: Amount | None
    size: Annotated[str | None, Field(description="Not recorded")] = None

    @classmethod
    def of(cls, row: TapeRow) -> Self:
        """Return the answer form of a row."""
        quote = row.quote
        return cls(ts=row.ts, bid=quote.bid, ask=quote.ask, last=quote.last)


class TapeAnswer(Answer):
    """Recorded changes of a token, oldest first; `complete` is false when older ones were left out."""

    items: list[TapeRowAnswer]
    complete: bool
