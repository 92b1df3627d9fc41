"""What the exchange tells the world; sockets implement the port."""

from dataclasses import dataclass, field
from typing import Protocol

Json = dict[str, object]


@dataclass(frozen=True, slots=True)
class MarketEvent:
    """One event of the market channel; ``custom`` ones go to sockets that asked for them."""

    token_ids: tuple[str, ...]
    payload: Json
    custom: bool = False


@dataclass(slots=True)
class FrameStamp:
    """When a frame was first handed to a socket, on the host's monotonic clock."""

    sent_monotonic_ns: int | None = None


@dataclass(frozen=True, slots=True)
class MarketFrame:
    """Events that leave as one text frame."""

    events: tuple[MarketEvent, ...]
    stamp: FrameStamp = field(default_factory=FrameStamp)


@dataclass(frozen=True, slots=True)
class UserEvent:
    """One event of the user channel for every key of an account."""

    account: str
    condition_id: str
    token_id: str
    payload: Json


class Outlet(Protocol):
    """Where frames go; both calls only enqueue."""

    def market(self, frame: MarketFrame) -> None:
        """Takes a frame of the market channel."""
        ...

    def user(self, event: UserEvent) -> None:
        """Takes an event of the user channel."""
        ...
