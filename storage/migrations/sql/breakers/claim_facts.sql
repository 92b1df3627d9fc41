-- What a claim is judged by, read under the lock of its position. The function is VOLATILE on purpose: each
-- statement in it takes a snapshot of its own, so what is read after the lock was gained holds everything that
-- the lock's former owner committed. One statement that locks and reads would see the time before it waited.
CREATE OR REPLACE FUNCTION claim_facts(
    p_account text, p_venue text, p_mode text, p_token text, p_market text,
    p_order text, p_attempt bigint, p_settled bigint, p_entry boolean, p_now timestamptz
) RETURNS jsonb
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    held numeric;
    facts jsonb;
BEGIN
    IF p_entry THEN
        -- Limits of entries hold for the whole account: its entries are claimed one after another.
        PERFORM 1 FROM accounts WHERE account_id = p_account FOR NO KEY UPDATE;
    END IF;
    held := lock_position(p_account, p_venue, p_mode, p_token, p_market);
    SELECT jsonb_build_object(
        'held_shares', held::text,
        'kill_switch_global', (SELECT kill_switch FROM global_switch),
        'account', (
            SELECT jsonb_build_object(
                'mode', a.mode, 'live_acknowledged', a.live_acknowledged, 'enabled', a.enabled,
                'kill_switch', a.kill_switch, 'policy', a.policy
            ) FROM accounts AS a WHERE a.account_id = p_account
        ),
        'market_state', (
            SELECT i.state FROM instruments AS i WHERE i.venue = p_venue AND i.token_id = p_token
        ),
        -- Milliseconds since each open breaker was last tried; NULL while none is open.
        'breakers', (
            SELECT jsonb_object_agg(
                CASE b.account_id WHEN '' THEN 'venue_idle_ms' ELSE 'account_idle_ms' END,
                (EXTRACT(EPOCH FROM clock_timestamp() - COALESCE(b.tried_at, b.opened_at)) * 1000)::bigint
            ) FROM breakers AS b
            WHERE b.venue = p_venue AND b.mode = p_mode AND b.account_id IN ('', p_account)
                AND b.opened_at IS NOT NULL
        ),
        'existing', (
            SELECT jsonb_build_object(
                'attempt', c.body, 'venue_order_id', c.venue_order_id, 'posts', c.posts,
                'unknown_before', c.unknown_before, 'answer', c.answer,
                'last_post_at_ms', (EXTRACT(EPOCH FROM c.last_post_at) * 1000)::bigint
            ) FROM claims AS c WHERE c.order_id = p_order AND c.attempt = p_attempt
        ),
        'unsettled', COALESCE(
            (
                SELECT jsonb_agg(
                    jsonb_build_object(
                        'order_id', u.order_id, 'reserved', u.reserved_shares::text, 'resting', u.resting,
                        'purpose', u.purpose, 'host', u.host_workflow_id
                    ) ORDER BY u.order_id, u.attempt
                )
                FROM unsettled_claims AS u
                WHERE u.account_id = p_account AND u.venue = p_venue AND u.mode = p_mode
                    AND u.token_id = p_token AND u.side = 'SELL'
                    -- The order's host says with this very claim up to which attempt its own are settled.
                    AND NOT (u.order_id = p_order AND (u.attempt <= p_settled OR u.attempt = p_attempt))
            ),
            '[]'
        )
    ) INTO facts;
    IF p_entry THEN
        facts := facts || jsonb_build_object('entries', entry_facts(p_account, p_mode, p_order, p_now));
    END IF;
    RETURN facts;
END
$$
