"""Signing: the same bytes as the venue's own client, always."""

import asyncio
import dataclasses
import traceback
from decimal import Decimal

import pytest
from eth_account import Account
from hypothesis import given, settings
from hypothesis import strategies as st
from py_clob_client_v2.client import ClobClient
from py_clob_client_v2.clob_types import ApiCreds
from py_clob_client_v2.order_utils.exchange_order_builder_v2 import ExchangeOrderBuilderV2
from py_clob_client_v2.order_utils.model.order_data_v2 import OrderDataV2, SignedOrderV2
from py_clob_client_v2.order_utils.model.side import Side as WireSide
from py_clob_client_v2.order_utils.model.signature_type_v2 import SignatureTypeV2
from py_clob_client_v2.signer import Signer
from pydantic import SecretStr

from domain.errors import CredentialsMissing
from domain.ids import OrderId, TokenId, WalletId, attempt_salt
from domain.orders import Attempt, Side, TimeInForce
from tests.venues.builders import ADDRESS, CHAIN, KEY, make_attempt, make_wallet
from tests.venues.recording_server import Prepared, RawRequest, recording_server
from venues.polymarket.authentication import wallet_identity
from venues.polymarket.config import PolymarketConfig
from venues.polymarket.credentials import ApiCredentials, VenueCredentials
from venues.polymarket.http import HttpSession
from venues.polymarket.signing import (
    BYTES32_ZERO,
    KeyPair,
    WrongWallet,
    exchange_address,
    order_digest,
    venue_order_id,
)
from venues.polymarket.trading import PolymarketTrading

API_KEY = "00000000-0000-0000-0000-0000000000aa"
SECRET = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LTMyYnl0ZXM="
PROXY = "0x56687BF447DB6fFA42FFE2204a05EDAA20F55839"
SERVER_TIME = 1795246965


def credentials(funder: str = ADDRESS, signature_type: int = 0) -> VenueCredentials:
    return VenueCredentials(
        private_key=SecretStr(KEY),
        api=ApiCredentials(
            api_key=SecretStr(API_KEY), secret=SecretStr(SECRET), passphrase=SecretStr("pass")
        ),
        funder=funder,
        signature_type=signature_type,
    )


def package_order(attempt: Attempt) -> SignedOrderV2:
    """Build and sign by the package alone."""
    builder = ExchangeOrderBuilderV2(
        exchange_address(attempt.neg_risk, CHAIN), CHAIN, Signer(KEY, CHAIN), lambda: str(attempt.salt)
    )
    return builder.build_signed_order(
        OrderDataV2(
            maker=attempt.wallet.funder,
            signer=attempt.wallet.signer,
            tokenId=str(attempt.token_id),
            makerAmount=str(attempt.maker_amount),
            takerAmount=str(attempt.taker_amount),
            side=WireSide.BUY if attempt.side is Side.BUY else WireSide.SELL,
            signatureType=SignatureTypeV2(attempt.wallet.signature_type),
            timestamp=str(attempt.timestamp_ms),
            metadata=BYTES32_ZERO,
            builder=BYTES32_ZERO,
            expiration=str(attempt.expiration_s),
        )
    )


def package_digest(attempt: Attempt) -> str:
    builder = ExchangeOrderBuilderV2(
        exchange_address(attempt.neg_risk, CHAIN), CHAIN, Signer(KEY, CHAIN), lambda: str(attempt.salt)
    )
    order = package_order(attempt)
    return builder.build_order_hash(builder.build_order_typed_data(order))


def test_recorded_order_gets_its_recorded_id_and_signature() -> None:
    attempt = make_attempt(
        side=Side.BUY,
        time_in_force=TimeInForce.GTC,
        salt=6173029043549848,
        maker_amount=5_070_000,
        taker_amount=16_900_000,
    )
    signed = KeyPair(SecretStr(KEY), CHAIN).sign(attempt)
    assert signed.venue_order_id == "0x0c58f3f6aa65663244c67d64476a2ad5300323e6b65376725e53fc4984c1bb38"
    assert signed.order.signature == (
        "0xe458a5fe8bce08fdc04fce49e6686fd451030547a800da51de2c5325adbfc6343f6a263033d5d2944ad63ff36c7f1c6eb"
        "1c943b9104c546287cbb0c62384e4251c"
    )


def test_neg_risk_exchange_gives_the_recorded_other_id() -> None:
    attempt = make_attempt(
        side=Side.BUY, salt=198792716574, maker_amount=5_200_000, taker_amount=10_000_000, neg_risk=True
    )
    assert venue_order_id(attempt) == "0x74e10a61731949cbef3bd2da13b24784ff0aa521fc9eebbbd8e2e0a9a1a4ed81"
    plain = dataclasses.replace(attempt, neg_risk=False)
    assert venue_order_id(plain) == "0xc17c0d7023c2ad01f9eefd8955dff5fb866f520540f350e04df3887f86058e47"


amounts = st.integers(min_value=1, max_value=10**15)


@given(
    salt=st.integers(0, 2**53 - 1),
    maker=amounts,
    taker=amounts,
    token=st.integers(1, 2**256 - 1),
    side=st.sampled_from(Side),
    neg_risk=st.booleans(),
    kind=st.sampled_from([0, 1, 2]),
    timestamp=st.integers(10**12, 10**13),
)
@settings(max_examples=40, deadline=None)
def test_digest_and_signature_equal_the_packages_for_any_order(
    salt: int, maker: int, taker: int, token: int, side: Side, neg_risk: bool, kind: int, timestamp: int
) -> None:
    attempt = make_attempt(
        salt=salt,
        maker_amount=maker,
        taker_amount=taker,
        token_id=TokenId(str(token)),
        side=side,
        neg_risk=neg_risk,
        timestamp_ms=timestamp,
        wallet=make_wallet(funder=PROXY if kind else ADDRESS, signature_type=kind),
    )
    signed = KeyPair(SecretStr(KEY), CHAIN).sign(attempt)
    assert signed.order == package_order(attempt)
    assert signed.venue_order_id == package_digest(attempt)
    recovered = Account._recover_hash(order_digest(attempt), signature=signed.order.signature)
    assert recovered == ADDRESS


def test_deposit_wallet_order_is_wrapped_as_the_package_wraps_it() -> None:
    wallet = wallet_identity(
        WalletId("wal_1"), SecretStr(KEY), chain_id=CHAIN, funder=PROXY, signature_type=3
    )
    attempt = make_attempt(wallet=wallet)
    signed = KeyPair(SecretStr(KEY), CHAIN).sign(attempt)
    assert len(signed.order.signature) == 2 + 2 * 317
    assert signed.order == package_order(attempt)
    assert signed.venue_order_id == package_digest(attempt)


def test_recorded_order_of_a_deposit_wallet_gets_its_recorded_id_and_signature() -> None:
    wallet = wallet_identity(
        WalletId("wal_1"), SecretStr(KEY), chain_id=CHAIN, funder=PROXY, signature_type=3
    )
    attempt = make_attempt(
        side=Side.BUY,
        time_in_force=TimeInForce.GTC,
        salt=6173029043549848,
        maker_amount=5_070_000,
        taker_amount=16_900_000,
        wallet=wallet,
    )
    signed = KeyPair(SecretStr(KEY), CHAIN).sign(attempt)
    assert signed.venue_order_id == "0x9868b12cd35ac4db19f31a29c2a4ba5712224f6fe90b09b162bc19b25b5fff5b"
    assert signed.order.signature.startswith(
        "0x47c4456ebc63f45fa96d5944245f3dd21fa61037d929e4c3fd313ad2eacce7731513b02433cec317"
        "1d736f755619c89cf8de9e1146336eace0216e43aa61ea871b"
    )


def test_retry_on_another_machine_signs_the_same_bytes() -> None:
    first, second = (
        KeyPair(SecretStr(KEY), CHAIN).sign(make_attempt(attempt=3)).body(API_KEY) for _ in range(2)
    )
    assert first == second


def test_next_attempt_is_another_order() -> None:
    assert attempt_salt(OrderId("ord_1"), 1) != attempt_salt(OrderId("ord_1"), 2)
    assert venue_order_id(make_attempt(attempt=1)) != venue_order_id(make_attempt(attempt=2))


def test_expiration_and_post_only_do_not_enter_the_id() -> None:
    attempt = make_attempt(time_in_force=TimeInForce.GTD)
    changed = dataclasses.replace(attempt, expiration_s=1900000000, post_only=True)
    assert venue_order_id(attempt) == venue_order_id(changed)


@pytest.mark.parametrize(
    ("time_in_force", "post_only", "expiration_s"),
    [
        (TimeInForce.GTC, False, 0),
        (TimeInForce.GTC, True, 0),
        (TimeInForce.GTD, False, 1795250000),
        (TimeInForce.GTD, True, 1795250000),
        (TimeInForce.FAK, False, 0),
        (TimeInForce.FOK, False, 0),
    ],
)
@pytest.mark.parametrize("kind", [0, 1, 2])
async def test_request_equals_the_packages_post_order_byte_for_byte(
    kind: int, time_in_force: TimeInForce, post_only: bool, expiration_s: int
) -> None:
    funder = PROXY if kind else ADDRESS
    attempt = make_attempt(
        time_in_force=time_in_force,
        post_only=post_only,
        expiration_s=expiration_s,
        wallet=make_wallet(funder=funder, signature_type=kind),
    )
    async with recording_server(answer_order) as server:
        await asyncio.to_thread(post_by_package, server.url, attempt, kind, funder)
        config = PolymarketConfig(clob_url=server.url)
        trading = PolymarketTrading(
            config, credentials(funder, kind), NoMarketData(), now_s=lambda: SERVER_TIME
        )
        await trading.place(attempt)
        await trading.aclose()
    theirs, ours = (request for request in server.requests if request.path == "/order")
    assert ours.body == theirs.body
    assert comparable(ours) == comparable(theirs)


def comparable(request: RawRequest) -> dict[str, str]:
    return {name.lower(): value for name, value in request.headers}


def answer_order(request: RawRequest) -> Prepared:
    if request.path == "/time":
        return Prepared(body=str(SERVER_TIME).encode())
    return Prepared(body=b'{"success":true,"orderID":"0x1","errorMsg":""}')


def post_by_package(url: str, attempt: Attempt, kind: int, funder: str) -> None:
    client = ClobClient(
        url,
        CHAIN,
        key=KEY,
        creds=ApiCreds(API_KEY, SECRET, "pass"),
        signature_type=kind,
        funder=funder,
        use_server_time=True,
    )
    client.post_order(package_order(attempt), attempt.time_in_force.value, attempt.post_only)


class NoMarketData:
    """Placing reads nothing."""


async def test_level_1_headers_are_the_recorded_ones() -> None:
    headers = KeyPair(SecretStr(KEY), CHAIN).level_1_headers(nonce=0, timestamp_s=1795246965)
    assert headers == {
        "POLY_ADDRESS": ADDRESS,
        "POLY_SIGNATURE": "0x384f806bf83c82a58f128f80ea5c51bb1b1da30600404f6416f1b7951dfea237"
        "75891dbf2c528d9ef2f3395620fba896ab3008abea8d0d0eced2d4f988b3a0201c",
        "POLY_TIMESTAMP": "1795246965",
        "POLY_NONCE": "0",
    }


def test_order_for_another_key_is_not_signed() -> None:
    other = KeyPair(SecretStr("0x" + "22" * 32), CHAIN)
    with pytest.raises(WrongWallet):
        other.sign(make_attempt())


async def test_order_for_another_key_is_blocked_without_a_request() -> None:
    async with recording_server(answer_order) as server:
        stranger = dataclasses.replace(credentials(), private_key=SecretStr("0x" + "22" * 32))
        trading = PolymarketTrading(PolymarketConfig(clob_url=server.url), stranger, NoMarketData())
        answer = await trading.place(make_attempt())
        await trading.aclose()
    assert (answer.kind, answer.code) == ("blocked", "wrong_wallet")
    assert not server.requests


async def test_deposit_wallet_of_the_same_key_is_another_wallet_and_blocked() -> None:
    deposit = wallet_identity(
        WalletId("wal_1"), SecretStr(KEY), chain_id=CHAIN, funder=PROXY, signature_type=3
    )
    attempt = make_attempt(wallet=deposit)
    async with recording_server(answer_order) as server:
        trading = PolymarketTrading(PolymarketConfig(clob_url=server.url), credentials(), NoMarketData())
        trading.prepare(attempt)
        answer = await trading.place(attempt)
        await trading.aclose()
    assert (answer.kind, answer.code) == ("blocked", "wrong_wallet")
    assert not server.requests


PLANTED = "0x" + "c0ffee" * 10 + "zz"


@pytest.mark.parametrize("text", [PLANTED, PLANTED[:40], "", "0x00", "c0ffee" * 20])
def test_unusable_key_is_refused_without_being_quoted(text: str) -> None:
    with pytest.raises(CredentialsMissing) as caught:
        KeyPair(SecretStr(text), CHAIN)
    assert caught.value.__context__ is None
    assert "c0ffee" not in "".join(traceback.format_exception(caught.value))


def test_nothing_of_a_key_pair_or_credentials_shows_in_their_texts() -> None:
    shown = repr(KeyPair(SecretStr(KEY), CHAIN)) + repr(credentials()) + str(credentials())
    for secret in (KEY, KEY[2:], SECRET, API_KEY):
        assert secret not in shown


def test_eth_account_signs_by_coincurve() -> None:
    from eth_keys.backends import get_backend

    assert type(get_backend()).__name__ == "CoinCurveECCBackend"


def test_wallet_identity_defaults_the_funder_to_the_signer() -> None:
    wallet = wallet_identity(WalletId("wal_1"), SecretStr(KEY), chain_id=CHAIN)
    assert wallet == make_wallet()
    assert Decimal(wallet.signature_type) == 0


async def test_session_is_closed_without_traces() -> None:
    async with HttpSession("http://127.0.0.1:9", PolymarketConfig()):
        pass
