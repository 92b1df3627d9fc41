-- What limits of entries are judged by: the day's orders and money (UTC), and what stands open. An order's own
-- earlier attempts cost what they filled, and no second slot.
CREATE FUNCTION entry_facts(p_account text, p_mode text, p_order text, p_now timestamptz) RETURNS jsonb
LANGUAGE sql STABLE AS $$
WITH today AS (
    SELECT
        c.order_id,
        u.order_id IS NOT NULL AND c.order_id <> p_order AS open,
        c.usd,
        COALESCE((
            SELECT SUM(CASE l.kind WHEN 'fill' THEN l.notional_usd ELSE -l.notional_usd END)
            FROM ledger AS l
            WHERE l.venue_order_id = c.venue_order_id AND l.account_id = c.account_id AND l.venue = c.venue
                AND l.mode = c.mode AND l.kind IN ('fill', 'reversal')
        ), 0) AS booked_usd
    FROM claims AS c
    LEFT JOIN unsettled_claims AS u ON u.order_id = c.order_id AND u.attempt = c.attempt
    WHERE c.account_id = p_account AND c.mode = p_mode AND c.purpose = 'entry'
        AND c.created_at >= date_trunc('day', p_now, 'UTC')
)
SELECT jsonb_build_object(
    'orders_today', (
        SELECT COUNT(DISTINCT order_id) FROM today WHERE order_id <> p_order AND (open OR booked_usd > 0)
    ),
    'spent_today_usd', (
        SELECT COALESCE(SUM(CASE WHEN open THEN GREATEST(usd, booked_usd) ELSE booked_usd END), 0)::text FROM today
    ),
    'exposure_usd', (
        (
            SELECT COALESCE(SUM(GREATEST(p.cost_usd, 0)), 0) FROM positions AS p
            WHERE p.account_id = p_account AND p.mode = p_mode AND p.shares <> 0
        ) + (
            SELECT COALESCE(SUM(u.reserved_usd), 0) FROM unsettled_claims AS u
            WHERE u.account_id = p_account AND u.mode = p_mode AND u.purpose = 'entry' AND u.order_id <> p_order
        )
    )::text
)
$$
