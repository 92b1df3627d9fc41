-- A checkpoint may be begun from as long as nothing new comes about the fills in it: neither an entry of its time
-- nor one about a fill of which it has counted an entry. Whoever writes the ledger, of whatever version, the
-- position is locked by then.
CREATE FUNCTION drop_stale_checkpoints() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM position_checkpoints AS p USING new_entries AS n
    WHERE p.account_id = n.account_id AND p.venue = n.venue AND p.mode = n.mode AND p.token_id = n.token_id
        AND (
            n.traded_at <= p.through
            OR EXISTS (
                SELECT 1 FROM ledger AS l
                WHERE l.account_id = n.account_id AND l.venue = n.venue AND l.mode = n.mode
                    AND l.fill_key = n.fill_key AND l.traded_at <= p.through
            )
        );
    RETURN NULL;
END
$$
