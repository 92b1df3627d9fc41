"""Every workflow and every activity, by the role that runs it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from activities.account_stream import AccountStreamActivities
from activities.holdings import HoldingsActivities
from activities.market_feed import MarketFeedActivities
from activities.projections import ProjectionActivities
from activities.schedules import ScheduleActivities
from activities.trading import TradingActivities
from domain import messages
from workflows.feed import MarketFeed
from workflows.holdings import HoldingsPass
from workflows.order import Order
from workflows.reconcile import Reconcile
from workflows.rule import Rule
from workflows.stream import AccountStream


class Role(StrEnum):
    """What a worker process does; `all` is every role in one process."""

    CORE = "core"
    FEED = "feed"
    IO = "io"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class RoleActivities:
    """The activities' instances, built with their ports."""

    trading: TradingActivities
    projections: ProjectionActivities
    feed: MarketFeedActivities
    stream: AccountStreamActivities
    schedules: ScheduleActivities
    holdings: HoldingsActivities


@dataclass(frozen=True, slots=True)
class QueueWork:
    """What one task queue's worker serves."""

    queue: str
    workflows: Sequence[type]
    activities: Sequence[Callable[..., object]]


WORKFLOWS: tuple[type, ...] = (Rule, Order, MarketFeed, AccountStream, Reconcile, HoldingsPass)


def work_of(role: Role, parts: RoleActivities, *, standby: bool = False) -> tuple[QueueWork, ...]:
    """Return the queues that a role serves, each with its workflows and activities.

    Standby feeds have a queue of their own: on a worker that feeds as well both would die at once.
    """
    trading, projections = parts.trading, parts.projections
    core = QueueWork(
        messages.QUEUE_CORE,
        (Rule, Order),
        (
            trading.place_order,
            trading.follow_order,
            trading.confirm_absent,
            trading.recall_order,
            trading.recall_sales,
            trading.read_market,
            trading.cancel_order,
            trading.release_shares,
            projections.project,
        ),
    )
    feed_queue = messages.QUEUE_FEED_STANDBY if standby else messages.QUEUE_FEED
    feed = QueueWork(feed_queue, (MarketFeed,), (parts.feed.run_feed,))
    io = QueueWork(
        messages.QUEUE_IO,
        (AccountStream, Reconcile, HoldingsPass),
        (
            parts.stream.run_stream,
            parts.schedules.reconcile,
            parts.holdings.holdings_places,
            parts.holdings.compare_holdings,
        ),
    )
    by_role = {Role.CORE: (core,), Role.FEED: (feed,), Role.IO: (io,), Role.ALL: (core, feed, io)}
    return by_role[role]
