"""Lists of what an account has, page by page."""

from api.deps import AccountContext, Paging, Services
from api.schemas.common import Page
from api.schemas.orders import LedgerAnswer
from api.schemas.portfolio import EventAnswer, MonitoredPositionAnswer, PositionAnswer
from domain.fills import EntryKind
from domain.ids import OrderId, RuleId, TokenId, VenueOrderId
from domain.messages import RuleRow, RuleStatus
from domain.orders import OrderRow, OrderState
from domain.rules.notices import Observation
from storage.records import Page as Rows
from storage.repositories.events import EventFilter, EventLogLine
from storage.repositories.holdings import Holdings
from storage.repositories.orders import OrderFilter
from storage.repositories.positions import EntryFilter, PositionFilter
from storage.repositories.rules import RuleFilter

_BATCH = 500


async def rules(
    services: Services,
    context: AccountContext,
    page: Paging,
    *,
    status: RuleStatus | None = None,
    token_id: str | None = None,
    venue: str | None = None,
) -> Rows[RuleRow]:
    """Return rules of the account, newest first."""
    wanted = RuleFilter(
        statuses=None if status is None else (status,),
        token_id=None if token_id is None else TokenId(clean(token_id)),
        venue=venue,
    )
    return await services.rules.page(context.account_id, wanted, limit=page.limit, offset=page.offset)


async def orders(
    services: Services,
    context: AccountContext,
    page: Paging,
    *,
    state: OrderState | None = None,
    token_id: str | None = None,
    rule_id: str | None = None,
) -> Rows[OrderRow]:
    """Return orders of the account, newest first."""
    wanted = OrderFilter(
        states=None if state is None else (state,),
        token_id=None if token_id is None else TokenId(clean(token_id)),
        rule_id=None if rule_id is None else RuleId(clean(rule_id)),
    )
    return await services.orders.page(context.account_id, wanted, limit=page.limit, offset=page.offset)


async def positions(
    services: Services,
    context: AccountContext,
    page: Paging,
    *,
    token_id: str | None = None,
    include_closed: bool = False,
) -> Page[PositionAnswer]:
    """Return positions of the account, the latest change first."""
    wanted = PositionFilter(
        open_only=not include_closed, token_id=None if token_id is None else TokenId(clean(token_id))
    )
    found = await services.positions.page(context.account_id, wanted, limit=page.limit, offset=page.offset)
    origins = await Holdings(services.database).origins(context.account_id, found.items)
    items = [PositionAnswer.of(position, origins[position.key]) for position in found.items]
    return Page(items=items, total=found.total, limit=page.limit, offset=page.offset)


async def monitored_positions(
    services: Services, context: AccountContext, page: Paging, *, venue: str | None = None
) -> Page[MonitoredPositionAnswer]:
    """Return the open positions of the account, each with the open rules on its token."""
    wanted = PositionFilter(venue=venue)
    found = await services.positions.page(context.account_id, wanted, limit=page.limit, offset=page.offset)
    origins = await Holdings(services.database).origins(context.account_id, found.items)
    items: list[MonitoredPositionAnswer] = []
    for position in found.items:
        rule_ids = await services.rules.open_rules_on(position.key)
        answer = PositionAnswer.of(position, origins[position.key])
        items.append(MonitoredPositionAnswer(**dict(answer), rule_ids=[*rule_ids]))
    return Page(items=items, total=found.total, limit=page.limit, offset=page.offset)


async def ledger(
    services: Services,
    context: AccountContext,
    page: Paging,
    *,
    token_id: str | None = None,
    venue_order_id: str | None = None,
    kind: EntryKind | None = None,
) -> Page[LedgerAnswer]:
    """Return entries of the account's ledger, newest first."""
    wanted = EntryFilter(
        token_id=None if token_id is None else TokenId(clean(token_id)),
        venue_order_id=None if venue_order_id is None else VenueOrderId(clean(venue_order_id)),
        kind=kind,
    )
    found = await services.positions.entries(context.account_id, wanted, limit=page.limit, offset=page.offset)
    items = [LedgerAnswer.of(entry) for entry in found.items]
    return Page(items=items, total=found.total, limit=page.limit, offset=page.offset)


async def events(
    services: Services,
    context: AccountContext,
    page: Paging,
    *,
    rule_id: str | None = None,
    order_id: str | None = None,
    type_: str | None = None,
    after: int | None = None,
) -> Page[EventAnswer]:
    """Return events of the account: newest first, or with `after` those that follow, oldest first.

    Samples, of which there is one after the other, are listed only when their type is asked for.
    """
    wanted = EventFilter(
        rule_id=None if rule_id is None else RuleId(clean(rule_id)),
        order_id=None if order_id is None else OrderId(clean(order_id)),
        type=None if type_ is None else clean(type_),
        left_out=(Observation.EVALUATED,) if type_ is None else (),
    )
    if after is None:
        found = await services.events.page(context.account_id, wanted, limit=page.limit, offset=page.offset)
        items = [EventAnswer.of(line) for line in found.items]
        return Page(items=items, total=found.total, limit=page.limit, offset=page.offset)
    lines = await _following(services, context, wanted, after, page.limit)
    return Page(items=[EventAnswer.of(line) for line in lines], total=len(lines), limit=page.limit, offset=0)


async def _following(
    services: Services, context: AccountContext, wanted: EventFilter, after: int, limit: int
) -> list[EventLogLine]:
    """Return the next events that match, however many others lie between."""
    found: list[EventLogLine] = []
    while len(found) < limit:
        batch = await services.events.after(context.account_id, after, limit=_BATCH)
        found += [line for line in batch if _matches(line, wanted)]
        if len(batch) < _BATCH:
            break
        after = batch[-1].id
    return found[:limit]


def _matches(line: EventLogLine, wanted: EventFilter) -> bool:
    event = line.event
    of_rule = wanted.rule_id is None or event.rule_id == wanted.rule_id
    of_order = wanted.order_id is None or event.order_id == wanted.order_id
    of_type = wanted.type is None or event.type == wanted.type
    return of_rule and of_order and of_type and event.type not in wanted.left_out


def clean(text: str) -> str:
    """Return a filter's text without what Postgres cannot hold; nothing stored matches such a text."""
    return text.replace("\x00", "\N{REPLACEMENT CHARACTER}")
