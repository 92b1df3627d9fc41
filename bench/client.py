"""The product's API as its users call it: at once, or patiently until the parts behind it are back."""

import asyncio
import uuid
from collections.abc import Collection, Mapping

import httpx2
from pydantic import JsonValue, TypeAdapter

from bench.waiting import NeverCame

Json = dict[str, JsonValue]
_OBJECT = TypeAdapter(Json)
_AWAY = frozenset({425, 429, 500, 502, 503, 504})
PAUSE_S = 0.2
LIMIT_S = 180.0


class Refused(Exception):
    """An answer that is no success."""

    def __init__(self, request: str, status: int, document: Json) -> None:
        super().__init__(f"{request}: {status} {document}")
        self.status = status
        self.code = str(document.get("code", ""))
        self.document = document


class Api:
    """Calls as one account, or as the operator; whatever is no success is a `Refused`."""

    def __init__(
        self, http: httpx2.AsyncClient, key: str, account_id: str | None = None, *, patient: bool = False
    ) -> None:
        """Take the connection to a running API.

        Args:
            http: A client with the API's base URL.
            key: The operator's API key.
            account_id: The account to act for.
            patient: While parts are away the same request (with its idempotency key) goes out again.
        """
        self._http = http
        self._key = key
        self._patient = patient
        self._headers = {"Authorization": f"Bearer {key}"}
        if account_id is not None:
            self._headers["X-Holdfast-Account"] = account_id

    def as_account(self, account_id: str) -> "Api":
        """Return the same caller, acting for an account."""
        return Api(self._http, self._key, account_id, patient=self._patient)

    async def get(self, path: str, **query: str | int) -> Json:
        """Return the answer of a GET."""
        return await self.call("GET", path, query=query)

    async def get_or_none(self, path: str) -> Json | None:
        """Return the answer of a GET; None while a part behind the API is away, or nothing is there yet."""
        return await self._unless((404, 503), path)

    async def find(self, path: str) -> Json | None:
        """Return the answer of a GET; None where there is nothing, or nothing yet."""
        return await self._unless((404,), path)

    async def post(self, path: str, body: Json, key: str | None = None) -> Json:
        """Return the answer of a POST."""
        return await self.call("POST", path, body, key=key)

    async def patch(self, path: str, body: Json) -> Json:
        """Return the answer of a PATCH."""
        return await self.call("PATCH", path, body)

    async def put(self, path: str, body: Json) -> Json:
        """Return the answer of a PUT."""
        return await self.call("PUT", path, body)

    async def delete(self, path: str) -> Json:
        """Return the answer of a DELETE."""
        return await self.call("DELETE", path)

    async def call(
        self,
        method: str,
        path: str,
        body: Json | None = None,
        *,
        query: Mapping[str, str | int] | None = None,
        key: str | None = None,
    ) -> Json:
        """Return the answer.

        Raises:
            Refused: The request was refused; a patient caller hears only what asking again does not change.
            httpx2.TransportError: Nobody answered an impatient caller.
            NeverCame: Nobody answered a patient one within the limit.
        """
        request = self._http.build_request(
            method, path, json=body, params=query or None, headers=self._headers_of(method, key)
        )
        if not self._patient:
            return await self._once(request)
        try:
            async with asyncio.timeout(LIMIT_S):
                while True:
                    try:
                        return await self._once(request)
                    except httpx2.TransportError:
                        pass
                    except Refused as refused:
                        if refused.status not in _AWAY:
                            raise
                    await asyncio.sleep(PAUSE_S)
        except TimeoutError:
            raise NeverCame(f"{method} {path}: no answer within {LIMIT_S:.0f} s") from None

    async def _once(self, request: httpx2.Request) -> Json:
        answer = await self._http.send(request)
        document = _OBJECT.validate_json(answer.content)
        if not answer.is_success:
            raise Refused(f"{request.method} {request.url.path}", answer.status_code, document)
        return document

    async def _unless(self, statuses: Collection[int], path: str) -> Json | None:
        try:
            return await self.get(path)
        except Refused as refused:
            if refused.status in statuses:
                return None
            raise

    def _headers_of(self, method: str, key: str | None) -> dict[str, str]:
        if method == "GET":
            return self._headers
        return {**self._headers, "Idempotency-Key": key or uuid.uuid4().hex}


def items(page: Json) -> list[Json]:
    """Return the objects of a page."""
    found = page.get("items")
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []
