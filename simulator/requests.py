"""Requests and replies of the public port, and the table that leads from one to the other."""

from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import parse_qs

import orjson

from simulator.faults import Incoming
from simulator.ledger import Entry
from simulator.orders import Submission
from simulator.refusals import Refusal


@dataclass(slots=True)
class Request:
    """A received request."""

    method: str
    path: str
    query: bytes
    headers: dict[str, str]
    body: bytes
    received_monotonic_ns: int
    received_at_ms: int
    incoming: Incoming
    param: str = ""
    """The last segment of paths that carry an id."""
    submissions: list[Submission | Refusal] = field(default_factory=list["Submission | Refusal"])
    entries: list[Entry] = field(default_factory=list[Entry])
    """Ledger entries to be, one for each order of a POST, in step with ``submissions``."""
    stale_ms: int | None = None
    """Planted look-up lag: orders and trades younger than this stay unseen."""
    stale_flavour: str = "null"
    reply_headers: dict[str, str] = field(default_factory=dict[str, str])
    """Headers of the answer, whatever it is."""
    _arguments: dict[str, list[str]] | None = None

    def arguments(self) -> dict[str, list[str]]:
        """Returns the query's values by name."""
        if self._arguments is None:
            self._arguments = parse_qs(self.query.decode("latin-1"))
        return self._arguments

    def argument(self, name: str) -> str | None:
        """Returns the first value of a query argument; None when absent or empty."""
        values = self.arguments().get(name)
        return values[0] if values else None

    def integer(self, name: str, default: int) -> int:
        """Returns a whole number from the query.

        Raises:
            Refusal: 400, the text is none.
        """
        text = self.argument(name)
        if text is None:
            return default
        if not text.isascii() or not text.isdigit():
            raise Refusal(400, f"invalid {name}")
        return int(text)


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: a JSON value, or a page of text that leaves as it is."""

    body: object
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict[str, str])
    page: str | None = None

    def raw(self) -> tuple[bytes, str]:
        """Returns the bytes and their content type."""
        if self.page is not None:
            return self.page.encode(), "text/html; charset=utf-8"
        return orjson.dumps(self.body), "application/json"


Handler = Callable[[Request], Reply]


class Routes:
    """Exact paths, and paths whose last segment is an id."""

    def __init__(self) -> None:
        self._exact: dict[tuple[str, str], Handler] = {}
        self._by_prefix: dict[tuple[str, str], Handler] = {}

    def add(self, method: str, path: str, handler: Handler) -> None:
        """Adds a route; a path that ends with ``/`` takes an id behind it."""
        table = self._by_prefix if path.endswith("/") else self._exact
        table[method, path] = handler

    def mount(self, prefix: str, routes: "Routes") -> None:
        """Adds every route of another table below a prefix; present ones stay."""
        for (method, path), handler in routes._exact.items():
            self._exact.setdefault((method, prefix + path), handler)
        for (method, path), handler in routes._by_prefix.items():
            self._by_prefix.setdefault((method, prefix + path), handler)

    def __call__(self, request: Request) -> Reply:
        """Runs the handler of a request.

        Raises:
            Refusal: 404 or 405, or whatever the handler refuses with.
        """
        handler = self._exact.get((request.method, request.path))
        if handler is None:
            head, _, param = request.path.rpartition("/")
            handler = self._by_prefix.get((request.method, f"{head}/"))
            request.param = param
        if handler is None:
            raise Refusal(404, "not found")
        return handler(request)
