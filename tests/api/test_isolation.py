"""Each route of the app as nobody, as a stranger, and as the owner. The list is taken from the app itself."""

from collections.abc import Iterator
from typing import NamedTuple

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute

from api.app import create_app, is_open
from domain.ids import RuleId
from storage.repositories.api_keys import Scope
from tests.api.conftest import Caller, World
from tests.api.fakes import YES

STOP = {"token_id": YES, "conditions": [{"type": "stop_loss", "price": "0.40"}]}
BODIES: dict[tuple[str, str], object] = {
    ("POST", "/api/v2/rules"): STOP,
    ("PATCH", "/api/v2/rules/{rule_id}"): {"floor": "0.2"},
    ("POST", "/api/v2/rules/preview"): STOP,
    ("POST", "/api/v2/rules/{rule_id}/replay"): {},
    ("POST", "/api/skills/polymarket/rules"): {"ruleType": "STOP_LOSS", "tokenId": YES, "triggerPrice": 0.4},
    ("PATCH", "/api/skills/polymarket/rules/{rule_id}"): {"triggerPrice": 0.3},
    ("POST", "/api/v2/orders"): {"token_id": YES, "side": "SELL", "shares": 5, "price": "0.6"},
    ("POST", "/api/v2/accounts"): {"name": "desk"},
    ("PATCH", "/api/v2/accounts/{account_id}"): {"enabled": True},
    ("PUT", "/api/v2/accounts/{account_id}/kill-switch"): {"level": "off"},
    ("PUT", "/api/v2/kill-switch"): {"level": "off"},
    ("POST", "/api/v2/accounts/{account_id}/keys"): {"scopes": ["read"]},
    ("PUT", "/api/v2/accounts/{account_id}/credentials"): {"private_key": "b2" * 32},
    ("POST", "/codec/decode"): {"payloads": [{"metadata": {"encoding": "anNvbi9wbGFpbg=="}, "data": "MQ=="}]},
    ("POST", "/codec/encode"): {"payloads": [{"metadata": {"encoding": "anNvbi9wbGFpbg=="}, "data": "MQ=="}]},
}
# Asked by POST because of their body; a key that may only read will do.
READ_BY_POST = {("POST", "/api/v2/rules/preview"), ("POST", "/api/v2/rules/{rule_id}/replay")}
OPERATORS = {
    ("POST", "/api/v2/accounts"),
    ("GET", "/api/v2/kill-switch"),
    ("PUT", "/api/v2/kill-switch"),
    ("POST", "/codec/decode"),
    ("POST", "/codec/encode"),
    ("POST", "/codec/session"),
}


class Route(NamedTuple):
    """One operation of the app."""

    method: str
    path: str

    @property
    def names_a_resource(self) -> bool:
        return "{" in self.path

    def of(self, ids: dict[str, str]) -> str:
        return self.path.format(**ids)


def app_routes() -> Iterator[Route]:
    def unused() -> None:
        raise NotImplementedError

    app: FastAPI = create_app(unused)  # type: ignore[arg-type]
    for path, operations in app.openapi()["paths"].items():
        for method in operations:
            yield Route(method.upper(), path)


ROUTES = sorted(app_routes())
GUARDED = [route for route in ROUTES if not is_open(route.path)]


def test_every_registered_route_is_in_the_list() -> None:
    def unused() -> None:
        raise NotImplementedError

    app = create_app(unused)  # type: ignore[arg-type]
    included = {
        (method, route.path)
        for router in app.routes
        for route in getattr(router, "routes", [router])
        if isinstance(route, APIRoute)
        for method in route.methods
    }

    assert included <= set(ROUTES) | {("GET", "/api/health")}
    assert len(ROUTES) >= 30


async def send(caller: Caller, route: Route, ids: dict[str, str]) -> tuple[int, str]:
    answer = await caller.http.request(
        route.method,
        route.of(ids),
        json=BODIES.get(route),
        headers={"Authorization": f"Bearer {caller.key}"} if caller.key else {},
    )
    return answer.status_code, answer.text


async def belongings(world: World, owner: Caller) -> dict[str, str]:
    rule = (await owner.post("/api/v2/rules", STOP)).json()
    order = (await owner.post("/api/v2/orders", BODIES["POST", "/api/v2/orders"])).json()
    path = f"/api/v2/accounts/{owner.account_id}/keys"
    key = (await world.admin.post(path, {"scopes": ["read"]})).json()
    return {
        "rule_id": rule["id"],
        "order_id": order["id"],
        "account_id": str(owner.account_id),
        "key_id": key["id"],
    }


@pytest.mark.parametrize("route", GUARDED, ids=lambda route: f"{route.method} {route.path}")
async def test_nobody_stranger_and_owner(world: World, route: Route) -> None:
    owner = await world.account(Scope.ADMIN)
    stranger = await world.account(Scope.ADMIN, holds=None)
    ids = await belongings(world, owner)
    if route.path.endswith("/adopt"):
        await world.rules.orphan(RuleId(ids["rule_id"]))
    nobody = Caller(world.http, None, "")
    forger = Caller(world.http, None, "hf_000000000000_" + "A" * 43)

    as_nobody = await send(nobody, route, ids)
    as_forger = await send(forger, route, ids)
    as_stranger = await send(stranger, route, ids)
    as_owner = await send(owner, route, ids)

    assert (as_nobody[0], as_forger[0]) == (401, 401)
    assert not any(value in as_stranger[1] for value in ids.values())
    if route in OPERATORS:
        assert (as_stranger[0], as_owner[0]) == (403, 403)
    elif route.names_a_resource:
        assert as_stranger[0] == 404
        assert as_owner[0] in (200, 201), as_owner[1]
    elif route.method == "GET" or route in READ_BY_POST:
        assert (as_stranger[0], as_owner[0]) == (200, 200)
    else:
        # Creating is judged by the stranger's own, empty account.
        assert as_stranger[0] == 422
        assert as_owner[0] == 201, as_owner[1]


@pytest.mark.parametrize("route", GUARDED, ids=lambda route: f"{route.method} {route.path}")
async def test_stranger_with_the_owners_account_in_the_header_finds_nothing(
    world: World, route: Route
) -> None:
    owner, stranger = await world.account(), await world.account(Scope.ADMIN)
    ids = await belongings(world, owner)

    answer = await world.http.request(
        route.method,
        route.of(ids),
        json=BODIES.get(route),
        headers={"Authorization": f"Bearer {stranger.key}", "X-Holdfast-Account": ids["account_id"]},
    )

    takes_no_account = route in OPERATORS or route.path in ("/api/v2/accounts", "/api/v2/health")
    assert answer.status_code == 404 or (takes_no_account and answer.status_code in (200, 403))
    assert not any(value in answer.text for value in ids.values())


@pytest.mark.parametrize(
    "route",
    [route for route in GUARDED if route.method != "GET" and route not in READ_BY_POST],
    ids=lambda route: f"{route.method} {route.path}",
)
async def test_reading_key_changes_nothing(world: World, route: Route) -> None:
    reader = await world.account(Scope.READ)
    trader = Caller(
        world.http,
        reader.account_id,
        (await world.services.api_keys.create(reader.account_id, [Scope.TRADE])).plaintext.get_secret_value(),
    )
    ids = await belongings(world, trader)

    status, _ = await send(reader, route, ids)

    assert status == 403


async def test_revoked_key_is_401_everywhere(world: World) -> None:
    caller = await world.account()
    for key in await world.services.api_keys.of_account(caller.account_id):  # type: ignore[arg-type]
        await world.services.api_keys.revoke(key.key_id)

    answers = [
        await send(caller, route, dict.fromkeys(("rule_id", "order_id", "account_id", "key_id"), "x"))
        for route in GUARDED
    ]

    assert {status for status, _ in answers} == {401}


@pytest.mark.parametrize(
    "strange", ["x", "rul_" + "0" * 32, "..%2f..", "%00", "a b", "'; DROP TABLE rules;--"]
)
async def test_ids_that_nothing_can_have_are_404(world: World, strange: str) -> None:
    caller = await world.account(Scope.ADMIN)
    routes = [route for route in GUARDED if route.names_a_resource]

    answers = [
        await send(caller, route, dict.fromkeys(("rule_id", "order_id", "account_id", "key_id"), strange))
        for route in routes
    ]

    assert {status for status, _ in answers} == {404}
