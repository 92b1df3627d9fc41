"""A small client of the product's own API, as one account or as the operator."""

from collections.abc import Mapping
from typing import Any

import httpx2

Json = dict[str, Any]


class Refused(Exception):
    """An answer that is no success."""

    def __init__(self, status: int, document: Json) -> None:
        super().__init__(f"{status}: {document}")
        self.status = status
        self.code = str(document.get("code", ""))
        self.document = document


class Api:
    """Calls the API; every failure is a `Refused`."""

    def __init__(self, http: httpx2.AsyncClient, key: str, account_id: str | None = None) -> None:
        self._http = http
        self._key = key
        self._headers = {"Authorization": f"Bearer {key}"}
        if account_id is not None:
            self._headers["X-Holdfast-Account"] = account_id

    def as_account(self, account_id: str) -> "Api":
        """Returns the same operator's client, acting for an account."""
        return Api(self._http, self._key, account_id)

    async def get(self, path: str, **query: str | int) -> Json:
        """Returns the answer of a GET."""
        return await self._call("GET", path, query=query)

    async def get_or_none(self, path: str) -> Json | None:
        """Returns the answer of a GET; None while a part behind the API is away."""
        try:
            return await self.get(path)
        except Refused as refused:
            if refused.status == 503:
                return None
            raise

    async def post(self, path: str, body: Json, key: str | None = None) -> Json:
        """Returns the answer of a POST; repeats it while the API asks for patience (429)."""
        return await self._call("POST", path, body, headers={"Idempotency-Key": key} if key else {})

    async def patch(self, path: str, body: Json) -> Json:
        """Returns the answer of a PATCH."""
        return await self._call("PATCH", path, body)

    async def put(self, path: str, body: Json) -> Json:
        """Returns the answer of a PUT."""
        return await self._call("PUT", path, body)

    async def delete(self, path: str) -> Json:
        """Returns the answer of a DELETE."""
        return await self._call("DELETE", path)

    async def _call(
        self,
        method: str,
        path: str,
        body: Json | None = None,
        *,
        query: Mapping[str, str | int] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Json:
        answer = await self._http.request(
            method, path, json=body, params=query, headers={**self._headers, **(headers or {})}
        )
        document: Json = answer.json()
        if not answer.is_success:
            raise Refused(answer.status_code, document)
        return document
