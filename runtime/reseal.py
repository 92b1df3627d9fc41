"""`python -m runtime.reseal`: wrap stored venue credentials by the first master key, so that others may go.

Put the new key in front in `HOLDFAST_SECURITY_MASTER_KEYS`, restart the API and every worker, run this, and
only then take the old key out of the list. It may run beside them, and again.
"""

import argparse
import asyncio
import sys

from pydantic import ValidationError

from domain.errors import StorageUnavailable
from runtime.build import key_ring
from runtime.settings import Settings, SettingsError, load
from storage.database import Database
from storage.repositories.credentials import Credentials
from storage.sealed import SealBroken


async def reseal(settings: Settings) -> int:
    """Wraps every credential by the first master key, in one transaction; returns how many were not.

    Raises:
        MissingSetting: There is no key ring, or no database.
        SealBroken: A credential is sealed by a key that is not in the ring; nothing was changed.
        StorageUnavailable: Postgres cannot be reached.
    """
    async with Database(settings.database.dsn()) as database:
        return await Credentials(database, key_ring(settings)).rewrap_all()


def main() -> int:
    """Wraps the credentials of the settings' database; returns the exit code."""
    argparse.ArgumentParser(prog="python -m runtime.reseal", description=__doc__).parse_args()
    try:
        settings = load()
        count = asyncio.run(reseal(settings))
    except (SettingsError, ValidationError, SealBroken, StorageUnavailable) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    first = settings.security.key_ring()[0].key_id
    sys.stdout.write(f"{count} credentials were wrapped anew; all are wrapped by {first} now\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
