"""How a claim is written: beside the rows and events of the step that asks for it."""

from domain.ids import VenueOrderId
from domain.messages import PlaceOrder
from domain.money import from_micros
from domain.orders import Side
from storage.records import from_ms
from storage.repositories.projections import STEP_CTES, STEP_WRITES, ClaimLine, document_of

_FROM_BODY = (
    "order_id",
    "attempt",
    "account_id",
    "venue",
    "mode",
    "market_id",
    "token_id",
    "side",
    "purpose",
    "time_in_force",
    "shares",
    "limit_price",
)
WRITE_STEP = STEP_CTES + " SELECT 1"
_CLAIM_WRITTEN = f"""claim_written AS (
    INSERT INTO claims (
        {", ".join(_FROM_BODY)},
        venue_order_id, host_workflow_id, usd, body, posts, last_post_at, created_at
    )
    SELECT
        {", ".join("b." + name for name in _FROM_BODY)},
        c.venue_order_id, c.host_workflow_id, c.usd, c.body, 1, c.last_post_at, c.last_post_at
    FROM doc,
        jsonb_populate_record(NULL::claims, d->'claim') AS c,
        jsonb_populate_record(NULL::claims, d->'claim'->'body') AS b
    RETURNING 1
)"""  # noqa: S608 - column names of ours
WRITE_CLAIM = f"{STEP_CTES}, {_CLAIM_WRITTEN} SELECT count(*) FROM claim_written"  # noqa: S608 - fixed text
# The claim of an exit that nothing speaks against, in one round trip: the facts are read under the position's
# lock, and without one of these conditions the document is empty, so that nothing is written. It may be
# stricter than `judge_claim`, which hears whatever is not granted here, and never more generous.
CLAIM_PLAINLY = f"""WITH facts AS MATERIALIZED (
        SELECT claim_facts($2, $3, $4, $5, $6, $7, $8, $9, false, $10) AS f
    ),
    doc AS MATERIALIZED (
        SELECT $1::jsonb AS d, pg_current_xact_id() AS xid FROM facts
        WHERE f->'existing' = 'null' AND f->'unsettled' = '[]' AND f->'breakers' = 'null'
            AND f->>'kill_switch_global' = 'off' AND f->'account'->>'kill_switch' = 'off'
            AND (f->'account'->'live_acknowledged' = 'true' OR $4 = 'paper')
            AND (f->'market_state' = 'null' OR f->>'market_state' = 'open')
            AND (f->>'held_shares')::numeric >= $11::numeric
    ),
    {STEP_WRITES}, {_CLAIM_WRITTEN}
    SELECT count(*) FROM claim_written"""  # noqa: S608 - fixed text


def claim_document(request: PlaceOrder, venue_order_id: VenueOrderId, now_ms: int) -> str:
    """Return what a new claim writes.

    The rule's rows can follow while the order is on its way; the order's row counts here.
    """
    line = _claim_line(request, venue_order_id, now_ms)
    return document_of(request.rule, request.order, line, rule_rows=False)


def _claim_line(request: PlaceOrder, venue_order_id: VenueOrderId, now_ms: int) -> ClaimLine:
    attempt = request.attempt
    micros = attempt.maker_amount if attempt.side is Side.BUY else attempt.taker_amount
    return ClaimLine(
        venue_order_id=venue_order_id,
        host_workflow_id=request.order.order.host_workflow_id,
        usd=from_micros(micros),
        last_post_at=from_ms(now_ms),
        body=attempt,
    )
