"""Which shard of a venue a token belongs to: the one place that says so, as SQL."""


def in_shard(token: str, *, shard: str, shards: str) -> str:
    """Return the condition that a token falls on `shard` of `shards`, by a hash that never changes.

    Args:
        token: SQL of the token's id; the others likewise.
        shard: its number, from 0.
        shards: into how many parts the tokens are cut.
    """
    return f"mod(hashtextextended({token}, 0) & 9223372036854775807, {shards}) = {shard}"
