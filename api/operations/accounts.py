"""Making and changing accounts. Each change is audited where it is written; the actor is the caller's key."""

from api.deps import Caller, Paging, Services
from api.fingerprints import fingerprint
from api.schemas.accounts import AccountBody, AccountPatch, CredentialsAnswer, CredentialsBody
from domain.accounts import Account, AccountPolicy
from domain.ids import AccountId, derived_id
from storage.records import Page

ROUTE = "accounts"
OPERATOR = AccountId("")
"""Stands in the idempotency table for keys that belong to no account."""


async def create_account(
    services: Services, caller: Caller, body: AccountBody, key: str
) -> tuple[Account, bool]:
    """Return the new account, or the one that this key made before, and whether it was there.

    Raises:
        Conflict: The key was used with another body.
    """
    account_id = AccountId(derived_id("acc", ROUTE, key))
    await services.idempotency.reserve(OPERATOR, ROUTE, key, fingerprint(body), account_id)
    standing = await services.accounts.get(account_id)
    if standing is not None:
        return standing, True
    return await services.accounts.create(body.name, account_id=account_id, actor=caller.key_id), False


async def list_accounts(services: Services, caller: Caller, page: Paging) -> Page[Account]:
    """Return the accounts that the caller may act for."""
    if caller.account_id is None:
        return await services.accounts.page(limit=page.limit, offset=page.offset)
    own = await services.accounts.get(caller.account_id)
    found = () if own is None else (own,)
    return Page(items=found[page.offset :], total=len(found), limit=page.limit, offset=page.offset)


async def patch_account(services: Services, caller: Caller, account: Account, body: AccountPatch) -> Account:
    """Return the account with the changes; the mode, which may be refused, goes first.

    Raises:
        InvalidInput: It would go live without an acknowledgement.
    """
    accounts, account_id, actor = services.accounts, account.account_id, caller.key_id
    if body.mode is not None:
        account = await accounts.set_mode(
            account_id, body.mode, acknowledge_live=body.acknowledge_live, actor=actor
        )
    if body.enabled is not None:
        account = await accounts.set_enabled(account_id, body.enabled, actor=actor)
    if body.policy is not None:
        policy = AccountPolicy(**body.policy.model_dump())
        account = await accounts.set_policy(account_id, policy, actor=actor)
    return account


async def store_credentials(
    services: Services, caller: Caller, account: Account, body: CredentialsBody
) -> CredentialsAnswer:
    """Store a wallet and return its public side."""
    wallet = await services.wallets.store(
        account.account_id,
        body.venue,
        body.private_key,
        signature_type=body.signature_type,
        funder=body.funder,
        actor=caller.key_id,
    )
    services.venues.wallets_changed(account.account_id, body.venue)
    return CredentialsAnswer(
        venue=body.venue,
        wallet_id=wallet.wallet_id,
        signer=wallet.signer,
        funder=wallet.funder,
        signature_type=wallet.signature_type,
    )
