"""Where the venue is and how much of it one session may use."""

from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

VENUE = "polymarket"
HEARTBEAT_S = 5.0
"""What the venue asks for where its dead man's switch is on; it acts after ten seconds of silence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolymarketConfig:
    """Hosts, chain and limits; the defaults are production (docs.polymarket.com, Endpoints and Rate limits).

    Attributes:
        ws_url: base of the sockets; `/market` and `/user` are appended.
        request_timeout_s: longest time of one request, waiting for a connection included.
        connections: open requests of one session (one venue and account); more wait in line.
        keepalive_s: how long an idle connection is kept for the next order.
        tokens_per_socket: the venue stalls sockets with many tokens; more tokens open more sockets.
        ping_s: the venue drops a socket that sends no PING (every 10 s by its documentation).
        heartbeat_s: pause between two heartbeats while the user socket is open; None leaves the venue's dead
            man's switch off, see `docs/venues.md`.
        cancels_per_request: ids of one batch cancel; the venue takes a thousand, its limiter refuses a batch
            as a whole.
        silent_socket_s: a socket without any frame, PONG included, for this long is dead.
    """

    clob_url: str = "https://clob.polymarket.com"
    gamma_url: str = "https://gamma-api.polymarket.com"
    data_url: str = "https://data-api.polymarket.com"
    ws_url: str = "wss://ws-subscriptions-clob.polymarket.com/ws"
    geoblock_url: str = "https://polymarket.com/api/geoblock"
    chain_id: int = 137
    request_timeout_s: float = 3.0
    connections: int = 16
    keepalive_s: float = 120.0
    tokens_per_socket: int = 200
    books_per_request: int = 100
    cancels_per_request: int = 100
    heartbeat_s: float | None = None
    ping_s: float = 10.0
    silent_socket_s: float = 25.0
    reconnect_first_s: float = 0.1
    reconnect_cap_s: float = 10.0


def is_loopback(url: str) -> bool:
    """Say whether `url` names this machine; proxies of the environment are then left aside."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
