"""What routes are given: the services behind the API, who calls, and for which account."""

import hmac
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from http import HTTPStatus
from typing import Annotated

from fastapi import Depends, Header, Query, Request
from pydantic import SecretStr

from activities.adoption import Adoption
from activities.found_holdings import FoundHoldings
from activities.held_exits import HeldExits
from api.codec_access import CodecAccess
from api.ports import MetricsSource, RegionProbe
from api.problems import Problem, not_found
from api.shared_reads import SharedReads
from api.starters import OrderStarter, RuleStarter, TemporalProbe
from api.wallet_vault import WalletVault
from domain.accounts import Account
from domain.ids import AccountId
from domain.messages import Tuning
from domain.orders import Mode
from domain.ports import Clock, Signals, Venues
from storage.database import Database
from storage.repositories.accounts import Accounts
from storage.repositories.api_keys import ApiKeys, Scope
from storage.repositories.audit import Audit
from storage.repositories.breakers import Breakers
from storage.repositories.events import Events
from storage.repositories.feed_status import FeedStatuses
from storage.repositories.idempotency import Idempotency
from storage.repositories.ledger import Ledger
from storage.repositories.orders import Orders
from storage.repositories.positions import Positions
from storage.repositories.rules import Rules
from storage.repositories.switches import Switches

ACCOUNT_HEADER = "X-Holdfast-Account"
KEY_HEADER = "X-API-Key"
BOOTSTRAP = "bootstrap"
_ID = re.compile(r"[A-Za-z0-9_-]{1,80}\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeManager:
    """The Trade Manager's switches, from settings."""

    enabled: bool
    ws_enabled: bool
    poll_interval: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What stands behind the API. Made by the composition root, or by hand in tests.

    `admin_key` is the installation's first key; None where only stored keys are taken. `answer_limit` is how
    long a start waits for its first row, `entry_send_window` how old an entry may be when it is sent.
    """

    database: Database
    accounts: Accounts
    adoption: Adoption
    api_keys: ApiKeys
    audit: Audit
    breakers: Breakers
    codec: CodecAccess
    events: Events
    feeds: FeedStatuses
    found_holdings: FoundHoldings
    held_exits: HeldExits
    idempotency: Idempotency
    instruments: SharedReads
    ledger: Ledger
    orders: Orders
    positions: Positions
    rules: Rules
    switches: Switches
    venues: Venues
    wallets: WalletVault
    regions: RegionProbe
    signals: Signals
    rule_starter: RuleStarter
    order_starter: OrderStarter
    temporal: TemporalProbe
    clock: Clock
    tuning: Tuning
    trade_manager: TradeManager
    entry_send_window: timedelta = timedelta(seconds=10)
    answer_limit: timedelta = timedelta(seconds=3)
    admin_key: SecretStr | None = None
    metrics: MetricsSource | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """An authenticated caller: its key, its account (None for an operator's key), its scopes."""

    key_id: str
    account_id: AccountId | None
    scopes: frozenset[Scope]

    def may(self, scope: Scope) -> bool:
        """Say whether the key holds a scope: `admin` holds all, every key may read."""
        return scope in self.scopes or Scope.ADMIN in self.scopes or scope is Scope.READ

    def must(self, scope: Scope) -> None:
        """Refuse a key without this scope with 403."""
        if not self.may(scope):
            detail = f"This needs a key with the scope {scope.value}."
            raise Problem(HTTPStatus.FORBIDDEN, "scope_missing", detail, more={"scope": scope.value})

    def sees(self, account_id: str) -> bool:
        """Say whether this key may know of an account."""
        return self.account_id is None or self.account_id == account_id


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountContext:
    """A caller and the account it acts for."""

    caller: Caller
    account: Account
    mode: Mode

    @property
    def account_id(self) -> AccountId:
        """The account's id."""
        return self.account.account_id

    def in_mode(self, mode: Mode) -> "AccountContext":
        """Return the same for what was made in this mode."""
        return replace(self, mode=mode)

    def must_be_enabled(self) -> None:
        """Refuse new rules and orders of an account that is switched off."""
        if not self.account.enabled:
            detail = "An operator switched it off; what stands goes on."
            raise Problem(HTTPStatus.FORBIDDEN, "account_disabled", detail)


def services_of(request: Request) -> Services:
    """Return what stands behind the API."""
    services: Services = request.app.state.services
    return services


def caller_of(request: Request) -> Caller:
    """Return who calls; the gate has seen to it that there is somebody."""
    caller: Caller = request.state.caller
    return caller


ServicesDep = Annotated[Services, Depends(services_of)]
CallerDep = Annotated[Caller, Depends(caller_of)]


async def authenticate(request: Request) -> None:
    """Take the caller's key to the request's state.

    Raises:
        Problem: 401 without a key, or with one that is unknown or revoked.
    """
    services = services_of(request)
    presented = _presented(request) or services.codec.key_in(
        request.url.path, request.headers, request.cookies, services.clock.now()
    )
    caller = await _caller(services, presented) if presented else None
    if caller is None:
        raise _unauthenticated()
    request.state.caller = caller


def _unauthenticated() -> Problem:
    detail = f"Send the key as `Authorization: Bearer …` or `{KEY_HEADER}`."
    return Problem(HTTPStatus.UNAUTHORIZED, "unauthenticated", detail)


def presented_key(request: Request) -> SecretStr:
    """Return the key that the caller sent itself.

    Raises:
        Problem: 401 when the request was let in by something else.
    """
    presented = _presented(request)
    if presented is None:
        raise _unauthenticated()
    return SecretStr(presented)


async def operator(request: Request) -> Caller:
    """Return a caller whose key is an operator's: with the scope admin, and of no account.

    Raises:
        Problem: 403 for any other key.
    """
    caller = caller_of(request)
    caller.must(Scope.ADMIN)
    if caller.account_id is not None:
        detail = "This needs an operator's key: one that belongs to no account."
        raise Problem(HTTPStatus.FORBIDDEN, "scope_missing", detail)
    return caller


def _presented(request: Request) -> str | None:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    return request.headers.get(KEY_HEADER)


async def _caller(services: Services, presented: str) -> Caller | None:
    first = services.admin_key
    if first is not None and hmac.compare_digest(first.get_secret_value().encode(), presented.encode()):
        return Caller(key_id=BOOTSTRAP, account_id=None, scopes=frozenset(Scope))
    key = await services.api_keys.authenticate(SecretStr(presented))
    if key is None:
        return None
    return Caller(key_id=key.key_id, account_id=key.account_id, scopes=frozenset(key.scopes))


AccountHeader = Annotated[
    str | None,
    Header(
        alias=ACCOUNT_HEADER,
        description="Account to act for. Needed with an operator's key; a key of an account knows its own.",
    ),
]


def account_context(scope: Scope) -> Callable[..., Awaitable[AccountContext]]:
    """Return a dependency that gives the account of the call, for callers with this scope."""

    async def context(
        services: ServicesDep, caller: CallerDep, header: AccountHeader = None
    ) -> AccountContext:
        wanted = header or caller.account_id
        if wanted is None:
            detail = f"An operator's key acts for an account: name it in the header {ACCOUNT_HEADER}."
            raise Problem(HTTPStatus.BAD_REQUEST, "account_required", detail)
        account = await visible_account(services, caller, wanted)
        caller.must(scope)
        return AccountContext(caller=caller, account=account, mode=account.mode)

    return context


async def visible_account(services: Services, caller: Caller, account_id: str) -> Account:
    """Return an account that the caller may know of.

    Raises:
        Problem: 404 for any other.
    """
    known = caller.sees(account_id) and _ID.match(account_id)
    account = await services.accounts.get(AccountId(account_id)) if known else None
    if account is None:
        raise not_found("account")
    return account


def well_formed(resource_id: str, what: str) -> str:
    """Return an id as it came; one that no resource can have is a 404 before anybody is asked."""
    if not _ID.match(resource_id):
        raise not_found(what)
    return resource_id


ReadContext = Annotated[AccountContext, Depends(account_context(Scope.READ))]
TradeContext = Annotated[AccountContext, Depends(account_context(Scope.TRADE))]


@dataclass(frozen=True, slots=True)
class Paging:
    """Which part of a list is wanted."""

    limit: int
    offset: int


def paging(
    limit: Annotated[int, Query(ge=1, le=200, description="At most this many items")] = 50,
    offset: Annotated[int, Query(ge=0, le=1_000_000, description="Items to skip")] = 0,
) -> Paging:
    """Return the part of a list that is wanted."""
    return Paging(limit, offset)


PagingDep = Annotated[Paging, Depends(paging)]
