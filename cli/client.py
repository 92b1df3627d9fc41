"""The CLI's way to the API: one small synchronous HTTP client, and its failures in words."""

import uuid
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Self

import httpx2
from pydantic import JsonValue, SecretStr, TypeAdapter, ValidationError

from cli.errors import CommandFailed
from runtime.settings import MissingSetting, collect_environment, load

JsonObject = dict[str, JsonValue]
Query = Mapping[str, str | int | None]

TIMEOUT_SECONDS = 15.0
PAGE = 200
UNREACHABLE, UNREADABLE = "unreachable", "unreadable"
WITHOUT_ANSWER = frozenset({UNREACHABLE, UNREADABLE})
"""Codes of calls of which nobody knows whether they were carried out."""
_DOCUMENT = TypeAdapter(JsonObject)

_NEXT_STEPS = {
    "account_disabled": "ask the operator to switch the account on",
    "account_required": "set HOLDFAST_ACCOUNT, or --account, to an id of `holdfast account list`",
    "breaker_open": "wait as it says; `holdfast status` shows the breakers",
    "cancel_the_rule": "holdfast rule cancel RULE_ID",
    "credentials_missing": "holdfast credentials set",
    "crossing_won": "holdfast rule show RULE_ID",
    "entry_price_needed": "give --entry-price",
    "idempotency_conflict": "use another --idempotency-key",
    "more_than_held": "give a smaller --amount, or leave it out to sell all",
    "no_holding": "holdfast positions; or --expect-position when you are about to buy",
    "no_answer_yet": "check `holdfast status`: a worker must run",
    "not_found": "list what there is: holdfast rule list, holdfast orders",
    "scope_missing": "use a key with that scope: holdfast key create --scope …",
    "storage_unavailable": "holdfast doctor",
    "temporal_unavailable": "holdfast doctor",
    "trade_manager_disabled": "set TRADE_MANAGER_ENABLED=true and restart the API",
    "unauthenticated": "set HOLDFAST_API_KEY, or start `holdfast up` here, which writes .holdfast/env",
    "version_mismatch": "holdfast rule show RULE_ID, then patch again",
    "would_fire_at_once": "choose another level, or --allow-immediate",
}


class CallFailed(CommandFailed):
    """A call that did not succeed.

    Args:
        title: What went wrong, in a few words.
        detail: More of it; never a secret.
        next_step: What the reader can do now.
        code: The API's stable code, or one of `WITHOUT_ANSWER`.
        status: HTTP status, None when there was no answer.
        document: The problem document as it came.
    """

    def __init__(
        self,
        title: str,
        detail: str,
        next_step: str,
        *,
        code: str,
        status: int | None = None,
        document: JsonObject | None = None,
    ) -> None:
        super().__init__(f"{title}: {detail}" if detail else title, next_step)
        self.title = title
        self.detail = detail
        self.code = code
        self.status = status
        self.document = document or {"title": title, "detail": detail, "code": code}


class ApiClient:
    """Calls the API with one key, for one account.

    Args:
        url: Base URL of the API.
        key: API key.
        account: Account to act for with an operator's key; None for a key that belongs to one.
        transport: Replaces the network in tests.
    """

    def __init__(
        self,
        url: str,
        key: SecretStr,
        account: str | None = None,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        headers = {"Authorization": f"Bearer {key.get_secret_value()}", "Accept": "application/json"}
        if account:
            headers["X-Holdfast-Account"] = account
        self.account = account
        self._url = url
        self._http = httpx2.Client(
            base_url=url, headers=headers, timeout=TIMEOUT_SECONDS, transport=transport, trust_env=False
        )

    def get(self, path: str, query: Query | None = None) -> JsonObject:
        """Return the answer of a GET. Raises CallFailed."""
        return self._call("GET", path, query=query)

    def post(self, path: str, body: JsonObject, key: str | None = None) -> JsonObject:
        """Return the answer of a POST, sent under an idempotency key (made when None). Raises CallFailed."""
        return self._call("POST", path, body=body, headers={"Idempotency-Key": key or uuid.uuid4().hex})

    def put(self, path: str, body: JsonObject) -> JsonObject:
        """Return the answer of a PUT. Raises CallFailed."""
        return self._call("PUT", path, body=body)

    def patch(self, path: str, body: JsonObject) -> JsonObject:
        """Return the answer of a PATCH. Raises CallFailed."""
        return self._call("PATCH", path, body=body)

    def delete(self, path: str) -> JsonObject:
        """Return the answer of a DELETE. Raises CallFailed."""
        return self._call("DELETE", path)

    def pages(self, path: str, query: Query | None = None, limit: int | None = None) -> Iterator[JsonObject]:
        """Yield the items of a list over all its pages, at most `limit`. Raises CallFailed."""
        offset = 0
        while limit is None or offset < limit:
            size = PAGE if limit is None else min(PAGE, limit - offset)
            page = self.get(path, {**(query or {}), "limit": size, "offset": offset})
            items = objects(page, "items")
            yield from items
            offset += len(items)
            if len(items) < size:
                return

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _call(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        body: JsonObject | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> JsonObject:
        params = {name: value for name, value in (query or {}).items() if value is not None}
        try:
            answer = self._http.request(method, path, params=params, json=body, headers=headers)
        except httpx2.TransportError as error:
            raise self._unreachable(error) from None
        return _read(answer)

    def _unreachable(self, error: httpx2.TransportError) -> CallFailed:
        detail = f"no answer from {self._url} ({type(error).__name__})"
        step = "start the stack with `holdfast up`, or set HOLDFAST_API_URL"
        return CallFailed("The API cannot be reached", detail, step, code=UNREACHABLE)


def _read(answer: httpx2.Response) -> JsonObject:
    if not answer.content and answer.is_success:
        return {}
    try:
        document = _DOCUMENT.validate_json(answer.content)
    except ValidationError:
        detail = f"status {answer.status_code} without a JSON object"
        step = "check that HOLDFAST_API_URL points to Holdfast's API"
        raise CallFailed(
            "The answer cannot be read", detail, step, code=UNREADABLE, status=answer.status_code
        ) from None
    if answer.is_success:
        return document
    raise _failure(answer.status_code, document)


def _failure(status: int, document: JsonObject) -> CallFailed:
    code = text(document, "code") or str(status)
    faults = [text(fault, "code") for fault in objects(document, "errors")]
    known = [step for step in (_NEXT_STEPS.get(name) for name in (*faults, code)) if step]
    rule = text(document, "rule_id")
    step = known[0] if known else "see `--help` of this command, and the API's documentation at /docs"
    return CallFailed(
        text(document, "title") or f"Status {status}",
        text(document, "detail"),
        step.replace("RULE_ID", rule) if rule else step,
        code=code,
        status=status,
        document=document,
    )


def text(document: Mapping[str, JsonValue], name: str) -> str:
    """Return a member as text, empty when it is missing or null."""
    value = document.get(name)
    return "" if value is None else str(value)


def objects(document: Mapping[str, JsonValue], name: str) -> list[JsonObject]:
    """Return a member that is a list of objects, empty when it is missing."""
    value = document.get(name)
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def member(document: Mapping[str, JsonValue], name: str) -> JsonObject:
    """Return a member that is an object, empty when it is missing or null."""
    value = document.get(name)
    return value if isinstance(value, dict) else {}


@contextmanager
def api(account: str | None = None) -> Generator[ApiClient]:
    """Open the client that the environment describes; `account` wins over HOLDFAST_ACCOUNT.

    Raises:
        CallFailed: No API key is set.
    """
    environment = collect_environment()
    settings = load().api
    try:
        key = settings.caller_key()
    except MissingSetting as missing:
        step = _NEXT_STEPS["unauthenticated"]
        raise CallFailed("No API key is set", str(missing), step, code="unauthenticated") from None
    url = environment.get("HOLDFAST_API_URL") or settings.url()
    with ApiClient(url.rstrip("/"), key, account or environment.get("HOLDFAST_ACCOUNT")) as client:
        yield client
