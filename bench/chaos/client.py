"""The product's API as a patient user calls it: the same request again until the parts behind it are back."""

import asyncio
import uuid
from collections.abc import Mapping

import httpx2
from pydantic import JsonValue, TypeAdapter

Json = dict[str, JsonValue]
_OBJECT = TypeAdapter(Json)
_PATIENCE = frozenset({425, 429, 500, 502, 503, 504})
PAUSE_S = 0.2
LIMIT_S = 90.0


class Refused(Exception):
    """An answer that asking again does not change."""

    def __init__(self, method: str, path: str, status: int, text: str) -> None:
        super().__init__(f"{method} {path}: {status} {text}")
        self.status = status


class Api:
    """Calls as one account, or as the operator."""

    def __init__(self, http: httpx2.AsyncClient, key: str, account_id: str | None = None) -> None:
        """Take the connection to a running API."""
        self._http = http
        self._key = key
        self._headers = {"Authorization": f"Bearer {key}"}
        if account_id is not None:
            self._headers["X-Holdfast-Account"] = account_id

    def as_account(self, account_id: str) -> "Api":
        """Return the same caller, acting for an account."""
        return Api(self._http, self._key, account_id)

    async def call(
        self, method: str, path: str, body: Mapping[str, JsonValue] | None = None, *, limit_s: float = LIMIT_S
    ) -> Json:
        """Return the answer; while parts are away the same request (with its key) goes out again.

        Raises:
            Refused: The request itself was refused.
            TimeoutError: Nobody answered within the limit.
        """
        headers = {**self._headers, "Idempotency-Key": uuid.uuid4().hex}
        async with asyncio.timeout(limit_s):
            while True:
                answer = await self._try(method, path, body, headers)
                if answer is not None:
                    return answer
                await asyncio.sleep(PAUSE_S)

    async def _try(
        self, method: str, path: str, body: Mapping[str, JsonValue] | None, headers: Mapping[str, str]
    ) -> Json | None:
        try:
            answer = await self._http.request(
                method, path, json=None if body is None else dict(body), headers=dict(headers)
            )
        except httpx2.TransportError:
            return None
        if answer.status_code in _PATIENCE:
            return None
        if not answer.is_success:
            raise Refused(method, path, answer.status_code, answer.text)
        return _OBJECT.validate_json(answer.content)


def items(page: Json) -> list[Json]:
    """Return the objects of a page."""
    found = page.get("items")
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []
