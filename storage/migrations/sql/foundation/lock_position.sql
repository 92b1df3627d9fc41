-- Locks the row that claims and booking of one position pass through one after another, and returns the shares.
CREATE FUNCTION lock_position(p_account text, p_venue text, p_mode text, p_token text, p_market text)
RETURNS numeric
LANGUAGE plpgsql AS $$
DECLARE
    held numeric;
BEGIN
    LOOP
        SELECT shares INTO held FROM positions
        WHERE account_id = p_account AND venue = p_venue AND mode = p_mode AND token_id = p_token
        FOR UPDATE;
        IF FOUND THEN
            RETURN held;
        END IF;
        INSERT INTO positions (account_id, venue, mode, token_id, market_id)
        VALUES (p_account, p_venue, p_mode, p_token, p_market)
        ON CONFLICT DO NOTHING;
    END LOOP;
END
$$
