"""The demo's acts: an account, a funded wallet, a bought position, a rule, the tape, the books compared."""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeVar

from eth_account import Account
from pydantic import JsonValue

from cli.client import ApiClient, JsonObject, objects, text
from cli.demo_scene import Scene
from cli.errors import CommandFailed
from domain.ids import RuleId, rule_workflow_id
from domain.messages import RuleAnswer
from domain.money import plain
from domain.rules.definition import RuleDefinition
from domain.rules.replay import ReplayAnswer, replay
from runtime.settings import TemporalSettings
from runtime.temporal import connect
from simulator.client import AdminMarket, LedgerEntry, SimulatorAdmin, TapeFrame

START_USD = Decimal(10_000)
FEE_RATE = "0.04"
POLL_S = 0.15
STEP_LIMIT_S = 30.0
EXIT_LIMIT_S = 60.0

Say = Callable[[str, str], None]
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class DemoResult:
    """What the demo saw, as its last line says it."""

    orders_at_venue: int
    duplicates_at_venue: int
    fills: int
    position_quantity: str
    rule_status: str
    rule_phase: str
    condition: str | None
    index: int | None
    frame_to_post_ms: float | None
    bought_shares: str
    sold_shares: str
    dust_shares: str
    differences: list[str]
    rule_id: str
    account_id: str
    token_id: str
    rule: JsonObject
    replay: ReplayAnswer


class Demo:
    """One performance. `say(actor, text)` receives each step as it happens."""

    def __init__(
        self,
        scene: Scene,
        speed: str,
        api: ApiClient,
        admin: SimulatorAdmin,
        temporal: TemporalSettings,
        say: Say,
    ) -> None:
        self._scene = scene
        self._speed = speed
        self._operator = api
        self._admin = admin
        self._temporal = temporal
        self._say = say
        self._wallet = Account.from_key(secrets.token_bytes(32))
        self._seen_events: set[str] = set()

    async def run(self, trader: Callable[[str, str], ApiClient]) -> DemoResult:
        """Play all acts.

        Args:
            trader: Makes the client of the new account from the API key and the account id.

        Raises:
            CommandFailed: A step did not come to its end in time.
        """
        market = await self._open_market()
        token_id = market.token_ids[0]
        account_id, key = await self._open_account()
        with trader(key, account_id) as api:
            await self._buy(api, token_id)
            tape_id = await self._show_first_row(token_id)
            entry = await self._entry(api, token_id)
            body = self._scene.rule_body(token_id, market.condition_id, entry)
            rule = await self._arm(api, body)
            frames = await self._play(api, token_id, tape_id, text(rule, "id"))
            rule = await self._await_end(api, text(rule, "id"))
            return await self._compare(api, rule, body, token_id, frames)

    # -- acts -----------------------------------------------------------------------------------

    async def _open_market(self) -> AdminMarket:
        scene = self._scene
        market = await self._admin.create_market(
            f"Holdfast demo: {scene.name}", tick_size=plain(scene.tick), fee_rate=FEE_RATE
        )
        step = scene.tick
        bid = plain(max(scene.entry_price - step, step))
        ask = plain(scene.entry_price)
        bids = [(bid, "100000")] if Decimal(bid) < scene.entry_price else []
        await self._admin.set_book(market.token_ids[0], bids, [(ask, "100000")])
        address = str(self._wallet.address)
        await self._admin.set_wallet(address, collateral=plain(START_USD))
        self._say(
            "exchange", f"market open, tick {plain(step)}; wallet {address[:10]}… holds {START_USD} USD"
        )
        return market

    async def _open_account(self) -> tuple[str, str]:
        api = self._operator
        account = await _call(api.post, "/api/v2/accounts", {"name": "demo"})
        account_id = text(account, "id")
        live: JsonObject = {"mode": "live", "acknowledge_live": True}
        await _call(api.patch, f"/api/v2/accounts/{account_id}", live)
        secret: JsonObject = {"private_key": "0x" + bytes(self._wallet.key).hex(), "signature_type": 0}
        await _call(api.put, f"/api/v2/accounts/{account_id}/credentials", secret)
        key = await _call(api.post, f"/api/v2/accounts/{account_id}/keys", {"name": "demo"})
        self._say("account", f"{account_id} in live mode against the local exchange, credentials sealed")
        return account_id, text(key, "key")

    async def _buy(self, api: ApiClient, token_id: str) -> None:
        scene = self._scene
        body: JsonObject = {
            "token_id": token_id,
            "side": "BUY",
            "shares": plain(scene.shares),
            "price": plain(scene.entry_price),
            "time_in_force": "FAK",
        }
        began = time.monotonic()
        await _call(api.post, "/api/v2/orders", body)
        await _until(
            lambda: self._held(api, token_id), lambda held: held == scene.shares, "the buy did not fill"
        )
        took = (time.monotonic() - began) * 1000
        words = (
            f"{plain(scene.shares)} shares bought at {plain(scene.entry_price)}, booked after {took:.0f} ms"
        )
        self._say("position", words)

    async def _held(self, api: ApiClient, token_id: str) -> Decimal:
        position = await _position(api, token_id)
        return Decimal(text(position, "shares") or "0")

    async def _entry(self, api: ApiClient, token_id: str) -> Decimal:
        position = await _position(api, token_id)
        return Decimal(text(position, "average_entry") or plain(self._scene.entry_price))

    async def _show_first_row(self, token_id: str) -> str:
        """Put the tape's first row on the book before the rule is armed, as replay begins with it."""
        tape_id = await self._admin.load_tape(token_id, rows=self._rows(), speed=None)
        await self._admin.step_tape(tape_id, 1)
        return tape_id

    def _rows(self) -> list[dict[str, str | None]]:
        return [
            {name: None if value is None else str(value) for name, value in row.items()}
            for row in self._scene.raw_rows()
        ]

    async def _arm(self, api: ApiClient, body: Mapping[str, JsonValue]) -> JsonObject:
        began = time.monotonic()
        rule = await _call(api.post, "/api/v2/rules", dict(body))
        rule = await _until(
            lambda: _call(api.get, f"/api/v2/rules/{text(rule, 'id')}"),
            lambda answer: text(answer, "phase") != "arming",
            "the rule was not armed",
        )
        self._say("rule", f"armed in {(time.monotonic() - began) * 1000:.0f} ms: {text(rule, 'sentence')}")
        await self._await_watch(api, rule)
        return rule

    async def _await_watch(self, api: ApiClient, rule: JsonObject) -> None:
        """The tape must not go on before the feed follows the token, or the rule fired at its first row."""

        async def watched() -> bool:
            now = await _call(api.get, f"/api/v2/rules/{text(rule, 'id')}")
            sockets = objects(await self._admin.open_sockets(), "market")
            followed = any(text(rule, "token_id") in str(socket.get("token_ids")) for socket in sockets)
            return followed or text(now, "phase") != "armed"

        await _until(watched, bool, "the feed does not watch the token")

    async def _play(self, api: ApiClient, token_id: str, first_tape: str, rule_id: str) -> list[TapeFrame]:
        scene = self._scene
        self._say("tape", f"{scene.name}: {len(scene.rows)} rows at speed {self._speed}")
        first = await self._admin.tape(first_tape)
        if len(scene.rows) == 1:
            return list(first.frames)
        tape_id = await self._admin.load_tape(token_id, rows=self._rows(), speed=self._speed, start_row=1)
        while True:
            state = await self._admin.tape(tape_id)
            await self._tell_events(api, rule_id)
            rule = await _call(api.get, f"/api/v2/rules/{rule_id}")
            if state.done or text(rule, "phase") == "done":
                await self._admin.stop_tape(tape_id)
                return [*first.frames, *state.frames]
            await asyncio.sleep(POLL_S)

    async def _tell_events(self, api: ApiClient, rule_id: str) -> None:
        page = await _call(api.get, f"/api/v2/rules/events?rule_id={rule_id}&limit=200")
        for event in reversed(objects(page, "items")):
            if text(event, "id") not in self._seen_events:
                self._seen_events.add(text(event, "id"))
                self._say(text(event, "type"), text(event, "message"))

    async def _await_end(self, api: ApiClient, rule_id: str) -> JsonObject:
        """Wait until a fired rule is done; one that never fired stays armed."""
        deadline = time.monotonic() + EXIT_LIMIT_S
        settle_until = time.monotonic() + 2.0
        while True:
            rule = await _call(api.get, f"/api/v2/rules/{rule_id}")
            await self._tell_events(api, rule_id)
            phase = text(rule, "phase")
            if phase == "done" or (phase == "armed" and time.monotonic() > settle_until):
                return rule
            if time.monotonic() > deadline:
                words = f"the rule is still {phase} after {EXIT_LIMIT_S:.0f} s: {text(rule, 'detail')}"
                raise CommandFailed(words, "holdfast events")
            await asyncio.sleep(POLL_S)

    # -- the books compared -----------------------------------------------------------------------

    async def _compare(
        self, api: ApiClient, rule: JsonObject, body: JsonObject, token_id: str, frames: list[TapeFrame]
    ) -> DemoResult:
        entries = [e for e in await self._admin.ledger(token_id=token_id) if e.side == "SELL"]
        accepted = [e for e in entries if e.outcome == "accepted"]
        fills = await _fills(api, token_id)
        held = await self._held(api, token_id)
        differences = await self._differences(fills, held, token_id)
        differences += await self._temporal_differences(rule, fills)
        evidence = await self._first_crossing(api, rule)
        row = next((f for f in frames if str(f.timestamp_ms) == evidence.get("venue_timestamp_ms")), None)
        outcome = replay(RuleDefinition.model_validate(body), self._scene.rows).answer()
        sold = [fill for fill in fills if text(fill, "side") == "SELL"]
        return DemoResult(
            orders_at_venue=len(accepted),
            duplicates_at_venue=len([e for e in entries if e.outcome == "duplicate"]),
            fills=len(sold),
            position_quantity=plain(held),
            rule_status=text(rule, "status"),
            rule_phase=text(rule, "phase"),
            condition=evidence.get("condition"),
            index=row.row if row else None,
            frame_to_post_ms=_frame_to_post_ms(row, entries),
            bought_shares=plain(_sum(fills, "BUY", "shares")),
            sold_shares=plain(_sum(fills, "SELL", "shares")),
            dust_shares=text(rule, "dust_shares"),
            differences=differences,
            rule_id=text(rule, "id"),
            account_id=text(rule, "account_id"),
            token_id=token_id,
            rule=dict(body),
            replay=outcome,
        )

    async def _first_crossing(self, api: ApiClient, rule: JsonObject) -> dict[str, str]:
        """Return what the first consumed crossing showed; the frame's timestamp leads to the tape's row."""
        page = await _call(api.get, f"/api/v2/rules/events?rule_id={text(rule, 'id')}&limit=200")
        fired = [e for e in objects(page, "items") if text(e, "type") == "rule.triggered"]
        data = fired[-1].get("data") if fired else None
        return {name: str(value) for name, value in data.items()} if isinstance(data, dict) else {}

    async def _temporal_differences(self, rule: JsonObject, fills: list[JsonObject]) -> list[str]:
        """Return where the workflow's result and the ledger disagree; a rule that stands has none."""
        if text(rule, "phase") != "done":
            return []
        client = await connect(self._temporal)
        handle = client.get_workflow_handle(
            rule_workflow_id(RuleId(text(rule, "id"))), result_type=RuleAnswer
        )
        result = await handle.result()
        pairs = {
            "shares sold": (result.sold_shares, _sum(fills, "SELL", "shares")),
            "proceeds": (result.proceeds_usd, _sum(fills, "SELL", "notional_usd")),
            "fees of the exit": (result.fee_usd, _sum(fills, "SELL", "fee_usd")),
        }
        return [
            f"{name}: {plain(temporal)} in Temporal, {plain(ours)} in the ledger"
            for name, (temporal, ours) in pairs.items()
            if temporal != ours
        ]

    async def _differences(self, fills: list[JsonObject], held: Decimal, token_id: str) -> list[str]:
        """Return where the venue's ledger and the projection disagree, to the last digit."""
        wallet = await self._admin.wallet(str(self._wallet.address))
        spent = _sum(fills, "BUY", "notional_usd") + _sum(fills, "BUY", "fee_usd")
        earned = _sum(fills, "SELL", "notional_usd") - _sum(fills, "SELL", "fee_usd")
        fees = _sum(fills, "BUY", "fee_usd") + _sum(fills, "SELL", "fee_usd")
        pairs = {
            "shares": (Decimal(wallet.tokens.get(token_id, "0")), held),
            "collateral": (Decimal(wallet.collateral), START_USD - spent + earned),
            "fees": (Decimal(wallet.fees_paid), fees),
        }
        return [
            f"{name}: {plain(venue)} at the venue, {plain(ours)} in the projection"
            for name, (venue, ours) in pairs.items()
            if venue != ours
        ]


def _frame_to_post_ms(row: TapeFrame | None, entries: list[LedgerEntry]) -> float | None:
    if row is None or row.sent_monotonic_ns is None or not entries:
        return None
    return round((entries[0].received_monotonic_ns - row.sent_monotonic_ns) / 1e6, 2)


def _sum(fills: list[JsonObject], side: str, name: str) -> Decimal:
    return sum((Decimal(text(fill, name)) for fill in fills if text(fill, "side") == side), Decimal(0))


async def _fills(api: ApiClient, token_id: str) -> list[JsonObject]:
    """Return the fills that stand: those of the ledger that no reversal took back."""
    page = await _call(api.get, f"/api/v2/fills?token_id={token_id}&limit=200")
    entries = objects(page, "items")
    reversed_keys = {text(e, "fill_key") for e in entries if text(e, "kind") == "reversal"}
    return [e for e in entries if text(e, "kind") == "fill" and text(e, "fill_key") not in reversed_keys]


async def _position(api: ApiClient, token_id: str) -> JsonObject:
    page = await _call(api.get, "/api/v2/positions?limit=200")
    empty: JsonObject = {}
    return next((p for p in objects(page, "items") if text(p, "token_id") == token_id), empty)


async def _call(method: Callable[..., JsonObject], *arguments: object) -> JsonObject:
    return await asyncio.to_thread(method, *arguments)


async def _until(read: Callable[[], Awaitable[_T]], done: Callable[[_T], bool], failure: str) -> _T:
    """Read until it is as wanted.

    Raises:
        CommandFailed: It was not within the limit.
    """
    deadline = time.monotonic() + STEP_LIMIT_S
    while not done(answer := await read()):
        if time.monotonic() > deadline:
            raise CommandFailed(f"{failure} within {STEP_LIMIT_S:.0f} s", "holdfast doctor")
        await asyncio.sleep(POLL_S)
    return answer
