"""Accounts, keys, credentials and checks."""

import re
from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_core import PydanticCustomError

from api.schemas.common import Amount, Answer, Body
from domain.accounts import Account
from domain.claims import KillSwitch
from domain.orders import Mode
from domain.rules.definition import Positive

_PRIVATE_KEY = re.compile(r"(0x)?[0-9a-fA-F]{64}\Z")
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}\Z")

Name = Annotated[str, Field(min_length=1, max_length=80, pattern=r"^[^\x00-\x1f\x7f]+$")]


class PolicyBody(Body):
    """Limits of entries in USD and UTC days; null lifts a limit. Orders that only reduce pass them all."""

    max_order_usd: Positive | None = None
    max_day_usd: Positive | None = None
    max_day_orders: Annotated[int, Field(ge=0)] | None = None
    max_exposure_usd: Positive | None = None


class AccountBody(Body):
    """A new account; it starts in paper mode."""

    name: Name


class AccountPatch(Body):
    """Changes of an account. Going live needs `acknowledge_live`: orders then go to the real venue.

    What exists keeps its mode: rules, orders and positions of paper stay paper.
    """

    mode: Mode | None = None
    acknowledge_live: bool = False
    enabled: bool | None = None
    policy: PolicyBody | None = None

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if (self.mode, self.enabled, self.policy) == (None, None, None):
            raise PydanticCustomError("no_change", "name something to change")
        return self


class KillSwitchBody(Body):
    """`entries` stops opening and leaves exits alive, `all` stops every send, cancels always pass."""

    level: KillSwitch


class KillSwitchAnswer(Answer):
    """The installation's kill switch."""

    level: KillSwitch


class PolicyAnswer(Answer):
    """Limits of entries; null means no limit."""

    max_order_usd: Amount | None
    max_day_usd: Amount | None
    max_day_orders: int | None
    max_exposure_usd: Amount | None


class AccountAnswer(Answer):
    """An account."""

    id: str
    name: str
    mode: Mode
    live_acknowledged: bool
    enabled: bool
    kill_switch: KillSwitch
    policy: PolicyAnswer
    created_at: datetime

    @classmethod
    def of(cls, account: Account) -> Self:
        """Return the answer form of an account."""
        policy = account.policy
        return cls(
            id=account.account_id,
            name=account.name,
            mode=account.mode,
            live_acknowledged=account.live_acknowledged,
            enabled=account.enabled,
            kill_switch=account.kill_switch,
            policy=PolicyAnswer(
                max_order_usd=policy.max_order_usd,
                max_day_usd=policy.max_day_usd,
                max_day_orders=policy.max_day_orders,
                max_exposure_usd=policy.max_exposure_usd,
            ),
            created_at=account.created_at,
        )


ScopeName = Literal["read", "trade", "approve", "admin"]


class KeyBody(Body):
    """A new API key of an account."""

    name: Annotated[str, Field(max_length=80, pattern=r"^[^\x00-\x1f\x7f]*$")] = ""
    scopes: Annotated[tuple[ScopeName, ...], Field(min_length=1, max_length=4)] = ("read", "trade")


class KeyAnswer(Answer):
    """An API key, without its secret."""

    id: str
    prefix: str
    name: str
    scopes: list[ScopeName]
    created_at: datetime
    revoked_at: datetime | None
    last_used_at: datetime | None


class NewKeyAnswer(KeyAnswer):
    """A new API key. `key` is shown this once; null when the same idempotency key had made it before."""

    key: str | None


class CredentialsBody(Body):
    """A wallet of the venue. The server derives the API credentials there; nothing of it is ever returned."""

    venue: Annotated[str, Field(min_length=1, max_length=40)] = "polymarket"
    private_key: SecretStr
    signature_type: Annotated[int, Field(ge=0, le=3)] = Field(
        default=0,
        description="0 own wallet, 1 proxy wallet (email login), 2 Safe (browser wallet), 3 deposit wallet",
    )
    funder: str | None = Field(default=None, description="Address that holds the funds")

    @field_validator("private_key")
    @classmethod
    def _is_a_key(cls, value: SecretStr) -> SecretStr:
        if not _PRIVATE_KEY.match(value.get_secret_value()):
            raise PydanticCustomError("private_key", "must be 32 bytes in hex")
        return value

    @field_validator("funder")
    @classmethod
    def _is_an_address(cls, value: str | None) -> str | None:
        if value is not None and not _ADDRESS.match(value):
            raise PydanticCustomError("address", "must be an address: 0x and 40 hex digits")
        return value

    @model_validator(mode="after")
    def _funder_where_needed(self) -> Self:
        if self.signature_type != 0 and self.funder is None:
            raise PydanticCustomError("funder_needed", "signature types 1 to 3 need the funder's address")
        return self


class CredentialsAnswer(Answer):
    """The public side of a stored wallet."""

    venue: str
    wallet_id: str
    signer: str
    funder: str
    signature_type: int


class CheckAnswer(Answer):
    """One check: whether it passed, what was found, and the command that mends it."""

    name: str
    ok: bool
    detail: str
    fix: str | None


class HealthAnswer(Answer):
    """Liveness: the process answers."""

    status: Literal["ok"] = "ok"


class PartHealth(Answer):
    """State of one part."""

    ok: bool
    detail: str


class SystemHealthAnswer(Answer):
    """State of the parts behind the API. `status` is degraded when one of them is not well."""

    status: Literal["ok", "degraded"]
    database: PartHealth
    temporal: PartHealth
    feed: PartHealth
    newest_quote_age_ms: int | None
