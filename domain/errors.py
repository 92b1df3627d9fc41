"""The error tree of Holdfast.

HoldfastError
├── InvalidInput           the caller must change something (field and reason)
├── NotFound               no such thing, or not yours
├── Conflict               the same key with other content, a stale version, a lost race
├── VenueError             a venue could not answer a read
│   ├── VenueTransient         asking again later helps
│   ├── VenueBlocked           a person must act (credentials, region)
│   ├── UnknownToken           the venue knows no such token
│   └── VenueProtocolError     the venue answered something that we cannot read
├── UnknownVenue           no adapter of that name
├── CredentialsMissing     the account has no usable credentials for the venue
└── StorageUnavailable     Postgres cannot be reached now

`code` is stable and goes to API answers and Temporal failures as it is.
"""


class HoldfastError(Exception):
    """Base of everything that Holdfast raises on purpose."""

    code = "holdfast_error"
    retryable = False


class InvalidInput(HoldfastError):
    """A value that is refused, with the field and the reason."""

    code = "invalid_input"

    def __init__(self, field: str, reason: str, code: str = "invalid_input") -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason
        self.code = code


class NotFound(HoldfastError):
    """No such thing for this account."""

    code = "not_found"


class Conflict(HoldfastError):
    """The request contradicts what stands."""

    code = "conflict"

    def __init__(self, reason: str, code: str = "conflict") -> None:
        super().__init__(reason)
        self.code = code


class VenueError(HoldfastError):
    """A read from a venue failed."""

    code = "venue_error"

    def __init__(self, detail: str = "", code: str | None = None, wait_ms: int | None = None) -> None:
        super().__init__(detail)
        self.code = code or type(self).code
        self.wait_ms = wait_ms


class VenueTransient(VenueError):
    """Asking again later helps."""

    code = "venue_unavailable"
    retryable = True


class VenueBlocked(VenueError):
    """A person must act: credentials, region, closed-only."""

    code = "venue_blocked"


class UnknownToken(VenueError):
    """The venue knows no such token."""

    code = "unknown_token"


class VenueProtocolError(VenueError):
    """The venue answered something unreadable."""

    code = "venue_protocol"
    retryable = True


class UnknownVenue(HoldfastError):
    """No adapter of that name."""

    code = "unknown_venue"


class CredentialsMissing(HoldfastError):
    """The account has no usable credentials for the venue."""

    code = "credentials_missing"


class StorageUnavailable(HoldfastError):
    """Postgres cannot be reached now."""

    code = "storage_unavailable"
    retryable = True
