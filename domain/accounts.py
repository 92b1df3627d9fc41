"""Accounts: the unit of isolation, with its mode, switches and policy."""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from domain.claims import KillSwitch
from domain.ids import AccountId
from domain.orders import Mode


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountPolicy:
    """What an account allows of its entries; None means no limit. USD, days in UTC."""

    max_order_usd: Decimal | None = None
    max_day_usd: Decimal | None = None
    max_day_orders: int | None = None
    max_exposure_usd: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One account. `mode` is what new rules and orders get; what exists keeps its own."""

    account_id: AccountId
    name: str
    mode: Mode
    live_acknowledged: bool
    enabled: bool
    kill_switch: KillSwitch
    created_at: datetime
    policy: AccountPolicy = field(default_factory=AccountPolicy)
