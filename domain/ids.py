"""Identifiers: what names a thing, and how names are derived.

Every id that reaches Temporal or a venue is a pure function of what it names, so a retry, a reset or
another machine derives the same one.
"""

import hashlib
import re
import uuid
from typing import NewType

AccountId = NewType("AccountId", str)
RuleId = NewType("RuleId", str)
OrderId = NewType("OrderId", str)
TokenId = NewType("TokenId", str)
MarketId = NewType("MarketId", str)
WalletId = NewType("WalletId", str)
VenueOrderId = NewType("VenueOrderId", str)

_NAMESPACE = uuid.UUID("6f1c9d1e-3f0a-5b57-9a3e-7a0f5a7c2d10")
_SEPARATOR = "\x1f"  # cannot occur in an id, so different parts never join to the same text
_FEED = re.compile(r"feed/(?P<venue>[^/]+)/(?P<shard>\d+)(?:/standby-(?P<replica>\d+))?")
MAX_SALT = 2**53 - 1  # the salt travels as a JSON number


def derived_id(prefix: str, *parts: str) -> str:
    """Return `prefix_<32 hex>`, the same for the same parts for ever."""
    return f"{prefix}_{uuid.uuid5(_NAMESPACE, _SEPARATOR.join(parts)).hex}"


def rule_id_for(account: AccountId, route: str, key: str) -> RuleId:
    """Return the rule id that belongs to an idempotency key."""
    return RuleId(derived_id("rul", account, route, key))


def order_id_for(account: AccountId, route: str, key: str) -> OrderId:
    """Return the order id that belongs to an idempotency key."""
    return OrderId(derived_id("ord", account, route, key))


def exit_order_id(rule: RuleId, generation: int) -> OrderId:
    """Return the id of the exit order that a rule's generation starts."""
    return OrderId(derived_id("ord", rule, "exit", str(generation)))


def adopting_order_id(reversed_fill_key: str, account: AccountId) -> OrderId:
    """Return the id of the order that takes up a reversal whose host is gone."""
    return OrderId(derived_id("ord", account, "reversal", reversed_fill_key))


def event_key(subject: str, kind: str, chain: str, number: int, message: str) -> str:
    """Return the key of what a workflow tells, the same when a lost task tells it again.

    Args:
        subject: The rule or order that it is about.
        kind: The event's type.
        chain: What all runs of the workflow have in common.
        number: How many of the kind it told, this one included.
        message: Its words: what another history says differently is another event.
    """
    digest = hashlib.sha256(message.encode()).hexdigest()
    return f"{subject}/{kind}/{chain}/{number}/{digest[:8]}"


def attempt_salt(order: OrderId, attempt: int) -> int:
    """Return the salt of one attempt, below 2^53, fixed by order id and attempt number."""
    digest = hashlib.sha256(f"{order}{_SEPARATOR}{attempt}".encode()).digest()
    return int.from_bytes(digest[:8], "big") & MAX_SALT


def rule_workflow_id(rule: RuleId) -> str:
    """Return the workflow id of a rule."""
    return f"rule/{rule}"


def order_workflow_id(order: OrderId) -> str:
    """Return the workflow id of an order that has a workflow of its own."""
    return f"order/{order}"


def feed_workflow_id(venue: str, shard: int, replica: int = 0) -> str:
    """Return the workflow id of a market feed's shard; a standby has one of its own."""
    return f"feed/{venue}/{shard}/standby-{replica}" if replica else f"feed/{venue}/{shard}"


def feed_of_workflow(workflow_id: str) -> tuple[str, int, int] | None:
    """Return venue, shard and replica of a feed's workflow id, None for another id."""
    found = _FEED.fullmatch(workflow_id)
    return None if found is None else (found["venue"], int(found["shard"]), int(found["replica"] or 0))


def stream_workflow_id(account: AccountId, venue: str, *, paper: bool) -> str:
    """Return the workflow id of an account's stream at one venue; paper has a stream of its own."""
    return f"stream/{account}/paper:{venue}" if paper else f"stream/{account}/{venue}"


def hosted_rule(workflow_id: str) -> RuleId | None:
    """Return the rule that a host's workflow id names, or None when an order hosts itself."""
    kind, _, rest = workflow_id.partition("/")
    return RuleId(rest) if kind == "rule" and rest else None
