"""Named retry policies and time-outs of activities."""

from datetime import timedelta

from temporalio.common import RetryPolicy

PLACE_RETRY_CAP = timedelta(seconds=2)  # Postgres away: all exits go on within seconds of its return
READ = RetryPolicy(
    initial_interval=timedelta(milliseconds=200),
    backoff_coefficient=2.0,
    maximum_interval=timedelta(seconds=5),
)
PROJECT = RetryPolicy(
    initial_interval=timedelta(milliseconds=100),
    backoff_coefficient=2.0,
    maximum_interval=timedelta(seconds=2),
)
LOCAL = RetryPolicy(
    initial_interval=timedelta(milliseconds=50),
    backoff_coefficient=2.0,
    maximum_interval=timedelta(milliseconds=500),
)
READ_TIMEOUT = timedelta(seconds=10)
# An exit must not wait for the time-out of a call that died with its worker.
READ_HEARTBEAT = timedelta(seconds=2)
# Nor for the time-out of a send. A try that only seems to be dead goes on, and the next one looks it up: what
# both may send is the same bytes.
PLACE_HEARTBEAT = timedelta(seconds=2)
# A venue that cannot be asked for so long is a fact to show and to wait out, not a call to hang in.
READ_LIMIT = timedelta(seconds=20)
PROJECT_TIMEOUT = timedelta(seconds=5)
LOCAL_LIMIT = timedelta(seconds=2)


def place_retry(first: timedelta) -> RetryPolicy:
    """Return the policy of `place_order`: only crashes and lost infrastructure are retried by it."""
    return RetryPolicy(initial_interval=first, backoff_coefficient=2.0, maximum_interval=PLACE_RETRY_CAP)


def babysit(cap: timedelta) -> RetryPolicy:
    """Return the policy of the long activities of feeds and streams: for ever, soon again."""
    return RetryPolicy(
        initial_interval=timedelta(milliseconds=100), backoff_coefficient=2.0, maximum_interval=cap
    )
