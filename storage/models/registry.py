"""Every table, imported so that the metadata knows it; migrations compare against this."""

from sqlalchemy import MetaData

from storage.models import (
    accounts,
    api_keys,
    audit,
    breakers,
    claims,
    credentials,
    feed_leases,
    feed_status,
    idempotency,
    instruments,
    ledger,
    orders,
    paper_orders,
    position_checkpoints,
    positions,
    rule_events,
    rules,
    switches,
    tape,
    venue_orders,
    wallets,
    watches,
)
from storage.models.base import Base

TABLE_MODULES = (
    accounts,
    api_keys,
    audit,
    breakers,
    claims,
    credentials,
    feed_leases,
    feed_status,
    idempotency,
    instruments,
    ledger,
    orders,
    paper_orders,
    position_checkpoints,
    positions,
    rule_events,
    rules,
    switches,
    tape,
    venue_orders,
    wallets,
    watches,
)


def metadata() -> MetaData:
    """Return the description of all tables."""
    return Base.metadata
