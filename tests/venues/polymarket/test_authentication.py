"""API credentials, the adapter, and a planted key that must never show."""

import dataclasses
import logging
import secrets
import traceback
from collections.abc import Awaitable, Callable, Iterator
from decimal import Decimal

import pytest
import structlog
from pydantic import SecretStr, ValidationError

from domain.errors import CredentialsMissing, UnknownVenue, VenueError, VenueTransient
from domain.ids import TokenId, VenueOrderId, WalletId
from domain.orders import AnswerKind
from tests.venues.builders import ADDRESS, CHAIN, KEY, make_attempt
from tests.venues.exchange import LocalExchange
from tests.venues.polymarket.test_signing import NoMarketData, credentials
from tests.venues.recording_server import Prepared, RawRequest, recording_server
from tests.venues.scripted_socket import quick, scripted_socket
from venues._template.adapter import conforms
from venues._template.config import TemplateConfig
from venues.polymarket.adapter import PolymarketAdapter, read_api_document, write_api_document
from venues.polymarket.authentication import derive_api_credentials, wallet_identity
from venues.polymarket.config import PolymarketConfig, is_loopback
from venues.polymarket.credentials import ApiCredentials, VenueCredentials
from venues.polymarket.http import HttpSession
from venues.polymarket.trading import PolymarketTrading
from venues.polymarket.user_socket import UserSocket
from venues.registry import adapter_named, adapters

OTHER = "0x00000000000000000000000000000000000000Ff"
ISSUED = b'{"apiKey":"k","secret":"c2Vj","passphrase":"p"}'


async def derive(answering: Callable[[RawRequest], Prepared]) -> tuple[ApiCredentials, list[str]]:
    async with recording_server(answering) as server:
        async with HttpSession(server.url, PolymarketConfig()) as session:
            api = await derive_api_credentials(SecretStr(KEY), session, chain_id=CHAIN, now_s=1795246965)
        return api, [f"{request.method} {request.path}" for request in server.requests]


@pytest.mark.parametrize("funder", ["", ADDRESS, ADDRESS.lower()])
def test_plain_wallet_holds_its_own_money(funder: str) -> None:
    wallet = wallet_identity(WalletId("wal_1"), SecretStr(KEY), chain_id=CHAIN, funder=funder)
    assert (wallet.signer, wallet.funder, wallet.signature_type) == (ADDRESS, ADDRESS, 0)


def test_plain_wallet_that_names_anothers_money_is_refused_before_it_signs_anything() -> None:
    with pytest.raises(CredentialsMissing, match="signature type 0"):
        wallet_identity(WalletId("wal_1"), SecretStr(KEY), chain_id=CHAIN, funder=OTHER)


@pytest.mark.parametrize(("kind", "signer"), [(1, ADDRESS), (2, ADDRESS), (3, OTHER)])
def test_only_a_deposit_wallet_signs_for_itself(kind: int, signer: str) -> None:
    wallet = wallet_identity(
        WalletId("wal_1"), SecretStr(KEY), chain_id=CHAIN, funder=OTHER, signature_type=kind
    )
    assert (wallet.signer, wallet.funder) == (signer, OTHER)


async def test_credentials_are_created_for_a_new_wallet() -> None:
    api, requests = await derive(lambda _: Prepared(body=ISSUED))
    assert api.api_key.get_secret_value() == "k"
    assert requests == ["POST /auth/api-key"]


async def test_credentials_that_exist_are_derived() -> None:
    def answer(request: RawRequest) -> Prepared:
        if request.method == "POST":
            return Prepared(400, b'{"error":"Could not create api key"}')
        return Prepared(body=ISSUED)

    api, requests = await derive(answer)
    assert api.passphrase.get_secret_value() == "p"
    assert requests == ["POST /auth/api-key", "GET /auth/derive-api-key"]


@pytest.mark.parametrize(("status", "error"), [(401, CredentialsMissing), (400, CredentialsMissing)])
async def test_wallet_that_the_venue_refuses_has_no_credentials(status: int, error: type[Exception]) -> None:
    with pytest.raises(error):
        await derive(lambda _: Prepared(status, b'{"error":"Invalid L1 Request headers"}'))


@pytest.mark.parametrize("status", [425, 429, 500, 503])
async def test_venue_that_is_away_is_no_reason_to_derive(status: int) -> None:
    with pytest.raises(VenueTransient):
        await derive(lambda _: Prepared(status, b"{}"))


async def test_exchange_gives_the_same_wallet_the_same_credentials(exchange: LocalExchange) -> None:
    first, second = [await exchange.credentials() for _ in range(2)]
    assert first.api == second.api
    assert await exchange.credentials(exchange.rival_key) != first


async def test_adapter_opens_a_session_from_sealed_documents(exchange: LocalExchange) -> None:
    await exchange.fund(collateral="77")
    adapter = adapter_named(adapters(polymarket=exchange.config), "polymarket")
    key = SecretStr(exchange.key)
    document = await adapter.derive_api(key)
    wallet = adapter.identity(WalletId("wal_1"), key, funder="", signature_type=0)
    data = adapter.open_market_data()
    trading = adapter.open_trading(wallet, key, document, data)
    assert (await trading.collateral()).amount == Decimal(77)
    await trading.aclose()
    await data.aclose()


def test_name_of_no_venue_is_unknown() -> None:
    with pytest.raises(UnknownVenue):
        adapter_named(adapters(polymarket=PolymarketConfig()), "nowhere")


def test_api_document_is_read_as_it_was_written() -> None:
    api = credentials().api
    assert read_api_document(write_api_document(api)) == api


@pytest.mark.parametrize("text", ["", "{}", "5", '{"api_key":"planted-secret"}', "planted-secret"])
def test_unreadable_api_document_is_refused_without_being_quoted(text: str) -> None:
    with pytest.raises(CredentialsMissing) as caught:
        read_api_document(SecretStr(text))
    assert caught.value.__context__ is None
    assert "planted" not in "".join(traceback.format_exception(caught.value))


def test_skeleton_meets_the_adapters_port() -> None:
    adapter = conforms(TemplateConfig())
    assert adapter.name == "template"
    assert adapter.open_market_data() is not None


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("http://127.0.0.1:8090", True),
        ("ws://[::1]:8090/ws", True),
        ("http://localhost:1", True),
        ("https://clob.polymarket.com", False),
        ("http://10.0.0.1", False),
    ],
)
def test_proxies_are_left_aside_on_this_machine_only(url: str, here: bool) -> None:
    assert is_loopback(url) is here


class TestPlantedKey:
    """A key and credentials that go through every failing path and show nowhere."""

    @pytest.fixture
    def planted(self) -> VenueCredentials:
        key = "0x" + secrets.token_hex(32)
        api = ApiCredentials(
            api_key=SecretStr("planted-" + secrets.token_hex(8)),
            secret=SecretStr("cGxhbnRlZC1zZWNyZXQtb2YtYS1jYW5hcnk="),
            passphrase=SecretStr("planted-" + secrets.token_hex(8)),
        )
        return VenueCredentials(private_key=SecretStr(key), api=api, funder=ADDRESS)

    @pytest.fixture
    def seen(self, caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
        texts: list[str] = []

        def keep(_: object, name: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
            texts.append(f"{name} {event!r}")
            raise structlog.DropEvent

        before = structlog.get_config()
        structlog.configure(processors=[keep])
        caplog.set_level(logging.DEBUG)
        yield texts
        structlog.configure(**before)
        texts.extend(record.getMessage() for record in caplog.records)

    def assert_hidden(self, planted: VenueCredentials, texts: list[str]) -> None:
        parts = (
            planted.private_key.get_secret_value(),
            planted.private_key.get_secret_value()[2:],
            planted.api.secret.get_secret_value(),
            planted.api.passphrase.get_secret_value(),
        )
        shown = "\n".join(texts)
        assert not [part for part in parts if part in shown]

    @pytest.mark.parametrize(
        "prepared",
        [
            Prepared(401, b'{"error":"Unauthorized/Invalid api key"}'),
            Prepared(400, b'{"error":"invalid signature"}'),
            Prepared(500, b"{}"),
            Prepared(200, b'{"orderID":5}'),
            Prepared(200, b"<html>"),
            Prepared(hang_up=True),
        ],
    )
    async def test_no_failing_request_shows_it(
        self, planted: VenueCredentials, seen: list[str], caplog: pytest.LogCaptureFixture, prepared: Prepared
    ) -> None:
        async with recording_server(lambda _: prepared) as server:
            trading = PolymarketTrading(
                PolymarketConfig(clob_url=server.url), planted, NoMarketData(), now_s=lambda: 1
            )
            wallet = dataclasses.replace(make_attempt().wallet, signer=trading._keys.address)
            seen.append(repr(await trading.place(make_attempt(wallet=wallet))))
            seen.append(repr(trading) + repr(trading._keys) + repr(planted))
            calls: list[Callable[[], Awaitable[object]]] = [
                lambda: trading.find_order(VenueOrderId("0x1"), make_attempt().market_id),
                lambda: trading.cancel(VenueOrderId("0x1")),
                trading.open_orders,
                lambda: trading.fills(after=None),
                trading.collateral,
                lambda: trading.refresh_holding(TokenId("1")),
            ]
            for call in calls:
                try:
                    seen.append(repr(await call()))
                except VenueError as error:
                    seen.append("".join(traceback.format_exception(error)))
            await trading.aclose()
        seen.extend(record.getMessage() for record in caplog.records)
        assert len(seen) >= len(calls)
        self.assert_hidden(planted, seen)

    async def test_wrong_wallet_does_not_show_it(self, planted: VenueCredentials, seen: list[str]) -> None:
        trading = PolymarketTrading(PolymarketConfig(), planted, NoMarketData())
        answer = await trading.place(make_attempt())
        await trading.aclose()
        assert answer.kind is AnswerKind.BLOCKED
        self.assert_hidden(planted, [*seen, repr(answer)])

    async def test_lost_socket_does_not_show_it(self, planted: VenueCredentials, seen: list[str]) -> None:
        async def no_fills(_: object) -> tuple[()]:
            return ()

        async with scripted_socket() as venue, UserSocket(quick(venue.url), planted.api, no_fills):
            await venue.messages(0, 1)
            venue.connections[0].transport.abort()
            await venue.messages(1, 1)
        assert any("socket.lost" in text for text in seen)
        self.assert_hidden(planted, seen)

    def test_malformed_key_reply_does_not_show_it(self, planted: VenueCredentials) -> None:
        from venues.polymarket.parsing import read_payload
        from venues.polymarket.schemas import ApiKeyPayload

        body = f'{{"apiKey":"{planted.api.passphrase.get_secret_value()}"}}'.encode()
        with pytest.raises(VenueError) as caught:
            read_payload(ApiKeyPayload, body)
        self.assert_hidden(planted, ["".join(traceback.format_exception(caught.value))])
        assert not isinstance(caught.value.__cause__, ValidationError)


def test_adapter_of_the_registry_is_polymarkets() -> None:
    assert isinstance(adapters(polymarket=PolymarketConfig())["polymarket"], PolymarketAdapter)
