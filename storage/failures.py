"""What counts as "Postgres cannot be reached now", decided once, by SQLSTATE and exception type."""

import asyncpg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from domain.errors import StorageUnavailable

# SQLSTATE classes and codes after which the same work, done again a little later, can succeed.
_CLASSES = frozenset(
    {
        "08",  # connection exceptions
        "28",  # password refused: the server is being set up, or its secret is being rotated
        "53",  # too many connections, disk full, out of memory
    }
)
_CODES = frozenset(
    {
        "57P01",  # admin shutdown
        "57P02",  # crash shutdown
        "57P03",  # cannot connect now: starting up or recovering
        "57014",  # statement time-out
        "55P03",  # lock time-out
        "25P03",  # idle in transaction time-out
        "25006",  # read-only: a standby that has not been promoted yet
        "3D000",  # the database is not there yet
        "40001",  # serialization failure
        "40P01",  # deadlock
    }
)


def storage_unavailable(error: BaseException) -> StorageUnavailable | None:
    """Return the error to raise in place of `error`, or None when it is none of the connection's.

    The text names the kind of failure alone: statements, values and addresses stay out of it.
    """
    if isinstance(error, DBAPIError):
        cause = error.orig
        if error.connection_invalidated or (cause is not None and _unavailable(cause)):
            return StorageUnavailable(_words(cause or error))
        return None
    if isinstance(error, PoolTimeout) or _unavailable(error):
        return StorageUnavailable(_words(error))
    return None


def _unavailable(error: BaseException) -> bool:
    if isinstance(error, OSError | TimeoutError):
        return True
    if type(error) in (asyncpg.InterfaceError, asyncpg.InternalClientError):
        # asyncpg's bare errors are about the connection's state (closed, busy after a cut); wrong arguments
        # have subclasses of their own.
        return True
    state = _sqlstate(error)
    return state is not None and (state in _CODES or state[:2] in _CLASSES)


def _sqlstate(error: BaseException) -> str | None:
    """Return the SQLSTATE of asyncpg's error or of the wrapper that SQLAlchemy's dialect puts around it."""
    if isinstance(error, asyncpg.PostgresError):
        return error.sqlstate
    cause = error.__cause__
    return cause.sqlstate if isinstance(cause, asyncpg.PostgresError) else None


def _words(error: BaseException) -> str:
    state = _sqlstate(error)
    name = type(error.__cause__ or error).__name__
    return f"Postgres is not available: {name}" + (f" ({state})" if state else "")
