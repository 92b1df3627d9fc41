"""Ports of the embedded stack on loopback: the wanted one, or a free one."""

import random
import socket
from collections.abc import Mapping
from dataclasses import dataclass, fields

LOOPBACK = "127.0.0.1"
FREE = 0
# Below the kernel's ephemeral range: an outgoing connection must not take the port of a restarting part.
FREE_RANGE = (15_000, 30_000)


class PortBusy(Exception):
    """A wanted port is taken.

    Args:
        name: What the port is for.
        port: The port.
        option: How to choose another one.
    """

    def __init__(self, name: str, port: int, option: str) -> None:
        super().__init__(f"port {port} ({name}) is in use: choose another one with {option}")
        self.port = port
        self.option = option


@dataclass(frozen=True, slots=True)
class Ports:
    """Port of each service; 0 means any free one."""

    temporal: int = FREE
    temporal_ui: int = FREE
    api: int = FREE
    simulator: int = FREE
    simulator_admin: int = FREE
    postgres: int = FREE

    def resolved(self, *, options: Mapping[str, str] | None = None) -> "Ports":
        """Returns the ports to use: wanted ones are checked, zeros are replaced.

        Args:
            options: For each field, the text that tells a user how to choose another port.

        Raises:
            PortBusy: A wanted port is taken.
        """
        taken: set[int] = set()
        chosen: dict[str, int] = {}
        for field in fields(self):
            wanted = int(getattr(self, field.name))
            if wanted != FREE and not is_free(wanted):
                option = (options or {}).get(field.name, f"--{field.name.replace('_', '-')}-port")
                raise PortBusy(field.name.replace("_", " "), wanted, option)
            chosen[field.name] = wanted or free_port(taken)
            taken.add(chosen[field.name])
        return Ports(**chosen)


def is_free(port: int) -> bool:
    """Tells whether `port` can be bound on loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # Servers set this too; without it a port in TIME_WAIT from the last run would look busy.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def free_port(taken: set[int]) -> int:
    """Returns a free loopback port that is not in `taken`.

    Raises:
        OSError: None was found in 200 tries.
    """
    for _ in range(200):
        port = random.SystemRandom().randrange(*FREE_RANGE)
        if port not in taken and is_free(port):
            return port
    raise OSError("no free port on loopback")
