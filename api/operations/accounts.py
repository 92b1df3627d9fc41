"""Making and changing accounts; every change leaves a line in the audit log."""

from http import HTTPStatus

from api.deps import Caller, Paging, Services
from api.fingerprints import fingerprint
from api.problems import Problem, not_found
from api.schemas.accounts import AccountBody, AccountPatch, CredentialsAnswer, CredentialsBody
from domain.accounts import Account, AccountPolicy
from domain.claims import KillSwitch
from domain.ids import AccountId, derived_id
from domain.orders import Mode
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
    account = await services.accounts.create(account_id, body.name)
    await _audit(services, caller, account_id, "account.created")
    return account, False


async def list_accounts(services: Services, caller: Caller, page: Paging) -> Page[Account]:
    """Return the accounts that the caller may act for."""
    if caller.account_id is None:
        return await services.accounts.page(limit=page.limit, offset=page.offset)
    own = await services.accounts.get(caller.account_id)
    found = () if own is None else (own,)
    return Page(items=found[page.offset :], total=len(found), limit=page.limit, offset=page.offset)


async def patch_account(services: Services, caller: Caller, account: Account, body: AccountPatch) -> Account:
    """Return the account with the changes.

    Raises:
        Problem: 409 when it would go live without an acknowledgement.
    """
    wanted = body.mode if body.mode is not None else account.mode
    if wanted is Mode.LIVE and not (body.acknowledge_live or account.live_acknowledged):
        detail = "Orders would go to the real venue: send acknowledge_live true if that is meant."
        raise Problem(HTTPStatus.CONFLICT, "live_not_acknowledged", detail)
    policy = None
    if body.policy is not None:
        policy = AccountPolicy(**body.policy.model_dump())
    changed = await services.accounts.update(
        account.account_id,
        name=body.name,
        mode=body.mode,
        live_acknowledged=True if body.acknowledge_live else None,
        enabled=body.enabled,
        policy=policy,
    )
    await _audit(
        services, caller, account.account_id, "account.changed", fields=sorted(body.model_fields_set)
    )
    return _found(changed)


async def set_kill_switch(services: Services, caller: Caller, account: Account, level: KillSwitch) -> Account:
    """Return the account with its kill switch thrown."""
    changed = await services.accounts.set_kill_switch(account.account_id, level)
    await _audit(services, caller, account.account_id, f"account.kill_switch.{level.value}")
    return _found(changed)


async def set_global_kill_switch(services: Services, caller: Caller, level: KillSwitch) -> None:
    """Throw the switch over all accounts."""
    await services.switches.set_level(level)
    await _audit(services, caller, None, f"kill_switch.{level.value}")


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
    )
    await _audit(services, caller, account.account_id, "credentials.stored", subject=wallet.wallet_id)
    return CredentialsAnswer(
        venue=body.venue,
        wallet_id=wallet.wallet_id,
        signer=wallet.signer,
        funder=wallet.funder,
        signature_type=wallet.signature_type,
    )


async def _audit(
    services: Services,
    caller: Caller,
    account_id: AccountId | None,
    action: str,
    *,
    subject: str | None = None,
    fields: list[str] | None = None,
) -> None:
    await services.audit.append(
        account_id=account_id,
        actor=caller.key_id,
        action=action,
        subject=subject or account_id or "installation",
        detail={"fields": ", ".join(fields)} if fields else {},
    )


def _found(account: Account | None) -> Account:
    if account is None:
        raise not_found("account")
    return account
