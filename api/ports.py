"""What the API asks of wallets and venues beyond the domain's ports."""

from typing import Protocol, runtime_checkable

from pydantic import SecretStr

from domain.orders import WalletIdentity
from domain.ports import Region


class WalletOpener(Protocol):
    """What a venue makes of a private key."""

    def identity(
        self, venue: str, private_key: SecretStr, *, signature_type: int, funder: str | None
    ) -> WalletIdentity:
        """Return the public side of a key; its wallet id is blank.

        Raises:
            UnknownVenue: No adapter of that name.
            CredentialsMissing: It is no usable key.
        """
        ...

    async def api_document(self, venue: str, private_key: SecretStr) -> SecretStr:
        """Create or derive the wallet's API credentials at the venue, as the document that is sealed.

        Raises:
            UnknownVenue: No adapter of that name.
            CredentialsMissing: The venue refuses the wallet.
            VenueError: The venue cannot be asked now.
        """
        ...


class RequestMeter(Protocol):
    """Who counts requests."""

    def requested(self, *, method: str, route: str, status: int | None, seconds: float) -> None:
        """Count a request by its route's pattern; no status means that its caller went away unanswered."""
        ...


class MetricsSource(Protocol):
    """Everything that `/metrics` says."""

    @property
    def meter(self) -> RequestMeter:
        """Who counts requests for it."""
        ...

    async def render(self) -> bytes:
        """Return the metrics in Prometheus's text format."""
        ...


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
