"""What a run is asked to do."""

from dataclasses import dataclass
from enum import StrEnum

from runtime.embedded.stack import Part


class Pace(StrEnum):
    """The durations by which the product runs: its own, or a tenth of them (tests)."""

    PRODUCT = "product"
    FAST = "fast"


class Target(StrEnum):
    """What may be killed."""

    WORKER = "worker"
    FEED = "feed"
    TEMPORAL = "temporal"
    POSTGRES = "postgres"
    API = "api"
    SIMULATOR = "simulator"

    @property
    def parts(self) -> tuple[Part, ...]:
        """Parts of the stack of this kind."""
        return _PARTS[self]


_PARTS = {
    Target.WORKER: (Part.WORKER_CORE_1, Part.WORKER_CORE_2, Part.WORKER_IO),
    Target.FEED: (Part.WORKER_FEED,),
    Target.TEMPORAL: (Part.TEMPORAL,),
    Target.POSTGRES: (Part.POSTGRES,),
    Target.API: (Part.API,),
    Target.SIMULATOR: (Part.SIMULATOR,),
}


class Trouble(StrEnum):
    """What may go wrong beside kills: at the venue, on sockets, in stores, by operators and users."""

    NO_ANSWER = "no_answer"
    LAGGING_LOOKUP = "lagging_lookup"
    LAGGING_BALANCE = "lagging_balance"
    NOT_READY = "not_ready"
    RATE_LIMIT = "rate_limit"
    SERVER_ERROR = "server_error"
    POST_ONLY = "post_only"
    FAILED_TRADES = "failed_trades"
    LATE_TRADES = "late_trades"
    TICK_CHANGE = "tick_change"
    CUT_SOCKET = "cut_socket"
    SILENT_SOCKET = "silent_socket"
    DUPLICATED_EVENTS = "duplicated_events"
    REORDERED_EVENTS = "reordered_events"
    PAUSE = "pause"
    FULL_DISK = "full_disk"
    SLOW_POSTGRES = "slow_postgres"
    FORK_SERVER = "fork_server"
    RESET = "reset"
    TERMINATE = "terminate"
    ROLL_BACK = "roll_back"
    ROTATE_KEYS = "rotate_keys"
    KILL_SWITCH = "kill_switch"
    TWO_SELL_ALL = "two_sell_all"
    RESTING_SELL = "resting_sell"
    PATCH = "patch"
    CANCEL = "cancel"


GROUPS: dict[str, frozenset[Trouble]] = {
    "none": frozenset(),
    "all": frozenset(Trouble),
    "venue": frozenset(
        {
            Trouble.NO_ANSWER,
            Trouble.LAGGING_LOOKUP,
            Trouble.LAGGING_BALANCE,
            Trouble.NOT_READY,
            Trouble.RATE_LIMIT,
            Trouble.SERVER_ERROR,
            Trouble.POST_ONLY,
            Trouble.FAILED_TRADES,
            Trouble.LATE_TRADES,
            Trouble.TICK_CHANGE,
        }
    ),
    "sockets": frozenset(
        {
            Trouble.CUT_SOCKET,
            Trouble.SILENT_SOCKET,
            Trouble.DUPLICATED_EVENTS,
            Trouble.REORDERED_EVENTS,
        }
    ),
    "machine": frozenset({Trouble.PAUSE, Trouble.FULL_DISK, Trouble.SLOW_POSTGRES, Trouble.FORK_SERVER}),
    "operator": frozenset(
        {
            Trouble.RESET,
            Trouble.TERMINATE,
            Trouble.ROLL_BACK,
            Trouble.ROTATE_KEYS,
            Trouble.KILL_SWITCH,
        }
    ),
    "user": frozenset({Trouble.TWO_SELL_ALL, Trouble.RESTING_SELL, Trouble.PATCH, Trouble.CANCEL}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ChaosOptions:
    """One run.

    Attributes:
        exits: How many exits are to come about.
        seed: Decides prices, rules and acts.
        minutes: How long prices move and things break; None takes what fits the number of exits.
        kill: What is killed.
        troubles: What else goes wrong.
        pace: The product's durations.
    """

    exits: int
    seed: int
    minutes: float | None = None
    kill: frozenset[Target] = frozenset(Target)
    troubles: frozenset[Trouble] = frozenset(Trouble)
    pace: Pace = Pace.PRODUCT

    @property
    def length_ms(self) -> int:
        """How long prices move, milliseconds."""
        fitting = 0.7 + self.exits * 0.0073  # eight for a thousand, which two slow cores can follow
        minutes = self.minutes if self.minutes is not None else fitting
        return int(minutes * 60_000)


def targets_of(text: str) -> frozenset[Target]:
    """Read a list such as `worker,feed`, `all` or `none`.

    Raises:
        ValueError: A word is unknown.
    """
    words = _words(text)
    if words <= {"all", "none"}:
        return frozenset(Target) if "all" in words else frozenset()
    return frozenset(Target(word) for word in words)


def troubles_of(text: str) -> frozenset[Trouble]:
    """Read a list of troubles and groups, such as `venue,pause`.

    Raises:
        ValueError: A word is unknown.
    """
    chosen: set[Trouble] = set()
    for word in _words(text):
        chosen |= GROUPS[word] if word in GROUPS else {Trouble(word)}
    return frozenset(chosen)


def _words(text: str) -> set[str]:
    return {word.strip() for word in text.split(",") if word.strip()}
