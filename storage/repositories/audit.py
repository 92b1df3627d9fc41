"""The audit log: appending is one insert; the chain of hashes is made later, in the background."""

import hashlib
from dataclasses import dataclass
from datetime import datetime

import orjson
from pydantic import TypeAdapter

from domain.ids import AccountId
from storage.database import Database
from storage.records import read_all

INSERT_AUDIT = """INSERT INTO audit (account_id, actor, action, subject, detail)
    VALUES ($1, $2, $3, $4, $5::jsonb) RETURNING id"""

_SEAL_LOCK = 0x686F6C6461756469  # its own advisory lock: one chain, one writer at a time
GENESIS = bytes(32)
_BATCH = 1000

_TAIL = "SELECT sequence, hash FROM audit_seals ORDER BY sequence DESC LIMIT 1"
_COLUMNS = "a.id, a.at, a.account_id, a.actor, a.action, a.subject, a.detail"
# An entry of a transaction that is still running has a lower id than some that are visible; it is sealed
# later, after them: the order of the chain is that of sealing.
_UNSEALED = f"""SELECT {_COLUMNS} FROM audit AS a
    WHERE NOT EXISTS (SELECT 1 FROM audit_seals AS s WHERE s.audit_id = a.id)
    ORDER BY a.id LIMIT $1"""  # noqa: S608 - column names of ours
_SEALED = f"""SELECT {_COLUMNS}, s.sequence, s.hash FROM audit_seals AS s JOIN audit AS a ON a.id = s.audit_id
    WHERE s.sequence > $1 ORDER BY s.sequence LIMIT $2"""  # noqa: S608
_PAGE = f"""SELECT {_COLUMNS} FROM audit AS a WHERE a.account_id IS NOT DISTINCT FROM $1
    ORDER BY a.id DESC LIMIT $2 OFFSET $3"""  # noqa: S608


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One line of the audit log."""

    id: int
    at: datetime
    account_id: AccountId | None
    actor: str
    action: str
    subject: str
    detail: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seal:
    sequence: int
    hash: bytes


_ENTRY = TypeAdapter(AuditEntry)
_SEAL = TypeAdapter(_Seal)


class Audit:
    """Appends to the log, seals it, verifies it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def append(
        self,
        *,
        account_id: AccountId | None,
        actor: str,
        action: str,
        subject: str,
        detail: dict[str, str] | None = None,
    ) -> None:
        """Write one line. `detail` holds no secrets: it is stored as it is.

        Raises:
            StorageUnavailable: Postgres cannot be reached now.
        """
        document = orjson.dumps(detail or {}).decode()
        async with self._database.hot.connection() as connection:
            await connection.fetchval(INSERT_AUDIT, account_id, actor, action, subject, document)

    async def page(
        self, account_id: AccountId | None, *, limit: int = 50, offset: int = 0
    ) -> list[AuditEntry]:
        """Return lines of one account (None: those of the installation), newest first."""
        async with self._database.hot.connection() as connection:
            return read_all(_ENTRY, await connection.fetch(_PAGE, account_id, limit, offset))

    async def chain(self) -> int:
        """Seal what is not sealed yet; return how many lines were."""
        sealed = 0
        while batch := await self._seal_batch():
            sealed += batch
        return sealed

    async def _seal_batch(self) -> int:
        async with self._database.hot.transaction() as connection:
            await connection.fetchval("SELECT pg_advisory_xact_lock($1)", _SEAL_LOCK)
            tail = read_all(_SEAL, await connection.fetch(_TAIL))
            sequence, link = (tail[0].sequence, tail[0].hash) if tail else (0, GENESIS)
            entries = read_all(_ENTRY, await connection.fetch(_UNSEALED, _BATCH))
            links: list[tuple[int, int, bytes]] = []
            for entry in entries:
                sequence, link = sequence + 1, link_of(link, entry)
                links.append((sequence, entry.id, link))
            await connection.executemany(
                "INSERT INTO audit_seals (sequence, audit_id, hash) VALUES ($1, $2, $3)", links
            )
        return len(links)

    async def verify(self) -> int | None:
        """Compute the chain anew; return the first sequence number that does not fit, None when all do."""
        sequence, link = 0, GENESIS
        while True:
            async with self._database.hot.connection() as connection:
                rows = await connection.fetch(_SEALED, sequence, _BATCH)
            if not rows:
                return None
            for entry, seal in zip(read_all(_ENTRY, rows), read_all(_SEAL, rows), strict=True):
                link = link_of(link, entry)
                if seal.sequence != sequence + 1 or seal.hash != link:
                    return sequence + 1
                sequence = seal.sequence


def link_of(previous: bytes, entry: AuditEntry) -> bytes:
    """Return the hash that seals an entry behind the link `previous` (SHA-256 over canonical JSON)."""
    content = orjson.dumps(
        [
            entry.id,
            entry.at.isoformat(),
            entry.account_id,
            entry.actor,
            entry.action,
            entry.subject,
            entry.detail,
        ],
        option=orjson.OPT_SORT_KEYS,
    )
    return hashlib.sha256(previous + content).digest()
