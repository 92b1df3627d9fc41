"""A venue, its ledger and the projection, behind the names of the real activities."""

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal

from temporalio import activity
from temporalio.client import Client
from temporalio.exceptions import ApplicationError

from activities.heartbeats import beating
from domain import messages
from domain.ids import OrderId, VenueOrderId, exit_order_id
from domain.messages import (
    ClaimedAttempt,
    FollowOrder,
    ForgottenSales,
    FreshRead,
    Holding,
    OrderFacts,
    OrderRef,
    PlaceKind,
    PlaceOrder,
    PlaceResult,
    Projection,
    ReadMarket,
    RecalledOrder,
    RecallOrder,
    RecallSales,
    ReleaseShares,
    Severity,
)
from domain.orders import (
    Answer,
    AnswerKind,
    Attempt,
    OrderRow,
    RebuildReason,
    Side,
    VenueOrderStatus,
    WalletHolding,
)
from domain.ports import CancelOutcome
from domain.quotes import Level
from runtime.clock import SystemClock
from tests.domain.builders import START, make_instrument

ZERO = Decimal(0)
LIMIT_S = 20


@dataclass
class Registered:
    """What the venue has of one attempt, and what the ledger booked of it."""

    attempt: Attempt
    host: str
    status: VenueOrderStatus | None = None
    filled: Decimal = ZERO
    confirmed: bool = True
    reversed: Decimal = ZERO
    unbooked: Decimal = ZERO  # matched, and not in the ledger yet
    settled_by_answer: bool = False


Reply = Callable[["FakeExchange", PlaceOrder], PlaceResult]


class FakeExchange:
    """Answers `place_order` by a script (filling everything where it has ended) and keeps all it was told."""

    def __init__(self, client: Client, shares="10") -> None:
        self._client = client
        self.instrument = make_instrument(min_shares="0")
        self.bids = [("0.39", "1000")]
        self.shares = Decimal(shares)
        self.version = 1
        self.episode = 1
        self.opened_at = START
        self.sold_by_others = ZERO  # and not confirmed yet
        self.replies: deque[Reply] = deque()
        self.absent = True  # what `confirm_absent` finds
        self.refuses_cancel = 0
        self.holders: deque[WalletHolding] = deque()  # what the venue says, one after the other, when asked
        self.unreadable = 0  # reads of the book that fail from now on
        self.keyless = 0  # look-ups from now on for which the account has no key
        self.late_projection = 0  # the number of the one that Postgres takes only once `postgres` is set
        self.postgres = asyncio.Event()
        self.within_tasks = asyncio.Event()  # Postgres answers within workflow tasks only while this is set
        self.within_tasks.set()
        self.venue = asyncio.Event()  # what only the venue can say is said only while this is set
        self.venue.set()
        self.signals = True  # a stream tells hosts of fills
        self.posts: list[PlaceOrder] = []
        self.orders: dict[tuple[OrderId, int], Registered] = {}
        self.calls: Counter[str] = Counter()
        self.released: list[ReleaseShares] = []
        self.steps: list[Projection] = []
        self.events: dict[str, messages.EventRow] = {}
        self.faults: list[str] = []
        self._versions: dict[str, int] = {}
        self._changed = asyncio.Condition()

    # -- what tests ask ---------------------------------------------------------------------------

    async def until(self, condition: Callable[[], bool]) -> None:
        """Waits until something that happened here makes the condition true; nothing written is not yet."""

        def holds() -> bool:
            try:
                return condition()
            except IndexError:
                return False

        async with asyncio.timeout(LIMIT_S), self._changed:
            await self._changed.wait_for(holds)

    async def event(self, kind: str) -> messages.EventRow:
        await self.until(lambda: kind in self.kinds)
        return next(event for event in self.events.values() if event.type == kind)

    @property
    def kinds(self) -> list[str]:
        return [event.type for event in self.events.values()]

    @property
    def alarms(self) -> list[str]:
        return [event.type for event in self.events.values() if event.severity is Severity.ALARM]

    @property
    def attempts(self) -> list[Attempt]:
        """Every POST, in order."""
        return [request.attempt for request in self.posts]

    @property
    def sold(self) -> Decimal:
        return sum((o.filled for o in self.orders.values() if o.attempt.side is Side.SELL), ZERO)

    @property
    def rule(self) -> messages.RuleRow:
        return [step.rule.rule for step in self.steps if step.rule][-1]

    @property
    def watch(self) -> messages.WatchRow:
        return [step.rule.watch for step in self.steps if step.rule and step.rule.watch][-1]

    @property
    def order(self) -> OrderRow:
        return [step.order.order for step in self.steps if step.order][-1]

    def holding(self) -> Holding:
        return Holding(
            shares=self.shares,
            average_entry=Decimal("0.5"),
            opened_at=self.opened_at,
            episode=self.episode,
            unconfirmed_shares=self.unconfirmed,
            version=self.version,
        )

    @property
    def unconfirmed(self) -> Decimal:
        return sum((o.filled for o in self.orders.values() if not o.confirmed), self.sold_by_others)

    # -- what tests make happen ---------------------------------------------------------------------

    def script(self, *replies: Reply) -> None:
        self.replies.extend(replies)

    def hold(self, shares) -> Holding:
        """The ledger holds another number of shares now."""
        self.shares, self.version = Decimal(shares), self.version + 1
        return self.holding()

    def open_next(self) -> None:
        """What is held from now on is the next position."""
        self.episode, self.opened_at = self.episode + 1, self.opened_at + timedelta(days=1)

    def learn_of_an_older_round_trip(self) -> None:
        """The ledger hears of shares that were bought and sold before: it numbers what is held anew."""
        self.episode += 1

    def book(self, order: Registered, shares: Decimal, *, confirmed: bool = True) -> None:
        """A fill of an order, in ledger and position."""
        order.filled += shares
        order.confirmed = confirmed
        self.hold(self.shares + (shares if order.attempt.side is Side.BUY else -shares))

    async def confirm(self, number: int = -1) -> None:
        def confirm(order: Registered) -> None:
            order.confirmed = True
            self.hold(self.shares)  # every entry of the ledger is a new version of the position

        await self._later(number, confirm)

    async def take_back(self, number: int = -1) -> None:
        """The venue reverses all fills of an order."""

        def reverse(order: Registered) -> None:
            order.reversed, order.filled, order.confirmed = order.filled, ZERO, True
            self.hold(self.shares + order.reversed)

        await self._later(number, reverse)

    async def fill(self, shares, status=VenueOrderStatus.MATCHED, number: int = -1, confirmed=True) -> None:
        """An order that rests is filled."""

        def book(order: Registered) -> None:
            order.status = status
            self.book(order, Decimal(shares), confirmed=confirmed)

        await self._later(number, book)

    async def _later(self, number: int, change: Callable[[Registered], None]) -> None:
        order = list(self.orders.values())[number]
        change(order)
        await self._tell(order.host)
        await self._happened()

    async def _tell(self, host: str) -> None:
        if self.signals:
            await self._client.get_workflow_handle(host).signal(messages.SIGNAL_ORDER_UPDATE)

    async def _happened(self, name: str = "") -> None:
        if name:
            self.calls[name] += 1
        async with self._changed:
            self._changed.notify_all()

    # -- the activities -------------------------------------------------------------------------------

    def activities(self) -> list[Callable[..., object]]:
        return [
            self.place_order,
            self.follow_order,
            self.read_market,
            self.confirm_absent,
            self.recall_order,
            self.recall_sales,
            self.cancel_order,
            self.release_shares,
            self.project,
        ]

    @activity.defn
    @beating()
    async def place_order(self, request: PlaceOrder) -> PlaceResult:
        self._write(Projection(rule=request.rule, order=request.order))
        self.posts.append(request)
        known = self.orders.get((request.attempt.order_id, request.attempt.attempt))
        if known is not None and known.attempt != request.attempt:
            result = adopted(known)
        elif known is not None and known.status is not None:
            result = registered(known, request)
        else:
            reply = self.replies.popleft() if self.replies else fills()
            result = reply(self, request)
        if result.kind is PlaceKind.ANSWERED and result.answer.status is not None:
            await self._tell(request.order.order.host_workflow_id)
        await self._happened("place_order")
        await self.venue.wait()
        return result

    @activity.defn
    async def follow_order(self, request: FollowOrder) -> OrderFacts:
        order = self.orders.get((request.ref.order_id, request.ref.attempt))
        await self._happened("look_up" if request.look_up else "follow_order")
        await (self.within_tasks if activity.info().is_local else self.venue).wait()
        facts = self.facts(order, looked_up=request.look_up)
        if request.look_up and self.keyless:
            self.keyless -= 1
            return replace(facts, looked_up=False, blocked="no key")
        return facts

    def facts(self, order: Registered | None, *, looked_up: bool) -> OrderFacts:
        """What the ledger has of an order."""
        filled = order.filled if order else ZERO
        price = order.attempt.limit_price if order else ZERO
        return OrderFacts(
            venue_status=order.status if order else None,
            venue_matched_shares=filled + order.reversed + order.unbooked if order else ZERO,
            booked_shares=filled,
            reversed_shares=order.reversed if order else ZERO,
            unconfirmed_shares=filled if order and not order.confirmed else ZERO,
            notional_usd=filled * price,
            fee_usd=ZERO,
            looked_up=looked_up,
            holding=self.holding(),
            at_ms=int(SystemClock().now().timestamp() * 1000),
        )

    @activity.defn
    async def read_market(self, request: ReadMarket) -> FreshRead:
        await self._happened("read_market")
        if self.unreadable:
            self.unreadable -= 1
            raise ApplicationError("the venue is away", type="VenueTransient", non_retryable=True)
        return FreshRead(
            instrument=self.instrument,
            bids=tuple(Level(Decimal(price), Decimal(size)) for price, size in self.bids),
            asks=(),
            last=None,
            holding=self.holding(),
            holder=self.holders.popleft() if request.holder and self.holders else None,
        )

    @activity.defn
    async def confirm_absent(self, ref: OrderRef) -> bool:
        await self._happened("confirm_absent")
        return self.absent

    @activity.defn
    async def recall_order(self, request: RecallOrder) -> RecalledOrder:
        await self._happened("recall_order")
        claims = [order for (order_id, _), order in self.orders.items() if order_id == request.order_id]
        return RecalledOrder(
            claims=tuple(
                ClaimedAttempt(
                    attempt=order.attempt,
                    venue_order_id=venue_id(order.attempt),
                    settled=order.settled_by_answer,
                    last_post_at_ms=order.attempt.timestamp_ms,
                )
                for order in claims
            )
        )

    @activity.defn
    async def recall_sales(self, request: RecallSales) -> ForgottenSales:
        await self._happened("recall_sales")
        known = {exit_order_id(request.rule_id, number) for number in range(1, request.generation + 1)}
        facts = [
            self.facts(order, looked_up=False)
            for (order_id, _), order in self.orders.items()
            if order_id not in known
        ]
        return ForgottenSales(
            shares=sum((each.booked_shares for each in facts), ZERO),
            proceeds_usd=sum((each.notional_usd for each in facts), ZERO),
            fee_usd=ZERO,
        )

    @activity.defn
    async def cancel_order(self, ref: OrderRef) -> CancelOutcome:
        order = self.orders[(ref.order_id, ref.attempt)]
        outcome = CancelOutcome.CANCELED
        if self.refuses_cancel:
            self.refuses_cancel -= 1
            outcome = CancelOutcome.NOT_CANCELABLE
        elif order.status is None or not order.status.is_terminal:
            order.status = VenueOrderStatus.CANCELED
        else:
            outcome = CancelOutcome.ALREADY_TERMINAL
        await self._happened("cancel_order")
        return outcome

    @activity.defn
    async def release_shares(self, request: ReleaseShares) -> int:
        self.released.append(request)
        await self._happened("release_shares")
        return 1

    @activity.defn
    async def project(self, projection: Projection) -> None:
        if self.calls["project"] + 1 == self.late_projection:
            await self._postgres_is_back()
        if activity.info().is_local:
            await self.within_tasks.wait()
        self._write(projection)
        await self._happened("project")

    async def _postgres_is_back(self) -> None:
        if activity.info().is_local:
            raise ApplicationError("Postgres is away", non_retryable=True)  # asked again by a real activity
        await self._happened("late_projection")
        await self.postgres.wait()

    def _write(self, step: Projection) -> None:
        """Applies rows like the real projection, and notes what no workflow may ever do."""
        rows = [("rule", step.rule.rule.version)] if step.rule else []
        rows += [(step.order.order.order_id, step.order.order.version)] if step.order else []
        if step in self.steps:
            return  # the same step once more: a retry
        for name, version in rows:
            if version <= self._versions.get(name, 0):
                self.faults.append(f"{name} went from version {self._versions[name]} to {version}")
            self._versions[name] = version
        for event in (*(step.rule.events if step.rule else ()), *(step.order.events if step.order else ())):
            # A task that is done anew writes the same event under the same key.
            known = self.events.get(event.event_key, event)
            if (known.type, known.message) != (event.type, event.message):
                self.faults.append(f"two events have the key {event.event_key}")
            self.events[event.event_key] = event
        self.steps.append(step)


def venue_id(attempt: Attempt) -> VenueOrderId:
    return VenueOrderId(f"0x{attempt.order_id}-{attempt.attempt}-{attempt.timestamp_ms}")


def _answered(request: PlaceOrder, answer: Answer, **more) -> PlaceResult:
    return PlaceResult(
        kind=PlaceKind.ANSWERED,
        venue_order_id=venue_id(request.attempt),
        answer=answer,
        posts=1,
        last_post_at_ms=more.pop("last_post_at_ms", request.attempt.timestamp_ms),
        **more,
    )


def _register(exchange: FakeExchange, request: PlaceOrder) -> Registered:
    key = (request.attempt.order_id, request.attempt.attempt)
    host = request.order.order.host_workflow_id
    return exchange.orders.setdefault(key, Registered(request.attempt, host))


def fills(shares=None, *, confirmed=True) -> Reply:
    """Accepts and fills so many shares (None: all) at the limit."""

    def reply(exchange: FakeExchange, request: PlaceOrder) -> PlaceResult:
        order = _register(exchange, request)
        order.status = VenueOrderStatus.MATCHED
        amount = request.attempt.shares if shares is None else Decimal(shares)
        exchange.book(order, amount, confirmed=confirmed)
        return _answered(
            request, Answer(kind=AnswerKind.ACCEPTED, code="accepted", status=VenueOrderStatus.MATCHED)
        )

    return reply


def fills_before_it_answers() -> Reply:
    """Accepts and fills all; the answer brings what the ledger has of it."""

    def reply(exchange: FakeExchange, request: PlaceOrder) -> PlaceResult:
        result = fills()(exchange, request)
        return replace(result, facts=exchange.facts(_register(exchange, request), looked_up=False))

    return reply


def finds_no_bid_and_holds(shares) -> Reply:
    """Finds nobody who pays; meanwhile shares were sold elsewhere, which the answer's facts tell."""

    def reply(exchange: FakeExchange, request: PlaceOrder) -> PlaceResult:
        result = answers(AnswerKind.NO_LIQUIDITY)(exchange, request)
        exchange.hold(shares)
        return replace(result, facts=exchange.facts(_register(exchange, request), looked_up=False))

    return reply


def accepts(status=VenueOrderStatus.LIVE) -> Reply:
    """Accepts; nothing is filled yet."""

    def reply(exchange: FakeExchange, request: PlaceOrder) -> PlaceResult:
        _register(exchange, request).status = status
        return _answered(request, Answer(kind=AnswerKind.ACCEPTED, code="accepted", status=status))

    return reply


def accepts_unseen() -> Reply:
    """Accepts; the ledger has nothing of the order yet."""

    def reply(exchange: FakeExchange, request: PlaceOrder) -> PlaceResult:
        result = accepts()(exchange, request)
        _register(exchange, request).status = None
        return result

    return reply


def answers(
    kind: AnswerKind,
    *,
    taken=None,
    unknown_before=False,
    rebuild: RebuildReason | None = None,
    wait_ms: int | None = None,
) -> Reply:
    """Answers so; with `taken` the venue filled that many shares all the same."""

    def reply(exchange: FakeExchange, request: PlaceOrder) -> PlaceResult:
        order = _register(exchange, request)
        if taken is not None:
            order.status = VenueOrderStatus.MATCHED
            exchange.book(order, Decimal(taken))
        order.settled_by_answer = kind in (AnswerKind.NO_LIQUIDITY, AnswerKind.BLOCKED, AnswerKind.REBUILD)
        answer = Answer(kind=kind, code=kind.value, detail=f"said {kind}", rebuild=rebuild, wait_ms=wait_ms)
        return _answered(request, answer, unknown_before=unknown_before)

    return reply


def reduced(available) -> Reply:
    return lambda exchange, request: PlaceResult(kind=PlaceKind.REDUCED, available=Decimal(available))


def held(*order_ids: str) -> Reply:
    return lambda exchange, request: PlaceResult(
        kind=PlaceKind.HELD, held_by=tuple(OrderId(i) for i in order_ids), available=ZERO
    )


def refused(
    detail="the kill switch stops every send", *, code="kill_switch", sent=False, doubt=False, turn_ms=0
) -> Reply:
    """Refuses the claim; with `sent` an earlier send of this attempt stands."""

    def reply(exchange: FakeExchange, request: PlaceOrder) -> PlaceResult:
        result = PlaceResult(kind=PlaceKind.REFUSED, refusal=code, detail=detail, turn_ms=turn_ms)
        if not sent:
            return result
        _register(exchange, request)
        return replace(result, venue_order_id=venue_id(request.attempt), unknown_before=doubt, posts=1)

    return reply


def registered(order: Registered, request: PlaceOrder) -> PlaceResult:
    return _answered(request, Answer(kind=AnswerKind.REGISTERED, code="found", status=order.status))


def adopted(order: Registered) -> PlaceResult:
    return PlaceResult(kind=PlaceKind.ADOPTED, venue_order_id=venue_id(order.attempt), adopted=order.attempt)
