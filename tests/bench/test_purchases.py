"""Buying again what did not fill."""

import json
from collections.abc import Callable
from decimal import Decimal

import httpx2
import pytest

from bench.client import Api, Refused
from bench.purchases import buy, rest
from bench.waiting import BenchFailed

TOKEN = "7"


class Venue:
    """An API whose orders end as told, in turn; a fill is confirmed at the next look."""

    def __init__(self, *ends: tuple[str, str]) -> None:
        self.ends = list(ends)
        self.orders: list[dict[str, str]] = []
        self.shares = Decimal(0)
        self.looks = 0

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        if request.method == "POST":
            return self._place(json.loads(request.content))
        if request.url.path == "/api/v2/positions":
            held = [{"shares": str(self.shares), "unconfirmed_shares": "0"}] if self.shares else []
            return httpx2.Response(200, json={"items": held})
        return self._look(int(request.url.path.rpartition("/")[2]))

    def _place(self, body: dict[str, str]) -> httpx2.Response:
        state, filled = self.ends[min(len(self.orders), len(self.ends) - 1)]
        self.orders.append({**body, "state": state, "filled_shares": filled})
        return httpx2.Response(202, json={"id": str(len(self.orders) - 1)})

    def _look(self, number: int) -> httpx2.Response:
        self.looks += 1
        if self.looks % 2:  # durably started, but no row yet
            return httpx2.Response(404, json={"code": "not_found"})
        row = self.orders[number]
        if row["side"] == "BUY":
            self.shares += Decimal(row["filled_shares"])
        return httpx2.Response(200, json=row)


def api_of(answer: Callable[[httpx2.Request], httpx2.Response], *, patient: bool = True) -> Api:
    http = httpx2.AsyncClient(transport=httpx2.MockTransport(answer), base_url="http://api")
    return Api(http, "key", "acc_1", patient=patient)


async def test_an_entry_that_ended_without_a_fill_is_bought_again() -> None:
    venue = Venue(("canceled", "0"), ("failed", "0"), ("filled", "10"))
    await buy(api_of(venue.answer), TOKEN, Decimal(10), "0.60")
    assert [order["shares"] for order in venue.orders] == ["10", "10", "10"]


async def test_after_a_part_only_the_rest_is_bought() -> None:
    venue = Venue(("partially_filled", "4"), ("filled", "6"))
    await buy(api_of(venue.answer), TOKEN, Decimal(10), "0.60")
    assert [order["shares"] for order in venue.orders] == ["10", "6"]


async def test_entries_that_never_fill_end_the_run_with_the_last_ones_words() -> None:
    venue = Venue(("failed", "0"))
    with pytest.raises(BenchFailed, match="failed"):
        await buy(api_of(venue.answer), TOKEN, Decimal(10), "0.60")


async def test_an_offer_that_ended_before_it_rested_is_made_again() -> None:
    venue = Venue(("canceled", "0"), ("resting", "0"))
    await rest(api_of(venue.answer), TOKEN, Decimal(10), "0.99")
    assert [order["time_in_force"] for order in venue.orders] == ["GTC", "GTC"]


async def test_a_patient_caller_repeats_with_its_key_and_hears_only_what_is_final() -> None:
    statuses = [503, 429, 422]
    keys: list[str] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        keys.append(request.headers["Idempotency-Key"])
        return httpx2.Response(statuses[len(keys) - 1], json={"code": "c"})

    with pytest.raises(Refused, match="422"):
        await api_of(answer).post("/api/v2/orders", {})
    assert len(keys) == 3
    assert len(set(keys)) == 1


async def test_an_impatient_caller_hears_the_first_refusal() -> None:
    api = api_of(lambda _: httpx2.Response(503, json={"code": "store_down"}), patient=False)
    with pytest.raises(Refused) as refused:
        await api.get("/api/v2/rules")
    assert (refused.value.status, refused.value.code) == (503, "store_down")
    assert await api.get_or_none("/api/v2/rules/1") is None
