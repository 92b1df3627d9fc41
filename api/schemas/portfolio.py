"""Positions and events as answers."""

from datetime import datetime
from typing import Annotated, Self

from fastapi import Query
from pydantic import Field

from api.schemas.common import Amount, Answer
from domain.messages import Severity
from domain.orders import Mode
from domain.outside import Origin
from domain.positions import Position
from storage.repositories.events import EventLogLine


class PositionAnswer(Answer):
    """A position: the fold of the ledger. Average entry without fees, realized P&L after them."""

    venue: str
    mode: Mode
    market_id: str
    token_id: str
    shares: Amount
    average_entry: Amount | None
    cost_usd: Amount
    realized_pnl_usd: Amount
    fees_usd: Amount
    unconfirmed_shares: Amount
    episode: int
    opened_at: datetime | None
    closed_at: datetime | None
    origin: Origin = Field(description="own: bought here; found: found at the venue; mixed: some of each")

    @classmethod
    def of(cls, position: Position, origin: Origin) -> Self:
        """Return the answer form of a position."""
        return cls(
            venue=position.key.venue,
            mode=position.key.mode,
            market_id=position.market_id,
            token_id=position.key.token_id,
            shares=position.shares,
            average_entry=position.average_entry,
            cost_usd=position.cost_usd,
            realized_pnl_usd=position.realized_pnl_usd,
            fees_usd=position.fees_usd,
            unconfirmed_shares=position.unconfirmed_shares,
            episode=position.episode,
            opened_at=position.opened_at,
            closed_at=position.closed_at,
            origin=origin,
        )


class MonitoredPositionAnswer(PositionAnswer):
    """A position and the open rules that watch its token."""

    rule_ids: list[str]


EventTypeQuery = Annotated[
    str | None,
    Query(
        alias="type",
        max_length=80,
        description="Only of this type; samples (`rule.evaluated`) are listed only when asked for by it",
    ),
]


class EventAnswer(Answer):
    """One line of the append-only log. `id` rises; pass the last one as `after` to read on."""

    id: str
    rule_id: str | None
    order_id: str | None
    type: str
    severity: Severity
    message: str
    data: dict[str, str]
    at: datetime | None

    @classmethod
    def of(cls, line: EventLogLine) -> Self:
        """Return the answer form of a line of the log."""
        event = line.event
        return cls(
            id=str(line.id),
            rule_id=event.rule_id,
            order_id=event.order_id,
            type=event.type,
            severity=event.severity,
            message=event.message,
            data=event.data,
            at=event.at,
        )
