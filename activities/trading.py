"""The money path: claim, sign, post, follow, cancel. Idempotent by order id and attempt."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import structlog
from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.heartbeats import beating, to_its_end
from activities.held_exits import HeldExits
from activities.ingest import Ingest
from activities.stream_wakes import StreamWakes
from activities.telemetry import UNMEASURED, Telemetry
from activities.wallets import SeenShares, venue_shares
from domain.claims import (
    ClaimAnswer,
    Claimed,
    ClaimRefusal,
    Granted,
    Held,
    Reduced,
    Refused,
    StoredClaim,
    only_reduces,
)
from domain.errors import CredentialsMissing, StorageUnavailable, UnknownToken, VenueBlocked, VenueError
from domain.ids import TokenId, exit_order_id
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
    ReadMarket,
    RecalledOrder,
    RecallOrder,
    RecallSales,
    ReleaseShares,
)
from domain.orders import Answer, AnswerKind, Attempt, Side, WalletHolding
from domain.ports import Book, CancelOutcome, Clock, MarketData, Signals, Trading, Venues
from domain.positions import PositionKey
from domain.quotes import MAX_LADDER_LEVELS
from storage.repositories.claims import Claims
from storage.repositories.instruments import Instruments
from storage.repositories.ledger import Ledger
from storage.repositories.projections import Projections

log = structlog.get_logger()

# An order has left long before; a venue on the same machine has answered by then.
ON_THE_WIRE_S = 0.003
# A look-up and a post must both fit into one try of the activity.
LOOK_UP_LIMIT_S = 1.0

_STANDS = frozenset({AnswerKind.ACCEPTED, AnswerKind.REGISTERED})
# Whoever sends anew reads the market and the holding first. A target that nobody pays is armed again at once.
_BRINGS_FACTS = _STANDS | {AnswerKind.NO_LIQUIDITY}
_REFUSES = frozenset({AnswerKind.REBUILD, AnswerKind.NO_LIQUIDITY, AnswerKind.BLOCKED, AnswerKind.FINAL})


class TradingActivities:
    """Activities of orders. Constructed once per worker with the ports and repositories."""

    def __init__(
        self,
        *,
        claims: Claims,
        projections: Projections,
        ledger: Ledger,
        instruments: Instruments,
        ingest: Ingest,
        venues: Venues,
        signals: Signals,
        clock: Clock,
        heard_by: timedelta,
        held_exits: HeldExits,
        look_up_limit_s: float = LOOK_UP_LIMIT_S,
        telemetry: Telemetry = UNMEASURED,
    ) -> None:
        """Take the parts."""
        self._look_up_limit_s = look_up_limit_s
        self._heard_by = heard_by
        self._held_exits = held_exits
        self._claims = claims
        self._projections = projections
        self._ledger = ledger
        self._instruments = instruments
        self._ingest = ingest
        self._venues = venues
        self._wakes = StreamWakes(signals, clock)
        self._clock = clock
        self._telemetry = telemetry

    # -- placing --------------------------------------------------------------------------------

    @activity.defn
    @beating()
    async def place_order(self, request: PlaceOrder) -> PlaceResult:
        """Claim the attempt, then sign and post it; a repeated call looks up before it sends again.

        Raises:
            StorageUnavailable: nothing was sent, since no claim could be made; Temporal tries again.
        """
        return await to_its_end(self._place(request))

    async def _place(self, request: PlaceOrder) -> PlaceResult:
        attempt = request.attempt
        try:
            trading = await self._session_of(attempt)
        except CredentialsMissing as error:
            await self._show_unsent(request)
            return PlaceResult(kind=PlaceKind.REFUSED, refusal=error.code, detail=str(error))
        claim = await self._claim(trading, request)
        match claim:
            case Granted(resend=False):
                return await self._post(trading, request, claim.stored, doubt=False)
            case Granted():
                return await self._again(trading, request, claim)
            case Claimed():
                await self._show(request)
                return PlaceResult(
                    kind=PlaceKind.ADOPTED,
                    venue_order_id=claim.stored.venue_order_id,
                    adopted=claim.stored.attempt,
                    detail="another order stands for this attempt",
                )
            case Reduced():
                await self._show_unsent(request)
                return PlaceResult(kind=PlaceKind.REDUCED, available=claim.available)
            case Held():
                await self._show_unsent(request)
                return PlaceResult(kind=PlaceKind.HELD, held_by=claim.order_ids, available=claim.available)
            case Refused():
                stored = await self._claims.find(attempt.order_id, attempt.attempt)
                return await self._held_back(attempt, _refused(claim, stored))

    async def _held_back(self, attempt: Attempt, refused: PlaceResult) -> PlaceResult:
        """Tell an exit that a breaker holds when to try again, by how many others wait."""
        if refused.refusal != ClaimRefusal.BREAKER_OPEN.value or not only_reduces(attempt):
            return refused
        return replace(refused, turn_ms=await self._held_exits.turn_ms(attempt.venue, attempt.mode))

    async def _claim(self, trading: Trading, request: PlaceOrder) -> ClaimAnswer:
        """Claim, and sign while Postgres works: both take about as long, and signing is a pure function."""
        attempt = request.attempt
        venue_order_id = trading.venue_order_id(attempt)
        claim = self._claims.claim(request, venue_order_id, self._now_ms())
        claiming = asyncio.create_task(self._telemetry.claiming(attempt, claim))
        await asyncio.sleep(0)
        trading.prepare(attempt)
        return await claiming

    async def _post(
        self, trading: Trading, request: PlaceOrder, stored: StoredClaim, *, doubt: bool
    ) -> PlaceResult:
        """Post, and write the rule's rows while the order is on its way."""
        attempt, began_ms = request.attempt, self._clock.monotonic_ms()
        posting = asyncio.create_task(self._telemetry.posting(attempt, trading.place(attempt)))
        # The rows' turn comes when the order is on the wire: their work would hold it back.
        await asyncio.wait((posting,), timeout=ON_THE_WIRE_S)
        await self._show(request)
        answer = await posting
        log.info(
            "order.posted",
            order_id=attempt.order_id,
            attempt=attempt.attempt,
            answer=answer.kind.value,
            code=answer.code,
        )
        try:
            recorded = await self._claims.record_answer(
                attempt.order_id,
                attempt.attempt,
                answer,
                doubt,
                posts=stored.posts,
                took_ms=self._clock.monotonic_ms() - began_ms,
            )
        except StorageUnavailable as error:
            # The outcome stays in this activity's result; a retry would find the order by its id. A
            # breaker that did not hear of it needs one more.
            log.warning("claim.answer_not_recorded", order_id=attempt.order_id, error=str(error))
        else:
            if recorded.lets_exits_go:
                self._held_exits.let_go()
        if answer.kind in _STANDS or answer.kind is AnswerKind.UNKNOWN:
            await self._wakes.wake(attempt.account_id, attempt.venue, attempt.mode)
        return await self._answered(attempt, stored, answer, doubt=doubt)

    async def _answered(
        self, attempt: Attempt, stored: StoredClaim, answer: Answer, *, doubt: bool
    ) -> PlaceResult:
        """Return the answer, with what is booked: nobody told its host meanwhile."""
        facts = None
        if answer.kind in _BRINGS_FACTS:
            try:
                known = await self._ledger.order_facts(_ref_of(attempt, stored))
                facts = replace(known, at_ms=self._now_ms())
            except StorageUnavailable as error:  # the host asks again in its own time
                log.warning("order.facts_unread", order_id=attempt.order_id, error=str(error))
        return PlaceResult(
            kind=PlaceKind.ANSWERED,
            venue_order_id=stored.venue_order_id,
            answer=answer,
            unknown_before=doubt,
            posts=stored.posts,
            last_post_at_ms=stored.last_post_at_ms or self._now_ms(),
            facts=facts,
        )

    async def _show_unsent(self, request: PlaceOrder) -> None:
        """Write all rows of a step that no claim wrote: its events (what was crossed, when) come only once.

        Raises:
            StorageUnavailable: nothing was sent; Temporal tries again.
        """
        await self._projections.apply(request.rule, request.order)
        self._telemetry.projected(request.rule)

    async def _show(self, request: PlaceOrder) -> None:
        """Write the rows of the step that asks; later ones say more, so a failure here is not the order's."""
        try:
            await self._projections.apply(request.rule)
            self._telemetry.projected(request.rule)
        except StorageUnavailable as error:
            log.warning("step.not_written", order_id=request.attempt.order_id, error=str(error))

    async def _again(self, trading: Trading, request: PlaceOrder, claim: Granted) -> PlaceResult:
        """A send of this attempt began before: go by its answer, or look it up, or send the same bytes."""
        attempt, stored = request.attempt, claim.stored
        doubt = _in_doubt(stored)
        await self._show(request)
        if stored.answer is not None and not stored.may_be_sent:
            return await self._answered(attempt, stored, stored.answer, doubt=stored.unknown_before)
        if doubt:
            found = await self._find(attempt, stored)
            if found is not None:
                return await self._answered(attempt, stored, found, doubt=True)
        granted = await self._claims.begin_resend(
            attempt.order_id,
            attempt.attempt,
            self._now_ms(),
            request.send_until_ms,
            probes=claim.probes,
        )
        if isinstance(granted, Refused):
            return await self._held_back(attempt, _refused(granted, stored))
        return await self._post(trading, request, granted.stored, doubt=doubt)

    async def _find(self, attempt: Attempt, stored: StoredClaim) -> Answer | None:
        """Look an attempt up: REGISTERED when it is there, UNKNOWN if nobody can say, None when absent."""
        try:
            async with asyncio.timeout(self._look_up_limit_s):
                found = await self._ingest.look_up(_ref_of(attempt, stored))
        except (CredentialsMissing, VenueError, TimeoutError) as error:
            return Answer(
                kind=AnswerKind.UNKNOWN, code="look_up_failed", detail=str(error) or "no answer in time"
            )
        if found is None:
            return None
        return Answer(
            kind=AnswerKind.REGISTERED,
            code="found",
            venue_order_id=found.venue_order_id,
            status=found.status,
        )

    async def _session_of(self, attempt: Attempt) -> Trading:
        """Return the session of the attempt's own wallet, whichever the account uses by now."""
        return await self._venues.trading(
            attempt.account_id, attempt.venue, attempt.mode, attempt.wallet.wallet_id
        )

    # -- following ------------------------------------------------------------------------------

    @activity.defn
    @beating()
    async def follow_order(self, request: FollowOrder) -> OrderFacts:
        """Return what is known of an attempt, asking the venue first when told to."""
        looked_up, blocked = False, ""
        if request.look_up:
            try:
                looked_up = await self._look_up(request.ref)
            except (CredentialsMissing, VenueBlocked) as error:
                log.warning("order.look_up_blocked", order_id=request.ref.order_id, code=error.code)
                blocked = str(error) or error.code
        facts = await self._ledger.order_facts(request.ref, looked_up=looked_up)
        return replace(facts, blocked=blocked, at_ms=self._now_ms())

    async def _look_up(self, ref: OrderRef) -> bool:
        """Look up; False when the venue could not be asked, which the facts then say."""
        try:
            await self._ingest.look_up(ref)
        except VenueBlocked:
            raise
        except VenueError as error:
            log.warning("order.look_up_failed", order_id=ref.order_id, code=error.code)
            return False
        return True

    @activity.defn
    @beating()
    async def confirm_absent(self, ref: OrderRef) -> bool:
        """Whether the venue has nothing of an attempt: no order, no trade, nothing in its refreshed balance.

        The ledger counts what all wallets hold, so all of them are asked.
        """
        try:
            sessions = await self._venues.sessions(ref.account_id, ref.venue, ref.mode)
            if await self._ingest.look_up(ref) is not None:
                return False
        except CredentialsMissing:
            return False  # nobody can say; the next look-up tells why
        facts = await self._ledger.order_facts(ref, looked_up=True)
        if facts.booked_shares != 0:
            return False
        claim = await self._claims.find(ref.order_id, ref.attempt)
        if self._is_old(ref, claim):
            return True
        seen = await venue_shares(sessions, ref.token_id)
        return _rules_out(claim, seen, await self._ledger.holding(_key_of(ref)))

    def _is_old(self, ref: OrderRef, claim: StoredClaim | None) -> bool:
        """Whether so much time passed since the last send that what came of it would have been heard.

        Only then does the balance no longer count: shares may have moved elsewhere, and the ledger follows
        such moves only when no order is unsettled.
        """
        last_post_ms = (claim.last_post_at_ms if claim is not None else None) or ref.placed_at_ms
        return self._now_ms() - last_post_ms >= self._heard_by // timedelta(milliseconds=1)

    @activity.defn
    async def recall_order(self, request: RecallOrder) -> RecalledOrder:
        """Return the attempts of an order that stand as claims."""
        stored = await self._claims.of_order(request.order_id)
        return RecalledOrder(claims=tuple(_claimed(claim) for claim in stored))

    @activity.defn
    async def recall_sales(self, request: RecallSales) -> ForgottenSales:
        """Return what the rule's exits sold whose generations it does not know."""
        known = {
            exit_order_id(request.rule_id, generation) for generation in range(1, request.generation + 1)
        }
        stored = await self._claims.of_host(request.host_workflow_id)
        forgotten = [claim for claim in stored if claim.attempt.order_id not in known]
        facts = [await self._ledger.order_facts(_ref_of(claim.attempt, claim)) for claim in forgotten]
        return ForgottenSales(
            shares=sum((each.booked_shares for each in facts), Decimal(0)),
            proceeds_usd=sum((each.notional_usd for each in facts), Decimal(0)),
            fee_usd=sum((each.fee_usd for each in facts), Decimal(0)),
        )

    # -- reading and cancelling -------------------------------------------------------------------

    @activity.defn
    @beating()
    async def read_market(self, request: ReadMarket) -> FreshRead:
        """Return the instrument, a fresh book and the holding, for building an attempt.

        A market at its end has no book any more: an empty one then stands for it.

        Raises:
            VenueError: the venue cannot be read, or keeps no book for a market that is not at its end.
        """
        data = self._venues.market_data(request.venue)
        instrument, book = await asyncio.gather(
            data.instrument(request.token_id), _book_if_any(data, request.token_id)
        )
        await self._instruments.put(instrument)
        holder = await self._holder(request) if request.holder else None
        if book is None and not instrument.state.is_final:
            raise UnknownToken("the venue keeps no book for this token")
        return FreshRead(
            instrument=instrument,
            bids=book.bids[:MAX_LADDER_LEVELS] if book is not None else (),
            asks=book.asks[:MAX_LADDER_LEVELS] if book is not None else (),
            last=book.last if book is not None else None,
            holding=await self._ledger.holding(_key_of(request)),
            holder=holder,
        )

    async def _holder(self, request: ReadMarket) -> WalletHolding | None:
        """Return the wallet that holds most of the token; None where nobody can say: it is advice."""
        place = (request.account_id, request.venue, request.mode)
        try:
            wallet = await self._venues.wallet(*place, holding=request.token_id)
            trading = await self._venues.trading(*place, wallet.wallet_id)
            return WalletHolding(wallet=wallet, shares=(await trading.holding(request.token_id)).amount)
        except (CredentialsMissing, VenueError) as error:
            log.warning("holder.unknown", account_id=request.account_id, code=error.code)
            return None

    @activity.defn
    @beating()
    async def cancel_order(self, ref: OrderRef) -> CancelOutcome:
        """Cancel at the venue, then book what the venue says of the order (a cancel's answer has no size).

        Raises:
            ApplicationError: the account has no credentials; the look-up that follows shows it as blocked.
        """
        try:
            trading = await self._venues.trading(ref.account_id, ref.venue, ref.mode, ref.wallet_id)
        except CredentialsMissing as error:
            raise ApplicationError(str(error), type=error.code, non_retryable=True) from None
        outcome = await trading.cancel(ref.venue_order_id)
        await self._ingest.look_up(ref)
        return outcome

    @activity.defn
    @beating()
    async def release_shares(self, request: ReleaseShares) -> int:
        """Cancel the resting sells that stand in an exit's way; return how many there were.

        Raises:
            ApplicationError: the account has no credentials; the next claim shows it as blocked.
        """
        try:
            return await self._release(request)
        except CredentialsMissing as error:
            raise ApplicationError(str(error), type=error.code, non_retryable=True) from None

    async def _release(self, request: ReleaseShares) -> int:
        if request.held_by:
            return await self._release_ours(request)
        claim = await self._claims.latest_of(request.for_order_id)
        wallet_id = claim.attempt.wallet.wallet_id if claim is not None else None
        place = (request.account_id, request.venue, request.mode)
        trading = await self._venues.trading(*place, wallet_id)
        try:
            seen = await venue_shares(await self._venues.sessions(*place), request.token_id)
        except VenueBlocked as error:  # what rests cannot be told from what lags
            log.warning("shares.not_counted", account_id=request.account_id, code=error.code)
            return 0
        return await self._release_whatever_rests(trading, request, seen.shares)

    async def _release_ours(self, request: ReleaseShares) -> int:
        """Cancel the orders that hold shares by our claims, and book how they ended."""
        found = [await self._claims.latest_of(order_id) for order_id in request.held_by]
        claims = [claim for claim in found if claim is not None]
        for claim in claims:
            trading = await self._session_of(claim.attempt)
            await trading.refresh_holding(request.token_id)
            await trading.cancel(claim.venue_order_id)
            await self._ingest.look_up(_ref_of(claim.attempt, claim))
        return len(claims)

    async def _release_whatever_rests(self, trading: Trading, request: ReleaseShares, shares: Decimal) -> int:
        """The venue said that the balance is short though no claim of ours binds it.

        A venue that sees less than the ledger only lags behind a purchase: no cancel would help then.

        Args:
            trading: The session of the wallet that was refused.
            request: The exit.
            shares: What the venue sees in all wallets.
        """
        held = await self._ledger.holding(_key_of(request))
        if shares < held.shares:
            return 0
        resting = [o for o in await trading.open_orders(request.token_id) if o.side is Side.SELL]
        await trading.cancel_many([order.venue_order_id for order in resting])
        ended = [await trading.find_order(o.venue_order_id, o.market_id) for o in resting]
        after = min((o.created_at for o in resting if o.created_at is not None), default=None)
        fills = await trading.fills(after=after, market_id=request.market_id) if resting else ()
        orders = [order for order in ended if order is not None]
        await self._ingest.book(request.account_id, request.venue, request.mode, fills=fills, orders=orders)
        return len(resting)

    def _now_ms(self) -> int:
        return int(self._clock.now().timestamp() * 1000)


async def _book_if_any(data: MarketData, token_id: TokenId) -> Book | None:
    try:
        return await data.book(token_id)
    except UnknownToken:
        return None


def _rules_out(claim: StoredClaim | None, seen: SeenShares, held: Holding) -> bool:
    """Whether what the venue shows leaves no room for a fill that is not booked.

    A sale would have lowered it: what was bought elsewhere, or lies in a wallet that is refused, only adds.
    """
    if claim is not None and claim.attempt.side is Side.SELL:
        return seen.shares >= held.shares
    return seen.complete and seen.shares == held.shares


def _in_doubt(stored: StoredClaim) -> bool:
    """Whether a send of this attempt may have reached the venue without our knowing."""
    return stored.unknown_before or stored.answer is None or stored.answer.kind is AnswerKind.UNKNOWN


def _refused(refused: Refused, stored: StoredClaim | None) -> PlaceResult:
    """What forbids the send, and what an earlier send of the same attempt left open."""
    refusal, detail = refused.refusal.value, refused.detail
    if stored is None:
        return PlaceResult(kind=PlaceKind.REFUSED, refusal=refusal, detail=detail)
    return PlaceResult(
        kind=PlaceKind.REFUSED,
        venue_order_id=stored.venue_order_id,
        refusal=refusal,
        detail=detail,
        unknown_before=_in_doubt(stored),
        posts=stored.posts,
        last_post_at_ms=stored.last_post_at_ms,
    )


def _claimed(claim: StoredClaim) -> ClaimedAttempt:
    answer = claim.answer
    refused = answer is not None and answer.kind in _REFUSES and not claim.unknown_before
    killed = answer is not None and answer.kind is AnswerKind.NO_LIQUIDITY
    return ClaimedAttempt(
        attempt=claim.attempt,
        venue_order_id=claim.venue_order_id,
        settled=refused or killed,
        last_post_at_ms=claim.last_post_at_ms or 0,
    )


def _ref_of(attempt: Attempt, stored: StoredClaim) -> OrderRef:
    return OrderRef(
        order_id=attempt.order_id,
        attempt=attempt.attempt,
        account_id=attempt.account_id,
        venue=attempt.venue,
        mode=attempt.mode,
        market_id=attempt.market_id,
        token_id=attempt.token_id,
        venue_order_id=stored.venue_order_id,
        placed_at_ms=attempt.timestamp_ms,
        wallet_id=attempt.wallet.wallet_id,
    )


def _key_of(subject: OrderRef | ReadMarket | ReleaseShares) -> PositionKey:
    return PositionKey(
        account_id=subject.account_id, venue=subject.venue, mode=subject.mode, token_id=subject.token_id
    )
