"""How Temporal is tuned, in one place: the embedded stack, compose and the benchmarks use the same values.

`python -m runtime.temporal_tuning` prints them as the server's dynamic configuration file, which compose
mounts; a test keeps `deploy/temporal/dynamic_config.yaml` equal to it.

Untuned, each hop of a workflow waits on a limiter of 20 reads per second and shard: 99 ms instead of 7.
The server accepts unknown keys silently, so a test checks each key against the binary.
"""

import json
import sys
from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType

TUNED_DYNAMIC_CONFIG: Mapping[str, int | bool | str | dict[str, int | bool | str]] = MappingProxyType(
    {
        "history.transferProcessorMaxPollRPS": 1000,
        "history.timerProcessorMaxPollRPS": 1000,
        "history.visibilityProcessorMaxPollRPS": 200,
        # Untuned, each timer and each retry of an activity takes a second, however short it was set.
        "history.timerProcessorMaxTimeShift": "50ms",
        "system.enableActivityEagerExecution": True,
        # One machine: more partitions only forward tasks to each other.
        "matching.numTaskqueueReadPartitions": 1,
        "matching.numTaskqueueWritePartitions": 1,
        # Priority and fairness do nothing without these two.
        "matching.useNewMatcher": True,
        "matching.enableFairness": True,
        # Untuned, the state of a closed workflow stays in memory until 128,000 others push it out. What
        # rested for longer is read again when it is needed, in about a millisecond.
        "history.cacheTTL": "2m",
        "history.cacheBackgroundEvict": {"Enabled": True, "LoopInterval": "1m", "MaxEntryPerCall": 1024},
        # Bulk creation of rules waits on the API's own pace, not on these.
        "frontend.namespaceRPS": 10_000,
        "frontend.namespaceCount": 10_000,
    }
)

SEARCH_ATTRIBUTES = ("AccountId", "Venue", "TokenId", "Kind", "State")
"""Keyword search attributes of every workflow; SQL visibility has ten keyword columns."""

NAMESPACE_RETENTION = timedelta(days=30)
"""How long closed executions stay readable, and how long `REJECT_DUPLICATE` remembers."""

HISTORY_SHARDS = 16
"""Shards of a server on Postgres: fixed at its first boot, at most so many processes share the work."""

_HEADER = """\
# Written by `python -m runtime.temporal_tuning`, where the reasons stand. The server reads it each minute.
"""


def dynamic_config_file() -> str:
    """Returns the tuned values as the YAML file that a Temporal server reads."""
    entries = (f"{key}:\n  - value: {json.dumps(value)}\n" for key, value in TUNED_DYNAMIC_CONFIG.items())
    return _HEADER + "".join(entries)


if __name__ == "__main__":
    sys.stdout.write(dynamic_config_file())
