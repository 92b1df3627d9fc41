"""What a supervisor and its fork server tell each other: one JSON message in each packet of a socket pair."""

from dataclasses import dataclass
from typing import Literal

from pydantic import TypeAdapter

MESSAGE_BYTES = 1 << 17
"""No message is longer; a socket takes more in one packet by default."""


@dataclass(frozen=True, slots=True)
class ForkRequest:
    """What a copy of the fork server is to run.

    Attributes:
        number: Of the request, for its answer.
        module: The package whose `__main__.main` is called.
        arguments: Of the command line.
        environment: The whole environment.
        directory: Working directory.
        log_file: Where both outputs are appended.
        orphan_signal: What the kernel sends it when the fork server dies.
    """

    number: int
    module: str
    arguments: tuple[str, ...]
    environment: dict[str, str]
    directory: str
    log_file: str
    orphan_signal: int
    kind: Literal["program"] = "program"


@dataclass(frozen=True, slots=True)
class SpareRequest:
    """A copy is to serve as this process does, over the socket whose descriptor comes with the message.

    Attributes:
        number: Of the request, for its answer.
    """

    number: int
    kind: Literal["spare"] = "spare"


@dataclass(frozen=True, slots=True)
class Forked:
    """A copy runs."""

    number: int
    pid: int
    kind: Literal["forked"] = "forked"


@dataclass(frozen=True, slots=True)
class Declined:
    """No copy can be made; the program has to be started otherwise."""

    number: int
    reason: str
    kind: Literal["declined"] = "declined"


@dataclass(frozen=True, slots=True)
class CopyEnded:
    """A copy ended, with its exit code (negative: the signal)."""

    pid: int
    code: int
    kind: Literal["ended"] = "ended"


Request = ForkRequest | SpareRequest
Answer = Forked | Declined | CopyEnded
REQUEST: TypeAdapter[Request] = TypeAdapter(Request)
ANSWER: TypeAdapter[Answer] = TypeAdapter(Answer)
