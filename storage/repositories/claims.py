"""Claims: the reservation before every send, on the raw pool.

An exit that nothing speaks against is claimed in one round trip. Anything else costs four more, and an open
breaker another two: the claim then takes the next probe in its own transaction.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal

import asyncpg
from pydantic import TypeAdapter

from domain.breakers import OpenBreakers, is_failure
from domain.claims import (
    ClaimAnswer,
    Granted,
    Refused,
    StoredClaim,
    granted,
    held_back,
    judge_claim,
    only_reduces,
)
from domain.errors import NotFound
from domain.ids import AccountId, OrderId, TokenId, VenueOrderId
from domain.messages import OrderRef, PlaceOrder
from domain.orders import Answer, Mode, Purpose, Side
from storage.database import Database
from storage.records import from_ms, read_all, read_one
from storage.repositories.breakers import Breakers
from storage.repositories.claim_facts import read_facts
from storage.repositories.claim_writes import CLAIM_PLAINLY, WRITE_CLAIM, WRITE_STEP, claim_document
from storage.repositories.projections import Hints, document_of, give_hints


@dataclass(frozen=True, slots=True, kw_only=True)
class UnsettledClaim:
    """An attempt that may still fill at its venue, with what it binds."""

    ref: OrderRef
    side: Side
    purpose: Purpose
    resting: bool
    reserved_shares: Decimal
    host_workflow_id: str
    posts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Recorded:
    """What the statement that writes an answer says."""

    written: bool
    counting: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedAnswer:
    """What writing an answer came to.

    Attributes:
        written: It belonged to the latest send.
        lets_exits_go: It closed the venue's breaker, which may have held exits.
    """

    written: bool
    lets_exits_go: bool = False


_RECORDED = TypeAdapter(_Recorded)
_STORED = TypeAdapter(StoredClaim)
_ANSWER = TypeAdapter(Answer)
_UNSETTLED = TypeAdapter(UnsettledClaim)

_STORED_COLUMNS = """c.body AS attempt, c.venue_order_id, c.posts, c.unknown_before, c.answer,
    (EXTRACT(EPOCH FROM c.last_post_at) * 1000)::bigint AS last_post_at_ms"""
_FIND = f"SELECT {_STORED_COLUMNS} FROM claims AS c WHERE c.order_id = $1 AND c.attempt = $2"  # noqa: S608
_OF_ORDER = f"SELECT {_STORED_COLUMNS} FROM claims AS c WHERE c.order_id = $1 ORDER BY c.attempt"  # noqa: S608
_OF_HOST = f"""SELECT {_STORED_COLUMNS} FROM claims AS c
    WHERE c.host_workflow_id = $1 AND (NOT $2 OR EXISTS (
        SELECT 1 FROM unsettled_claims AS u WHERE u.order_id = c.order_id AND u.attempt = c.attempt
    )) ORDER BY c.created_at, c.order_id, c.attempt"""  # noqa: S608
# What was answered before says nothing of the send that begins now. Unless the venue surely did not take
# the earlier send, it may have arrived.
_BEGIN_RESEND = f"""UPDATE claims AS c SET
        posts = c.posts + 1,
        last_post_at = $3,
        unknown_before = c.unknown_before
            OR COALESCE(c.answer_kind, 'unknown') IN ('unknown', 'accepted', 'registered'),
        answer = NULL,
        answer_kind = NULL
    WHERE c.order_id = $1 AND c.attempt = $2
    RETURNING {_STORED_COLUMNS}"""  # noqa: S608
# In the same breath: whether a breaker counts failures, or is open. While all is well none does, and a good
# answer costs no second statement.
_RECORD_ANSWER = """WITH written AS (
        UPDATE claims SET answer = $3::jsonb, answer_kind = $4, unknown_before = unknown_before OR $5
        WHERE order_id = $1 AND attempt = $2 AND ($6::bigint IS NULL OR posts = $6) RETURNING 1
    )
    SELECT EXISTS (SELECT 1 FROM written) AS written, EXISTS (
        SELECT 1 FROM breakers AS b
        WHERE b.venue = c.venue AND b.mode = c.mode AND b.account_id IN ('', c.account_id)
            AND (b.failures > 0 OR b.opened_at IS NOT NULL)
    ) AS counting
    FROM claims AS c WHERE c.order_id = $1 AND c.attempt = $2"""
_UNSETTLED_SELECT = """SELECT * FROM unsettled_claims
    WHERE account_id = $1 AND venue = $2 AND mode = $3 AND token_id = $4 ORDER BY order_id, attempt"""


class Claims:
    """The claims of all orders. `place_order` alone writes here.

    Args:
        database: Where they are.
        hints: Who is told of events.
        breakers: What counts the answers, and gives out probes; by the defaults unless given.
    """

    def __init__(self, database: Database, hints: Hints, breakers: Breakers | None = None) -> None:
        self._database = database
        self._hints = hints
        self._breakers = breakers or Breakers(database, hints)

    async def claim(self, request: PlaceOrder, venue_order_id: VenueOrderId, now_ms: int) -> ClaimAnswer:
        """Judge an attempt under the lock of its position and reserve what it needs.

        Granted for the first time: the claim stands with its first send counted, and the order's row and all
        events are written with it (the rule's rows are left to the caller). Refused: all rows of the request
        are written, so that waiting shows. Otherwise nothing changes.

        Args:
            request: The attempt and the projections of the step that asks.
            venue_order_id: The id that the venue will give these bytes.
            now_ms: Wall time, Unix milliseconds.

        Raises:
            StorageUnavailable: Postgres cannot be reached now. The claim may stand all the same; asking again
                then answers `Granted` with `resend`.
        """
        attempt = request.attempt
        plain = await self._claim_plainly(request, venue_order_id, now_ms)
        if plain is not None:
            return plain
        async with self._database.hot.transaction() as connection:
            settled = request.order.order.settled_attempt
            facts = await read_facts(
                connection, attempt, settled, now_ms, request.send_until_ms, self._breakers.pace
            )
            answer = judge_claim(facts, attempt, venue_order_id)
            if isinstance(answer, Granted) and answer.probes:
                answer = await self._probe(connection, answer)
            if isinstance(answer, Granted) and not answer.resend:
                await connection.fetchval(WRITE_CLAIM, claim_document(request, venue_order_id, now_ms))
            elif isinstance(answer, Refused):
                await connection.fetchval(WRITE_STEP, document_of(request.rule, request.order))
            else:
                return answer
        give_hints(self._hints, request.rule if isinstance(answer, Refused) else None, request.order)
        return answer

    async def _claim_plainly(
        self, request: PlaceOrder, venue_order_id: VenueOrderId, now_ms: int
    ) -> Granted | None:
        """Claim an exit that nothing speaks against; None when `judge_claim` has to be heard."""
        attempt = request.attempt
        if not only_reduces(attempt) or request.send_until_ms is not None:
            return None
        async with self._database.hot.connection() as connection:
            # One statement is one transaction.
            written = await connection.fetchval(
                CLAIM_PLAINLY,
                claim_document(request, venue_order_id, now_ms),
                attempt.account_id,
                attempt.venue,
                attempt.mode.value,
                attempt.token_id,
                attempt.market_id,
                attempt.order_id,
                attempt.attempt,
                request.order.order.settled_attempt,
                from_ms(now_ms),
                attempt.shares,
            )
        if not written:
            return None
        give_hints(self._hints, None, request.order)
        return granted(attempt, venue_order_id, now_ms)

    async def _probe(self, connection: asyncpg.Connection, grant: Granted) -> Granted | Refused:
        """Take the probe that a granted send needs; refuse it when another send was first."""
        attempt = grant.stored.attempt
        standing = await self._breakers.take_probe(connection, attempt)
        return grant if standing is None else held_back(standing, attempt)

    async def begin_resend(
        self,
        order_id: OrderId,
        attempt: int,
        now_ms: int,
        send_until_ms: int | None,
        *,
        probes: bool = False,
    ) -> Granted | Refused:
        """Judge switches, mode, time and breakers again and count another send of the same bytes.

        Whether the stored answer calls for a send is the caller's to know: the send that is asked for here is
        judged and counted whatever was answered before.

        Args:
            order_id: The claim's order.
            attempt: The claim's attempt.
            now_ms: Wall time, Unix milliseconds.
            send_until_ms: Last moment at which the send may begin.
            probes: The claim that led here took the probe of an open breaker for this send.

        Raises:
            NotFound: No such claim.
            StorageUnavailable: Postgres cannot be reached now.
        """
        async with self._database.hot.transaction() as connection:
            row = await connection.fetchrow(_FIND, order_id, attempt)
            if row is None:
                raise NotFound(f"no claim of attempt {attempt} of order {order_id}")
            known = _stored(row)
            facts = await read_facts(
                connection, known.attempt, attempt, now_ms, send_until_ms, self._breakers.pace
            )
            unanswered = replace(known, answer=None)
            facts = replace(facts, existing=unanswered, breakers=OpenBreakers() if probes else facts.breakers)
            answer = judge_claim(facts, known.attempt, known.venue_order_id)
            if isinstance(answer, Granted) and answer.probes:
                answer = await self._probe(connection, answer)
            if isinstance(answer, Refused):
                return answer
            if isinstance(answer, Granted):
                counted = await connection.fetchrow(_BEGIN_RESEND, order_id, attempt, from_ms(now_ms))
                if counted is not None:
                    return Granted(resend=True, stored=_stored(counted))
        raise NotFound(f"attempt {attempt} of order {order_id} has no claim that could be sent again")

    async def record_answer(
        self,
        order_id: OrderId,
        attempt: int,
        answer: Answer,
        unknown_before: bool,
        *,
        posts: int | None = None,
        took_ms: int = 0,
    ) -> RecordedAnswer:
        """Write down what the venue answered to the latest send, and let breakers count it.

        Args:
            order_id: The claim's order.
            attempt: The claim's attempt.
            answer: The classified answer.
            unknown_before: An earlier send of this attempt may have arrived; once true it stays true.
            posts: The count of sends that the answer belongs to; when another send began meanwhile the answer
                is not written.
            took_ms: How long ago the send began.

        Returns:
            Whether it was written, and whether it let held exits go.

        Raises:
            StorageUnavailable: Postgres cannot be reached now.
        """
        async with self._database.hot.connection() as connection:
            row = await connection.fetchrow(
                _RECORD_ANSWER,
                order_id,
                attempt,
                _ANSWER.dump_json(answer).decode(),
                answer.kind.value,
                unknown_before,
                posts,
            )
        if row is None:
            return RecordedAnswer(written=False)
        recorded, lets_exits_go = read_one(_RECORDED, row), False
        if recorded.counting or is_failure(answer.kind):
            sent = await self.find(order_id, attempt)
            if sent is not None:
                lets_exits_go = await self._breakers.count(sent.attempt, answer.kind, took_ms)
        return RecordedAnswer(written=recorded.written, lets_exits_go=lets_exits_go)

    async def find(self, order_id: OrderId, attempt: int) -> StoredClaim | None:
        """Return one claim."""
        async with self._database.hot.connection() as connection:
            row = await connection.fetchrow(_FIND, order_id, attempt)
        return None if row is None else _stored(row)

    async def of_order(self, order_id: OrderId) -> list[StoredClaim]:
        """Return all claims of an order, oldest attempt first."""
        async with self._database.hot.connection() as connection:
            return [_stored(row) for row in await connection.fetch(_OF_ORDER, order_id)]

    async def latest_of(self, order_id: OrderId) -> StoredClaim | None:
        """Return the claim of an order's highest attempt."""
        claims = await self.of_order(order_id)
        return claims[-1] if claims else None

    async def of_host(self, host_workflow_id: str, *, unsettled_only: bool = False) -> list[StoredClaim]:
        """Return the claims of the orders that a workflow hosts, oldest first."""
        async with self._database.hot.connection() as connection:
            rows = await connection.fetch(_OF_HOST, host_workflow_id, unsettled_only)
        return [_stored(row) for row in rows]

    async def unsettled_of(
        self, account_id: AccountId, venue: str, mode: Mode, token_id: TokenId
    ) -> list[UnsettledClaim]:
        """Return the attempts on a token, of either side, that may still fill."""
        async with self._database.hot.connection() as connection:
            rows = await connection.fetch(_UNSETTLED_SELECT, account_id, venue, mode.value, token_id)
        return read_all(_UNSETTLED, [{**row, "ref": dict(row)} for row in rows])


def _stored(row: Mapping[str, object]) -> StoredClaim:
    return read_one(_STORED, row)
