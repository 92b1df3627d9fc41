"""API keys of an account: made, listed, revoked."""

import uuid

from api.deps import Caller, Paging, Services, well_formed
from api.fingerprints import fingerprint
from api.problems import conflict
from api.schemas.accounts import KeyAnswer, KeyBody, NewKeyAnswer
from api.schemas.common import Page
from domain.accounts import Account
from storage.repositories.api_keys import ApiKey, Scope

ROUTE = "keys"
MADE = "keys/made"
_UNMADE = ""


async def create_key(
    services: Services, caller: Caller, account: Account, body: KeyBody, key: str
) -> NewKeyAnswer:
    """Return a new key with its secret; for a repeated request the key that was made, without it.

    A key's id is random, so the request is reserved first and the id bound to it afterwards.

    Raises:
        Conflict: The idempotency key was used with another body.
        Problem: 409 when the first request died half way: its secret was never shown.
    """
    mark, turn = fingerprint(body), uuid.uuid4().hex
    reserve = services.idempotency.reserve
    if await reserve(account.account_id, ROUTE, key, mark, turn) != turn:
        made_id = await reserve(account.account_id, MADE, key, mark, _UNMADE)
        return NewKeyAnswer(**dict(answer_of(await _key(services, account, made_id))), key=None)
    scopes = frozenset(Scope(name) for name in body.scopes)
    made = await services.api_keys.create(account.account_id, scopes, name=body.name, actor=caller.key_id)
    await reserve(account.account_id, MADE, key, mark, made.key.key_id)
    return NewKeyAnswer(**dict(answer_of(made.key)), key=made.plaintext.get_secret_value())


async def _key(services: Services, account: Account, key_id: str) -> ApiKey:
    for key in await services.api_keys.of_account(account.account_id):
        if key.key_id == key_id:
            return key
    detail = "The first request with this Idempotency-Key did not end: make the key with another one."
    raise conflict("idempotency_unfinished", detail)


async def list_keys(services: Services, account: Account, page: Paging) -> Page[KeyAnswer]:
    """Return the keys of an account, revoked ones too, oldest first."""
    keys = await services.api_keys.of_account(account.account_id)
    items = [answer_of(key) for key in keys[page.offset : page.offset + page.limit]]
    return Page(items=items, total=len(keys), limit=page.limit, offset=page.offset)


async def revoke_key(services: Services, caller: Caller, account: Account, key_id: str) -> KeyAnswer:
    """Revoke a key; revoking it again changes nothing.

    Raises:
        NotFound: The account has no such key.
    """
    revoked = await services.api_keys.revoke(
        well_formed(key_id, "key"), account_id=account.account_id, actor=caller.key_id
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
