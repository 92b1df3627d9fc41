"""The codec: what it answers, to whom, and from which pages; and the login of the Temporal UI."""

import base64
import hashlib
import io
import re
from datetime import timedelta

import httpx2
import pytest
from pydantic import SecretStr
from temporalio.api.common.v1 import Payload

from api.boundary import MAX_BODY_BYTES
from api.codec_access import CodecSessions, origin_of
from api.codec_page import LOGIN_PAGE
from api.schemas.codec import PayloadsJson
from runtime.settings import RingKey
from runtime.temporal_codec import ENCRYPTED, EncryptedPayloads
from storage.repositories.api_keys import Scope
from tests.api.conftest import PAYLOAD_KEY, UI, Caller, World
from tests.api.test_canary import CANARY, leaks

CLEAR = Payload(metadata={"encoding": b"json/plain"}, data=b'{"level":"0.4173"}')


def body_of(*payloads: Payload) -> dict[str, object]:
    return {
        "payloads": [
            {
                "metadata": {name: base64.b64encode(value).decode() for name, value in each.metadata.items()},
                "data": base64.b64encode(each.data).decode(),
            }
            for each in payloads
        ]
    }


def payloads_in(answer: httpx2.Response) -> list[Payload]:
    return [each.payload() for each in PayloadsJson.model_validate_json(answer.content).payloads]


async def sealed(*payloads: Payload, key: RingKey = PAYLOAD_KEY) -> list[Payload]:
    return await EncryptedPayloads([key]).encode(payloads)


async def operator(world: World, *scopes: Scope) -> Caller:
    made = await world.services.api_keys.create(None, scopes or (Scope.ADMIN,))
    return Caller(world.http, None, made.plaintext.get_secret_value())


async def test_encrypted_payloads_are_answered_in_clear_and_in_order(world: World) -> None:
    other = Payload(metadata={"encoding": b"binary/plain"}, data=bytes(range(256)))

    answer = await world.admin.post("/codec/decode", body_of(*await sealed(CLEAR, other)))

    assert answer.status_code == 200
    assert payloads_in(answer) == [CLEAR, other]
    assert answer.headers["cache-control"] == "no-store"


async def test_payload_that_was_never_encrypted_comes_back_as_it_is(world: World) -> None:
    answer = await world.admin.post("/codec/decode", body_of(CLEAR, *await sealed(CLEAR)))

    assert payloads_in(answer) == [CLEAR, CLEAR]


async def test_input_is_encrypted_as_this_installation_stores_it(world: World) -> None:
    answer = await world.admin.post("/codec/encode", body_of(CLEAR))

    (payload,) = payloads_in(answer)
    assert payload.metadata["encoding"] == ENCRYPTED
    assert await world.services.codec.codec.decode([payload]) == [CLEAR]


async def test_members_of_a_later_temporal_are_left_out(world: World) -> None:
    body = {"payloads": [{"data": "MQ==", "externalPayloads": [{"sizeBytes": "5"}]}], "later": 1}

    answer = await world.admin.post("/codec/decode", body)

    assert payloads_in(answer) == [Payload(data=b"1")]


async def test_payload_of_an_unknown_key_is_422_with_its_code(world: World) -> None:
    unknown = await sealed(CLEAR, key=RingKey("elsewhere", PAYLOAD_KEY.key))

    answer = await world.admin.post("/codec/decode", body_of(*unknown))

    assert (answer.status_code, answer.json()["code"]) == (422, "payload_key_unknown")


async def test_damaged_payload_is_422_with_its_code(world: World) -> None:
    (payload,) = await sealed(CLEAR)
    damaged = Payload(metadata=payload.metadata, data=payload.data[:-1])

    answer = await world.admin.post("/codec/decode", body_of(damaged))

    assert (answer.status_code, answer.json()["code"]) == (422, "payload_broken")


@pytest.mark.parametrize("data", ["no base64!", "M", {"a": 1}])
async def test_data_that_is_no_base64_is_422_and_not_repeated(world: World, data: object) -> None:
    answer = await world.admin.post("/codec/decode", {"payloads": [{"data": data}]})

    assert answer.status_code == 422
    assert "no base64!" not in answer.text


async def test_history_larger_than_other_bodies_is_decrypted_up_to_a_limit(world: World) -> None:
    large = Payload(data=bytes(MAX_BODY_BYTES * 2))

    taken = await world.admin.post("/codec/decode", body_of(*await sealed(large)))
    refused = await world.admin.post("/codec/decode", {"payloads": [{"data": "A" * (9 * 1024 * 1024)}]})

    assert payloads_in(taken) == [large]
    assert refused.status_code == 413


@pytest.mark.parametrize("path", ["/codec/decode", "/codec/encode", "/codec/session"])
async def test_only_an_operators_key_is_let_in(world: World, path: str) -> None:
    body = body_of(*await sealed(CLEAR))
    keys = {
        "nobody": Caller(world.http, None, ""),
        "stranger": Caller(world.http, None, "hf_000000000000_" + "A" * 43),
        "reader": await world.account(Scope.READ, holds=None),
        "trader": await world.account(Scope.TRADE, holds=None),
        "admin of an account": await world.account(Scope.ADMIN, holds=None),
        "operator": await operator(world),
    }

    answers = {name: (await caller.post(path, body)).status_code for name, caller in keys.items()}

    assert answers == {
        "nobody": 401,
        "stranger": 401,
        "reader": 403,
        "trader": 403,
        "admin of an account": 403,
        "operator": 200,
    }


async def test_planted_secret_in_a_refused_payload_is_not_repeated(world: World, log: io.StringIO) -> None:
    bodies = [
        CANARY,
        {"payloads": CANARY},
        {"payloads": [{"data": f"0x{CANARY}!"}]},
        {"payloads": [{"metadata": {CANARY: f"0x{CANARY}!"}}]},
        {"payloads": [{"metadata": {"encoding": "YmluYXJ5L2VuY3J5cHRlZA==", "encryption-key-id": CANARY}}]},
    ]

    answers = [
        await world.admin.post(path, body) for path in ("/codec/decode", "/codec/encode") for body in bodies
    ]

    # An encrypted payload is none of the codec's to encrypt, so `encode` hands the last one back.
    assert [answer.status_code for answer in answers] == [422] * 9 + [200]
    assert not [answer.text for answer in answers[:9] if leaks(answer.text)]
    assert not leaks(log.getvalue())


# -- the Temporal UI: another origin, cookies only ------------------------------------------------


async def from_a_page(
    world: World, origin: str, cookie: str | None, path: str = "/codec/decode"
) -> httpx2.Response:
    headers = {"Origin": origin, "X-Namespace": "default"}
    if cookie is not None:
        headers["Cookie"] = f"holdfast_codec={cookie}"
    return await world.http.post(path, json=body_of(*await sealed(CLEAR)), headers=headers)


async def logged_in(caller: Caller) -> str:
    answer = await caller.post("/codec/session", None)
    assert answer.status_code == 200
    caller.http.cookies.clear()
    return answer.cookies["holdfast_codec"]


async def test_ui_decrypts_after_the_login(world: World) -> None:
    cookie = await logged_in(world.admin)

    answer = await from_a_page(world, UI, cookie)

    assert payloads_in(answer) == [CLEAR]
    assert answer.headers["access-control-allow-origin"] == UI
    assert answer.headers["access-control-allow-credentials"] == "true"


async def test_ui_without_a_login_can_read_that_it_is_401(world: World) -> None:
    answer = await from_a_page(world, UI, None)

    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
    assert answer.headers["access-control-allow-origin"] == UI


@pytest.mark.parametrize("origin", ["http://evil.test", f"{UI}:81", "https://temporal-ui.test", "null"])
async def test_other_pages_get_nothing_by_the_login(world: World, origin: str) -> None:
    answer = await from_a_page(world, origin, await logged_in(world.admin))

    assert answer.status_code == 401
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("path", ["/api/v2/accounts", "/codec/session", "/api/v2/kill-switch"])
async def test_login_opens_no_other_path(world: World, path: str) -> None:
    cookie = await logged_in(world.admin)

    answer = await world.http.get(path, headers={"Origin": UI, "Cookie": f"holdfast_codec={cookie}"})
    begun = await from_a_page(world, UI, cookie, "/codec/session")

    assert answer.status_code == 401
    assert begun.status_code == 401
    assert "access-control-allow-origin" not in answer.headers


async def test_login_ends_after_its_hours(world: World) -> None:
    cookie = await logged_in(world.admin)
    world.clock.time += timedelta(hours=8, seconds=1)

    assert (await from_a_page(world, UI, cookie)).status_code == 401


async def test_login_ends_when_its_key_is_revoked(world: World) -> None:
    made = await world.services.api_keys.create(None, [Scope.ADMIN])
    cookie = await logged_in(Caller(world.http, None, made.plaintext.get_secret_value()))
    before = await from_a_page(world, UI, cookie)

    await world.services.api_keys.revoke(made.key.key_id)

    assert (before.status_code, (await from_a_page(world, UI, cookie)).status_code) == (200, 401)


@pytest.mark.parametrize(
    "cookie",
    [
        b"",
        b"=",
        b"not a login",
        b"gAAAAA==",
        "gAAAAA\u00e9".encode(),
        "\u00e9\u00fc".encode("latin-1"),
        b"A" * 4000,
    ],
    ids=["empty", "a sign", "words", "cut short", "not ASCII", "latin-1", "long"],
)
async def test_odd_cookie_is_no_login_and_no_failure(world: World, cookie: bytes) -> None:
    headers = {b"Origin": UI.encode(), b"Cookie": b"holdfast_codec=" + cookie}

    answer = await world.http.post("/codec/decode", content=b'{"payloads": []}', headers=headers)

    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")


async def test_cookie_of_another_installation_is_nothing(world: World) -> None:
    key = SecretStr(world.admin.key)
    foreign = CodecSessions(SecretStr("another" * 8)).begin(key, world.clock.now())

    assert (await from_a_page(world, UI, foreign.get_secret_value())).status_code == 401


async def test_cookie_is_out_of_reach_of_scripts_and_hides_the_key(world: World) -> None:
    answer = await world.admin.post("/codec/session", None)

    cookie = answer.headers["set-cookie"]
    assert {"HttpOnly", "Path=/codec", "SameSite=strict", "Max-Age=28800"} <= set(cookie.split("; "))
    assert world.admin.key not in cookie
    assert answer.json()["ui_origin"] == UI


async def test_login_is_audited(world: World) -> None:
    caller = await operator(world)

    await logged_in(caller)

    newest = (await world.services.audit.page(None, limit=1))[0]
    assert newest.action == "codec.login"
    assert newest.actor == newest.subject != "bootstrap"


async def test_preflight_of_the_ui_is_answered_without_a_key(world: World) -> None:
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-namespace"}

    answers = [
        await world.http.options("/codec/decode", headers={"Origin": origin, **asked})
        for origin in (UI, "http://evil.test")
    ]

    assert [answer.status_code for answer in answers] == [200, 400]
    assert answers[0].headers["access-control-allow-origin"] == UI
    assert "x-namespace" in answers[0].headers["access-control-allow-headers"]
    assert "access-control-allow-origin" not in answers[1].headers


async def test_login_page_needs_no_key_and_runs_only_its_own_script(world: World) -> None:
    answer = await world.http.get("/codec/login")

    policy = answer.headers["content-security-policy"]
    script, style = (
        re.search(f"<{tag}>(.*?)</{tag}>", answer.text, re.DOTALL)[1]  # type: ignore[index]
        for tag in ("script", "style")
    )
    for text in (script, style):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
    assert (answer.status_code, answer.text) == (200, LOGIN_PAGE)
    assert "default-src 'none'" in policy
    assert "http://" not in answer.text


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("http://127.0.0.1:8233", "http://127.0.0.1:8233"),
        ("http://127.0.0.1:8233/namespaces/default", "http://127.0.0.1:8233"),
        ("https://temporal.example.com:443/", "https://temporal.example.com"),
        ("https://Temporal.Example.com:8443", "https://temporal.example.com:8443"),
        ("http://[::1]:8233", "http://[::1]:8233"),
    ],
)
def test_origin_is_what_a_browser_sends(url: str, origin: str) -> None:
    assert origin_of(url) == origin
