"""`/api/v2/accounts`: accounts, their switches, keys, credentials and checks; and the global kill switch."""

from typing import Annotated

from fastapi import APIRouter, BackgroundTasks, Depends, Response, status

from api.deps import CallerDep, PagingDep, ServicesDep, operator, visible_account
from api.fingerprints import KeyHeader, key_of
from api.operations import accounts, keys
from api.operations.checks import account_checks
from api.routes.answers import CHANGING, CREATING, READING, tell_key
from api.schemas.accounts import (
    AccountAnswer,
    AccountBody,
    AccountPatch,
    CheckAnswer,
    CredentialsAnswer,
    CredentialsBody,
    KeyAnswer,
    KeyBody,
    KillSwitchAnswer,
    KillSwitchBody,
    NewKeyAnswer,
)
from api.schemas.common import Page
from domain.accounts import Account
from domain.claims import KillSwitch
from storage.repositories.api_keys import Scope

router = APIRouter(prefix="/api/v2", tags=["accounts"])


async def _own(services: ServicesDep, caller: CallerDep, account_id: str) -> Account:
    return await visible_account(services, caller, account_id)


async def _administered(services: ServicesDep, caller: CallerDep, account_id: str) -> Account:
    # Another account is 404 before the scope is looked at, so that a 403 never confirms that it exists.
    account = await visible_account(services, caller, account_id)
    caller.must(Scope.ADMIN)
    return account


OwnAccount = Annotated[Account, Depends(_own)]
AdministeredAccount = Annotated[Account, Depends(_administered)]


@router.post(
    "/accounts",
    status_code=status.HTTP_201_CREATED,
    responses=CREATING,
    summary="Create an account",
    dependencies=[Depends(operator)],
)
async def create_account(
    services: ServicesDep,
    caller: CallerDep,
    response: Response,
    body: AccountBody,
    idempotency_key: KeyHeader = None,
) -> AccountAnswer:
    """Make an account. It starts in paper mode, switched on, without keys."""
    key = key_of(idempotency_key)
    tell_key(response, key)
    account, repeated = await accounts.create_account(services, caller, body, key)
    if repeated:
        response.status_code = status.HTTP_200_OK
    return AccountAnswer.of(account)


@router.get("/accounts", responses=READING, summary="List accounts")
async def list_accounts(services: ServicesDep, caller: CallerDep, page: PagingDep) -> Page[AccountAnswer]:
    """Accounts that the key may act for: all for an operator's key, else its own."""
    found = await accounts.list_accounts(services, caller, page)
    items = [AccountAnswer.of(account) for account in found.items]
    return Page(items=items, total=found.total, limit=page.limit, offset=page.offset)


@router.get("/accounts/{account_id}", responses=READING, summary="Read an account")
async def read_account(account: OwnAccount) -> AccountAnswer:
    """One account: mode, switches, limits."""
    return AccountAnswer.of(account)


@router.patch("/accounts/{account_id}", responses=CHANGING, summary="Change an account")
async def patch_account(
    services: ServicesDep, caller: CallerDep, account: AdministeredAccount, body: AccountPatch
) -> AccountAnswer:
    """Change mode or limits, or switch it on and off. Live mode needs `acknowledge_live: true`."""
    return AccountAnswer.of(await accounts.patch_account(services, caller, account, body))


@router.put(
    "/accounts/{account_id}/kill-switch", responses=CHANGING, summary="Throw an account's kill switch"
)
async def set_account_kill_switch(
    services: ServicesDep,
    caller: CallerDep,
    account: AdministeredAccount,
    body: KillSwitchBody,
    afterwards: BackgroundTasks,
) -> AccountAnswer:
    """Acts within a second: `entries` stops opening, `all` stops every send; cancels always pass."""
    changed = await services.accounts.set_kill_switch(account.account_id, body.level, actor=caller.key_id)
    if body.level is not KillSwitch.ALL:
        afterwards.add_task(services.held_exits.wake, account.account_id)
    return AccountAnswer.of(changed)


@router.get(
    "/kill-switch",
    responses=READING,
    summary="Read the global kill switch",
    dependencies=[Depends(operator)],
)
async def read_global_kill_switch(services: ServicesDep) -> KillSwitchAnswer:
    """The switch over all accounts."""
    return KillSwitchAnswer(level=await services.switches.kill_switch())


@router.put(
    "/kill-switch",
    responses=CHANGING,
    summary="Throw the global kill switch",
    dependencies=[Depends(operator)],
)
async def set_global_kill_switch(
    services: ServicesDep, caller: CallerDep, body: KillSwitchBody, afterwards: BackgroundTasks
) -> KillSwitchAnswer:
    """The switch over all accounts; acts within a second."""
    await services.switches.set_kill_switch(body.level, actor=caller.key_id)
    if body.level is not KillSwitch.ALL:
        afterwards.add_task(services.held_exits.wake, None)
    return KillSwitchAnswer(level=body.level)


@router.post(
    "/accounts/{account_id}/keys",
    status_code=status.HTTP_201_CREATED,
    responses=CREATING,
    summary="Create an API key",
)
async def create_key(
    services: ServicesDep,
    caller: CallerDep,
    account: AdministeredAccount,
    response: Response,
    body: KeyBody,
    idempotency_key: KeyHeader = None,
) -> NewKeyAnswer:
    """Make a key of this account. It is shown in this answer and never again."""
    key = key_of(idempotency_key)
    tell_key(response, key)
    response.headers["Cache-Control"] = "no-store"
    made = await keys.create_key(services, caller, account, body, key)
    if made.key is None:
        response.status_code = status.HTTP_200_OK
    return made


@router.get("/accounts/{account_id}/keys", responses=READING, summary="List API keys")
async def list_keys(services: ServicesDep, account: AdministeredAccount, page: PagingDep) -> Page[KeyAnswer]:
    """Keys of this account, without their secrets."""
    return await keys.list_keys(services, account, page)


@router.delete("/accounts/{account_id}/keys/{key_id}", responses=CHANGING, summary="Revoke an API key")
async def revoke_key(
    services: ServicesDep, caller: CallerDep, account: AdministeredAccount, key_id: str
) -> KeyAnswer:
    """Revoke a key; it stops working within seconds."""
    return await keys.revoke_key(services, caller, account, key_id)


@router.put("/accounts/{account_id}/credentials", responses=CHANGING, summary="Store a wallet")
async def put_credentials(
    services: ServicesDep, caller: CallerDep, account: AdministeredAccount, body: CredentialsBody
) -> CredentialsAnswer:
    """Store a wallet's private key, sealed. The server derives the API credentials at the venue. Neither is
    ever returned; a new private key is a new wallet.
    """
    return await accounts.store_credentials(services, caller, account, body)


@router.get("/accounts/{account_id}/checks", responses=READING, summary="Check an account")
async def read_checks(
    services: ServicesDep, account: OwnAccount, venue: str = "polymarket"
) -> list[CheckAnswer]:
    """Whether the account can trade at a venue: each check with what was found and what mends it."""
    return await account_checks(services, account, venue)
