"""Search attributes of every workflow; changed with the state only, never per price."""

from temporalio import workflow
from temporalio.common import SearchAttributeKey, SearchAttributePair

Keyword = SearchAttributeKey[str]

ACCOUNT_ID: Keyword = SearchAttributeKey.for_keyword("AccountId")
VENUE: Keyword = SearchAttributeKey.for_keyword("Venue")
TOKEN_ID: Keyword = SearchAttributeKey.for_keyword("TokenId")
KIND: Keyword = SearchAttributeKey.for_keyword("Kind")
STATE: Keyword = SearchAttributeKey.for_keyword("State")


def pair(key: Keyword, value: str) -> SearchAttributePair[str]:
    """Return a key with its value."""
    return SearchAttributePair(key, value)


def set_state(state: str) -> None:
    """Change the state by which a workflow is found; an event, so only when the state changed."""
    workflow.upsert_search_attributes([STATE.value_set(state)])  # pyright: ignore[reportUnknownMemberType]  # partly untyped in the SDK
