"""API keys of an account: made, listed, revoked."""

from storage.repositories.api_keys import ApiKey, Scope

from api.deps import Caller, Paging, Services, well_formed
from api.fingerprints import fingerprint
from api.problems import not_found
from api.schemas.accounts import KeyAnswer, KeyBody, NewKeyAnswer
from api.schemas.common import Page
from domain.accounts import Account
from domain.ids import derived_id

ROUTE = "keys"


async def create_key(
    services: Services, caller: Caller, account: Account, body: KeyBody, key: str
) -> NewKeyAnswer:
    """Return a new key with its secret; for a repeated request the key that was made, without it.

    Raises:
        Conflict: The idempotency key was used with another body.
    """
    key_id = derived_id("key", account.account_id, ROUTE, key)
    await services.idempotency.reserve(account.account_id, ROUTE, key, fingerprint(body), key_id)
    standing = await services.api_keys.get(account.account_id, key_id)
    if standing is not None:
        return NewKeyAnswer(**dict(answer_of(standing)), key=None)
    made = await services.api_keys.create(
        key_id, account.account_id, scopes=frozenset(Scope(name) for name in body.scopes), name=body.name
    )
    await services.audit.append(
        account_id=account.account_id, actor=caller.key_id, action="key.created", subject=key_id
    )
    return NewKeyAnswer(**dict(answer_of(made.key)), key=made.secret.get_secret_value())


async def list_keys(services: Services, account: Account, page: Paging) -> Page[KeyAnswer]:
    """Return the keys of an account, newest first."""
    found = await services.api_keys.page(account.account_id, limit=page.limit, offset=page.offset)
    items = [answer_of(key) for key in found.items]
    return Page(items=items, total=found.total, limit=page.limit, offset=page.offset)


async def revoke_key(services: Services, caller: Caller, account: Account, key_id: str) -> KeyAnswer:
    """Revoke a key; revoking it again changes nothing.

    Raises:
        Problem: 404 when the account has no such key.
    """
    revoked = await services.api_keys.revoke(account.account_id, well_formed(key_id, "key"))
    if revoked is None:
        raise not_found("key")
    await services.audit.append(
        account_id=account.account_id, actor=caller.key_id, action="key.revoked", subject=key_id
    )
    return answer_of(revoked)


def answer_of(key: ApiKey) -> KeyAnswer:
    """Return the answer form of a key."""
    return KeyAnswer(
        id=key.key_id,
        prefix=key.prefix,
        name=key.name,
        scopes=[scope.value for scope in sorted(key.scopes)],
        created_at=key.created_at,
        revoked_at=key.revoked_at,
        last_used_at=key.last_used_at,
    )
