"""The system's clocks, as the port that activities and the API take."""

import time
from datetime import UTC, datetime


class SystemClock:
    """Wall time in UTC and the host's monotonic clock."""

    def now(self) -> datetime:
        """Return the aware UTC wall time."""
        return datetime.now(UTC)

    def monotonic_ms(self) -> int:
        """Return the monotonic clock in milliseconds."""
        return time.monotonic_ns() // 1_000_000
