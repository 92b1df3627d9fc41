"""What the API asks of wallets and venues beyond the domain's ports."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from pydantic import SecretStr

from domain.ids import AccountId
from domain.orders import WalletIdentity


class WalletVault(Protocol):
    """Keeps wallets: derives API credentials at the venue, seals both, returns the public side."""

    async def store(
        self,
        account_id: AccountId,
        venue: str,
        private_key: SecretStr,
        *,
        signature_type: int,
        funder: str | None,
    ) -> WalletIdentity:
        """Store a wallet for an account; the same wallet again only renews its API credentials.

        Raises:
            UnknownVenue: No adapter of that name.
            CredentialsMissing: The key is unusable, or the venue refuses it.
            VenueError: The venue cannot be asked now.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """Where the venue sees this server, and whether it may trade from there."""

    blocked: bool
    country: str


class RegionProbe(Protocol):
    """Whether a venue serves the place that this server calls from."""

    async def region(self, venue: str) -> Region | None:
        """Return the venue's word, None for a venue that has no such restriction.

        Raises:
            VenueError: The venue cannot be asked now.
        """
        ...


@runtime_checkable
class ClosedOnlySession(Protocol):
    """A trading session that can say whether the account may only close positions."""

    async def closed_only(self) -> bool:
        """Return whether the venue takes only closing orders from this account."""
        ...
