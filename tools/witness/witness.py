"""Tries the local exchange with a client that nobody here wrote: the package `polymarket-client`.

It needs an environment of its own (docs/witness.md), talks to a running simulator, and prints a line for each
probe: `ok`, or what was answered instead. It exits with 1 when a probe differs.
"""

import argparse
import asyncio
import dataclasses
import secrets
import sys
import time
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import httpx
import polymarket
from eth_account import Account
from polymarket.errors import (
    OrderHeartbeatMismatchError,
    PolymarketError,
    RateLimitError,
    RequestRejectedError,
)
from polymarket.streams import MarketSpec, UserSpec

LIMIT_S = 10


class Differs(Exception):
    """The exchange answered something else than the client expects of the venue."""


class Scene:
    """A market on the exchange, two funded traders, and the exchange's control port."""

    def __init__(self, clob: str, control: str) -> None:
        self.clob = clob
        self.http = httpx.AsyncClient(base_url=control, timeout=30, trust_env=False)
        self.limits: list[polymarket.rate_limit.RateLimitUpdate] = []
        self.market: dict[str, Any] = {}

    async def control(self, path: str, /, **body: object) -> dict[str, Any]:
        """Calls the control port and returns its answer."""
        reply = await self.http.post(path, json=body)
        reply.raise_for_status()
        return dict(reply.json())

    async def open(self, **terms: object) -> dict[str, Any]:
        """Opens another market, with a book around 0.51."""
        self.market = await self.control("/markets", question="Does it hold?", fee_rate="0.05", **terms)
        await self.quote()
        return self.market

    async def quote(self, bid: str = "0.50", ask: str = "0.52", size: str = "100") -> None:
        """Sets the house's best bid and ask."""
        await self.control(f"/books/{self.yes}", bids=[[bid, size]], asks=[[ask, size]])

    async def fund(self, address: str, **more: object) -> None:
        """Gives a wallet collateral and shares of both outcomes."""
        tokens = dict.fromkeys(self.market["token_ids"], "100")
        await self.control("/wallets", address=address, collateral="1000", tokens=tokens, **more)

    @property
    def yes(self) -> str:
        """Token of the first outcome."""
        return str(self.market["token_ids"][0])

    @property
    def no(self) -> str:
        """Token of the second outcome."""
        return str(self.market["token_ids"][1])

    def environment(self) -> polymarket.Environment:
        """Returns the client's own environment with the exchange's hosts; it offers no public way to."""
        sockets = self.clob.replace("http", "ws", 1)
        config = dataclasses.replace(
            polymarket.PRODUCTION._config,
            clob_url=self.clob,
            gamma_url=f"{self.clob}/gamma",
            data_url=f"{self.clob}/data-api",
            clob_market_ws_url=f"{sockets}/ws/market",
            clob_user_ws_url=f"{sockets}/ws/user",
            relayer_url=self.clob,
            rpc_url=self.clob,
        )
        environment = object.__new__(polymarket.Environment)
        object.__setattr__(environment, "name", "local")
        object.__setattr__(environment, "_config", config)
        return environment

    async def trader(self) -> polymarket.AsyncSecureClient:
        """Returns a client for a new, funded wallet."""
        account = Account.from_key(secrets.token_bytes(32))
        await self.fund(account.address)
        return await polymarket.AsyncSecureClient.create(
            private_key="0x" + bytes(account.key).hex(),
            wallet=account.address,
            environment=self.environment(),
            on_rate_limit_update=self.limits.append,
        )


Probe = Callable[[Scene, polymarket.AsyncSecureClient], Awaitable[None]]


def expect(what: str, found: object, wanted: object) -> None:
    """Raises Differs unless a value is the wanted one."""
    if found != wanted:
        raise Differs(f"{what} is {found!r}, expected {wanted!r}")


async def public_reads(scene: Scene, client: polymarket.AsyncSecureClient) -> None:
    """Books and prices are read without a key."""
    book = await client.get_order_book(asset_id=scene.yes)
    expect("best bid", book.bids[-1].price, Decimal("0.50"))
    expect("midpoint", await client.get_midpoint(asset_id=scene.yes), Decimal("0.51"))
    expect("spread", await client.get_spread(asset_id=scene.yes), Decimal("0.02"))
    await client.get_price(asset_id=scene.yes, side="BUY")
    await client.get_order_books(asset_ids=[scene.yes, scene.no])


async def catalogue(scene: Scene, client: polymarket.AsyncSecureClient) -> None:
    """A market is found in the catalogue."""
    market = await client.get_market(id=str(scene.market["id"]))
    expect("condition", market.condition_id, scene.market["condition_id"])


async def balances(scene: Scene, client: polymarket.AsyncSecureClient) -> None:
    """Balance, standing and keys of the account are read."""
    balance = await client.get_balance_allowance(asset_type="COLLATERAL")
    expect("collateral", balance.balance, 1_000_000_000)
    expect("closed only", await client.get_closed_only_mode(), False)
    expect("keys", len(await client.fetch_api_keys()), 1)


async def limit_order_rests_is_found_and_cancelled(
    scene: Scene, client: polymarket.AsyncSecureClient
) -> None:
    """A limit order rests, is looked up in two ways, and cancelled once."""
    placed = await client.place_limit_order(asset_id=scene.yes, price="0.40", size="10", side="BUY")
    expect("status", getattr(placed, "status", placed), "live")
    found = await client.get_order(order_id=placed.order_id)
    expect("order", (found.id, found.original_size, found.price), (placed.order_id, 10, Decimal("0.40")))
    listed = await client.list_open_orders(asset_id=scene.yes).first_page()
    expect("open orders", [order.id for order in listed.items], [placed.order_id])
    answer = await client.cancel_order(order_id=placed.order_id)
    expect("cancelled", list(answer.canceled), [placed.order_id])
    again = await client.cancel_order(order_id=placed.order_id)
    expect("second cancel", list(again.not_canceled), [placed.order_id])


async def market_sell_matches_and_settles(scene: Scene, client: polymarket.AsyncSecureClient) -> None:
    """A market order sells at the bid; its trade gets a hash."""
    placed = await client.place_market_order(asset_id=scene.yes, side="SELL", shares="10", min_price="0.40")
    expect("amounts", (placed.status, placed.making_amount, placed.taking_amount), ("matched", 10, 5))
    hashes = await client.wait_for_order_fill_settlement(placed, timeout_s=LIMIT_S)
    expect("hashes", len(hashes), 1)
    trades = await client.list_account_trades(market=scene.market["condition_id"]).first_page()
    expect("trade", (trades.items[0].id, trades.items[0].size), (placed.trade_ids[0], 10))


async def market_buy_spends_its_budget(scene: Scene, client: polymarket.AsyncSecureClient) -> None:
    """A market order spends what it is given."""
    placed = await client.place_market_order(asset_id=scene.yes, side="BUY", amount="5.2", max_price="0.60")
    expect("amounts", (placed.making_amount, placed.taking_amount), (Decimal("5.2"), 10))


async def same_order_twice_is_refused(scene: Scene, client: polymarket.AsyncSecureClient) -> None:
    """The same bytes are taken once, and the second answer says so."""
    signed = await client.create_limit_order(asset_id=scene.yes, price="0.40", size="10", side="BUY")
    placed = await client.post_order(signed)
    try:
        answer = await client.post_order(signed)
    except RequestRejectedError as error:
        expect("second post", (error.status, "Duplicated" in str(error)), (400, True))
    else:
        raise Differs(f"the second post was answered {answer!r}")
    page = await client.list_open_orders(asset_id=scene.yes).first_page()
    expect("orders", [order.id for order in page.items], [placed.order_id])


async def batch_is_placed_and_cancelled(scene: Scene, client: polymarket.AsyncSecureClient) -> None:
    """A batch is placed, part of it cancelled together, the rest by cancel-all."""
    orders = [
        await client.create_limit_order(asset_id=scene.yes, price=f"0.4{n}", size="5", side="BUY")
        for n in range(3)
    ]
    placed = await client.post_orders(orders)
    expect("legs", [order.ok for order in placed], [True] * 3)
    ids = [order.order_id for order in placed]
    expect("cancelled", list((await client.cancel_orders(order_ids=ids[:2])).canceled), ids[:2])
    expect("the rest", list((await client.cancel_all()).canceled), ids[2:])


async def buyers_of_both_outcomes_mint_a_pair(scene: Scene, client: polymarket.AsyncSecureClient) -> None:
    """A buyer of Yes meets a buyer of No."""
    other = await scene.trader()
    try:
        await other.place_limit_order(asset_id=scene.no, price="0.49", size="10", side="BUY")
        placed = await client.place_limit_order(asset_id=scene.yes, price="0.51", size="10", side="BUY")
        expect("status", placed.status, "matched")
        page = await other.list_account_trades(market=scene.market["condition_id"]).first_page()
        expect("the maker's token", page.items[0].maker_orders[0].token_id, scene.no)
    finally:
        await other.close()


async def neg_risk_order_is_signed_for_its_exchange(
    scene: Scene, client: polymarket.AsyncSecureClient
) -> None:
    """The client's own choice of the exchange contract is right."""
    await scene.open(neg_risk=True)
    placed = await client.place_limit_order(asset_id=scene.yes, price="0.40", size="10", side="BUY")
    expect("status", getattr(placed, "status", placed), "live")


async def new_tick_is_learned(scene: Scene, client: polymarket.AsyncSecureClient) -> None:
    """A finer tick is used after it was announced."""
    await client.place_limit_order(asset_id=scene.yes, price="0.40", size="10", side="BUY")
    await scene.control(f"/markets/{scene.market['condition_id']}/tick-size", tick_size="0.001")
    placed = await client.place_limit_order(asset_id=scene.yes, price="0.405", size="10", side="BUY")
    expect("status", getattr(placed, "status", placed), "live")


async def held_order_is_delayed(scene: Scene, client: polymarket.AsyncSecureClient) -> None:
    """A hold is told, and its end is seen."""
    await scene.open(seconds_delay=1)
    await scene.fund(str(client.wallet))
    placed = await client.place_market_order(asset_id=scene.yes, side="SELL", shares="10", min_price="0.40")
    expect("status", placed.status, "delayed")
    await scene.control("/holds/release")
    expect("afterwards", (await client.get_order(order_id=placed.order_id)).status, "MATCHED")


async def order_unmatched_after_its_hold_is_read(scene: Scene, client: polymarket.AsyncSecureClient) -> None:
    """An order that rests after its hold can be read."""
    await scene.open(seconds_delay=600)
    placed = await client.place_limit_order(asset_id=scene.yes, price="0.52", size="10", side="BUY")
    expect("status", placed.status, "delayed")
    await scene.quote("0.50", "0.60")
    await scene.control("/holds/release")
    expect("afterwards", (await client.get_order(order_id=placed.order_id)).status, "UNMATCHED")


async def killed_orders_are_known_refusals(scene: Scene, client: polymarket.AsyncSecureClient) -> None:
    """Killed FAK and FOK orders come with the known words."""
    await scene.quote(size="5")
    for order_type, lowest, words in (
        ("FAK", "0.55", "no orders found"),
        ("FOK", "0.45", "couldn't be fully filled"),
    ):
        try:
            answer = await client.place_market_order(
                asset_id=scene.yes, side="SELL", shares="10", min_price=lowest, order_type=order_type
            )
        except RequestRejectedError as error:
            expect(order_type, (error.status, words in str(error)), (400, True))
        else:
            raise Differs(f"{order_type} was answered {answer!r}")


async def restrictions_are_recognised(scene: Scene, client: polymarket.AsyncSecureClient) -> None:
    """Restart, cancel-only and post-only are told apart."""
    signed = await client.create_limit_order(asset_id=scene.yes, price="0.40", size="10", side="BUY")
    for kind, restriction in (
        ("engine_restart", "restarting"),
        ("cancel_only", "cancel_only"),
        ("post_only_window", "post_only"),
    ):
        await scene.control("/faults", kind=kind, path="/order", times=1)
        try:
            await client.post_order(signed)
        except RequestRejectedError as error:
            expect(kind, error.restriction, restriction)
        else:
            raise Differs(f"{kind} refused nothing")


async def limiter_is_understood(scene: Scene, client: polymarket.AsyncSecureClient) -> None:
    """The limiter's headers, refusals and warnings are read."""
    await scene.control("/settings", signer_limits="enforced", orders_per_s=1, orders_burst=1)
    try:
        signed = [
            await client.create_limit_order(asset_id=scene.yes, price="0.40", size="5", side="BUY")
            for _ in range(2)
        ]
        await client.post_order(signed[0])
        expect("remaining", (scene.limits[-1].remaining, scene.limits[-1].tier), (0, "standard"))
        try:
            await client.post_order(signed[1])
        except RateLimitError as error:
            expect("wait", error.retry_after, 1)
            expect("tokens left", error.rate_limit and error.rate_limit.remaining, 0)
        else:
            raise Differs("the second order passed")
        await scene.control("/settings", signer_limits="warning")
        await client.post_order(signed[1])
        expect("warning", scene.limits[-1].warning, True)
    finally:
        await scene.control("/settings", signer_limits="off", orders_per_s=40, orders_burst=60)


async def heartbeats_name_the_next_id(scene: Scene, client: polymarket.AsyncSecureClient) -> None:
    """Heartbeats follow each other; a wrong id is told the right one."""
    first = await client.send_order_heartbeat()
    second = await client.send_order_heartbeat(heartbeat_id=first.heartbeat_id)
    try:
        await client.send_order_heartbeat(heartbeat_id="another")
    except OrderHeartbeatMismatchError as error:
        expect("expected id", error.heartbeat_id, second.heartbeat_id)
    else:
        raise Differs("a wrong id was taken")


async def sockets_tell_of_book_order_and_trade(scene: Scene, client: polymarket.AsyncSecureClient) -> None:
    """Both sockets deliver what happens."""
    async with (
        await client.subscribe(MarketSpec(asset_ids=[scene.yes], custom_feature_enabled=True)) as market,
        await client.subscribe(UserSpec()) as user,
    ):
        await heard(market, "book")
        await client.place_market_order(asset_id=scene.yes, side="SELL", shares="10", min_price="0.40")
        await heard(market, "last_trade_price")
        await heard(user, "order")
        await heard(user, "trade")


async def heard(stream: Any, kind: str) -> None:
    """Waits for an event of a kind."""
    seen: list[str] = []
    try:
        async with asyncio.timeout(LIMIT_S):
            async for event in stream:
                seen.append(str(event.type))
                if kind in seen:
                    return
    except TimeoutError:
        pass
    raise Differs(f"no {kind} event came, but {seen}")


async def positions_are_listed(scene: Scene, client: polymarket.AsyncSecureClient) -> None:
    """The Data API lists what is held."""
    page = await client.list_positions(user=str(client.wallet)).first_page()
    expect("positions", {str(each.token_id) for each in page.items}, {scene.yes, scene.no})


PROBES: tuple[Probe, ...] = (
    public_reads,
    catalogue,
    balances,
    limit_order_rests_is_found_and_cancelled,
    market_sell_matches_and_settles,
    market_buy_spends_its_budget,
    same_order_twice_is_refused,
    batch_is_placed_and_cancelled,
    buyers_of_both_outcomes_mint_a_pair,
    neg_risk_order_is_signed_for_its_exchange,
    new_tick_is_learned,
    held_order_is_delayed,
    order_unmatched_after_its_hold_is_read,
    killed_orders_are_known_refusals,
    restrictions_are_recognised,
    limiter_is_understood,
    heartbeats_name_the_next_id,
    sockets_tell_of_book_order_and_trade,
    positions_are_listed,
)


async def tried(scene: Scene, probe: Probe) -> str:
    """Returns what came of a probe, in a market and with a trader of its own."""
    await scene.open()
    client = await scene.trader()
    try:
        await probe(scene, client)
    except (Differs, PolymarketError) as error:
        return f"{type(error).__name__}: {error}"
    finally:
        await scene.http.delete("/faults")
        await client.close()
    return ""


async def run(clob: str, control: str) -> int:
    """Runs every probe and returns the exit code."""
    scene, differing = Scene(clob, control), 0
    for probe in PROBES:
        began = time.monotonic()
        found = await tried(scene, probe)
        differing += bool(found)
        name = probe.__name__.replace("_", " ")
        sys.stdout.write(f"{found or 'ok':8}  {name}  ({time.monotonic() - began:.1f} s)\n")
        sys.stdout.flush()
    await scene.http.aclose()
    sys.stdout.write(f"{len(PROBES) - differing} of {len(PROBES)} as expected\n")
    return 1 if differing else 0


def main() -> None:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clob", required=True, help="public URL of a running simulator")
    parser.add_argument("--control", required=True, help="URL of its control port")
    arguments = parser.parse_args()
    sys.exit(asyncio.run(run(arguments.clob.rstrip("/"), arguments.control.rstrip("/"))))


if __name__ == "__main__":
    main()
