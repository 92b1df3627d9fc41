"""One session's HTTP: an asynchronous client with a time limit, kept connections and a bulkhead.

Each session (one venue and account, or the public reads of a venue) owns a client of its own, so an account
whose requests stall exhausts its own connections only. Nothing is retried here: retries belong to Temporal.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import Self

import httpx2

from venues.polymarket.config import PolymarketConfig, is_loopback

# The package's own headers (py-clob-client-v2 1.2.1), so that the venue sees one kind of client.
_HEADERS = {
    "User-Agent": "py_clob_client_v2",
    "Accept": "*/*",
    "Connection": "keep-alive",
    "Content-Type": "application/json",
}
_ACCEPT_ENCODING_GET = "gzip"
_ACCEPT_ENCODING = "gzip, deflate"


class NetworkFault(StrEnum):
    """How a request failed without an answer."""

    NOT_SENT = "not_sent"  # no connection was made: the venue cannot have seen it
    TIMED_OUT = "timed_out"
    BROKEN = "broken"  # the connection ended before the answer


class NetworkFailure(Exception):
    """No answer came; `fault` says whether the request may have arrived. Carries no part of the request."""

    def __init__(self, fault: NetworkFault, detail: str) -> None:
        super().__init__(f"{fault}: {detail}")
        self.fault = fault
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Reply:
    """A venue's HTTP answer; header names are lower-case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body as text, undecodable bytes replaced."""
        return self.body.decode("utf-8", "replace")


class HttpSession:
    """Requests of one session to one host.

    Args:
        base_url: scheme, host and an optional path prefix, without a slash at the end.
        config: limits.
        transport: replaces the network in tests.
    """

    def __init__(
        self,
        base_url: str,
        config: PolymarketConfig,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._timeout_s = config.request_timeout_s
        self._client = httpx2.AsyncClient(
            headers=_HEADERS | {"Accept-Encoding": _ACCEPT_ENCODING},
            timeout=httpx2.Timeout(config.request_timeout_s),
            limits=httpx2.Limits(
                max_connections=config.connections,
                max_keepalive_connections=config.connections,
                keepalive_expiry=config.keepalive_s,
            ),
            follow_redirects=False,
            trust_env=not is_loopback(base_url),
            transport=transport,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Send one request and return the answer, whatever its status.

        Raises:
            NetworkFailure: no answer within the time limit, or no connection.
        """
        sent = dict(headers or {})
        if method == "GET":
            sent["Accept-Encoding"] = _ACCEPT_ENCODING_GET
        try:
            async with asyncio.timeout(self._timeout_s):
                answer = await self._client.request(
                    method, self._base_url + path, params=params, content=body, headers=sent
                )
        # `from None`: the library's errors hold the request, and the request holds credentials.
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout) as error:
            raise NetworkFailure(NetworkFault.NOT_SENT, type(error).__name__) from None
        except (TimeoutError, httpx2.TimeoutException) as error:
            raise NetworkFailure(NetworkFault.TIMED_OUT, type(error).__name__) from None
        except httpx2.RequestError as error:
            raise NetworkFailure(NetworkFault.BROKEN, type(error).__name__) from None
        return Reply(answer.status_code, {k.lower(): v for k, v in answer.headers.items()}, answer.content)
