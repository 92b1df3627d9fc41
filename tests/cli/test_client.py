"""The CLI's HTTP client: pages, followed events, answers that are none."""

import httpx2
import pytest
from pydantic import SecretStr

from cli.client import ApiClient, CallFailed
from cli.events import following


def client(answer: httpx2.MockTransport) -> ApiClient:
    return ApiClient("http://holdfast.test", SecretStr("key"), "acc_1", answer)


def log_of(numbers: range, size: int) -> httpx2.MockTransport:
    """Serve a log of events, at most `size` at a time."""

    def serve(request: httpx2.Request) -> httpx2.Response:
        after = int(request.url.params["after"])
        items = [{"id": str(number)} for number in numbers if number > after][:size]
        return httpx2.Response(200, json={"items": items, "total": len(items), "limit": size, "offset": 0})

    return httpx2.MockTransport(serve)


def test_follower_reads_every_event_once_over_several_answers() -> None:
    with client(log_of(range(1, 8), size=3)) as api:
        seen = [event["id"] for event in following(api, {}, "2")]

    assert seen == ["3", "4", "5", "6", "7"]


def test_key_and_account_are_sent_as_headers() -> None:
    def serve(request: httpx2.Request) -> httpx2.Response:
        sent = {name: request.headers[name] for name in ("Authorization", "X-Holdfast-Account")}
        return httpx2.Response(200, json=sent)

    with client(httpx2.MockTransport(serve)) as api:
        assert api.get("/") == {"Authorization": "Bearer key", "X-Holdfast-Account": "acc_1"}


@pytest.mark.parametrize("content", [b"<html>", b"[1]", b"null"])
def test_answer_that_is_no_object_says_to_check_the_address(content: bytes) -> None:
    html = httpx2.MockTransport(lambda _: httpx2.Response(502, content=content))
    with client(html) as api, pytest.raises(CallFailed) as failed:
        api.get("/")

    assert (failed.value.code, failed.value.status) == ("unreadable", 502)
    assert "HOLDFAST_API_URL" in str(failed.value.next_step)


def test_failure_carries_the_problems_title_detail_and_code() -> None:
    problem = {"title": "No", "detail": "why", "code": "no_holding", "errors": [{"code": "no_holding"}]}
    refusal = httpx2.MockTransport(lambda _: httpx2.Response(422, json=problem))
    with client(refusal) as api, pytest.raises(CallFailed) as failed:
        api.post("/", {})

    assert str(failed.value) == "No: why"
    assert "--expect-position" in str(failed.value.next_step)
    assert failed.value.document == problem
