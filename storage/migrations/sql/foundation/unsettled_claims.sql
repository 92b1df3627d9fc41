-- An attempt that may still fill at its venue. Settled is: the host said so (settled_attempt), a definite
-- refusal without an unknown send before, or a terminal order whose matched size is booked.
CREATE VIEW unsettled_claims AS
SELECT
    c.order_id,
    c.attempt,
    c.venue_order_id,
    c.host_workflow_id,
    c.account_id,
    c.venue,
    c.mode,
    c.market_id,
    c.token_id,
    c.side,
    c.purpose,
    c.time_in_force IN ('GTC', 'GTD') AS resting,
    c.shares,
    c.usd,
    c.posts,
    c.created_at,
    (EXTRACT(EPOCH FROM c.created_at) * 1000)::bigint AS placed_at_ms,
    GREATEST(c.shares - booked.shares, 0) AS reserved_shares,
    GREATEST(c.usd - booked.usd, 0) AS reserved_usd
FROM claims AS c
JOIN orders AS o ON o.order_id = c.order_id AND o.settled_attempt < c.attempt
LEFT JOIN venue_orders AS v
    ON v.account_id = c.account_id
    AND v.venue = c.venue
    AND v.mode = c.mode
    AND v.venue_order_id = c.venue_order_id
CROSS JOIN LATERAL (
    SELECT
        COALESCE(SUM(l.shares) FILTER (WHERE l.kind = 'fill'), 0) AS reported,
        COALESCE(SUM(CASE l.kind WHEN 'fill' THEN l.shares ELSE -l.shares END), 0) AS shares,
        COALESCE(SUM(CASE l.kind WHEN 'fill' THEN l.notional_usd ELSE -l.notional_usd END), 0) AS usd
    FROM ledger AS l
    WHERE l.venue_order_id = c.venue_order_id
        AND l.account_id = c.account_id
        AND l.venue = c.venue
        AND l.mode = c.mode
        AND l.kind IN ('fill', 'reversal')
) AS booked
WHERE NOT (
        COALESCE(c.answer_kind, '') IN ('rebuild', 'no_liquidity', 'blocked', 'final')
        AND NOT c.unknown_before
    )
    AND NOT (COALESCE(v.terminal, FALSE) AND booked.reported >= v.matched_shares)
