import json
from fractions import Fraction
from pathlib import Path

import pytest
from py_clob_client_v2.order_utils.model.order_data_v2 import SignedOrderV2

from simulator.auth import hmac_signature, verify_l1
from simulator.money import taker_fee, to_micro, to_text
from simulator.refusals import Refusal
from simulator.signatures import (
    ORDER_TYPE,
    SignatureError,
    auth_domain,
    exchange_domain,
    order_digest,
    recover_address,
    recover_owner,
)
from simulator.validation import parse_submission, signed_fields
from simulator.wire import book_hash
from tests.simulator.trader import ADDRESS, KEY, sign

L1_HEADERS = {
    "poly_address": ADDRESS,
    "poly_signature": (
        "0x384f806bf83c82a58f128f80ea5c51bb1b1da30600404f6416f1b7951dfea23775891dbf2c528d9ef2f3395620fba896"
        "ab3008abea8d0d0eced2d4f988b3a0201c"
    ),
    "poly_timestamp": "1795246965",
    "poly_nonce": "0",
}
BODY = (
    '{"order":{"salt":198792716574,"maker":"0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A",'
    '"signer":"0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A",'
    '"tokenId":"71321045679252212594626385532706912750332728571942532289631379312455583992563",'
    '"makerAmount":"5200000","takerAmount":"10000000","side":"BUY","expiration":"0","signatureType":0,'
    '"timestamp":"1795246965626",'
    '"metadata":"0x0000000000000000000000000000000000000000000000000000000000000000",'
    '"builder":"0x0000000000000000000000000000000000000000000000000000000000000000",'
    '"signature":"0x717cb4e753f32feb0887325ca0d47169c62edd4228cae0e5a38a92b645dac27e7ace61ffb50e1aad3fbee138bd'
    '33790c2705414327296c8a950c3b5e70b91c3f1b"},"owner":"00000000-0000-0000-0000-0000000000aa",'
    '"orderType":"GTC","deferExec":false,"postOnly":true}'
)
ORDER_ID = "c17c0d7023c2ad01f9eefd8955dff5fb866f520540f350e04df3887f86058e47"
NEG_RISK_ID = "74e10a61731949cbef3bd2da13b24784ff0aa521fc9eebbbd8e2e0a9a1a4ed81"
TOKEN = "71321045679252212594626385532706912750332728571942532289631379312455583992563"
DEPOSIT = "0x56687BF447DB6fFA42FFE2204a05EDAA20f55839"
DEPOSIT_ORDER_ID = "9868b12cd35ac4db19f31a29c2a4ba5712224f6fe90b09b162bc19b25b5fff5b"
# As the venue's client signs (py-clob-client-v2 1.2.1): key, domain, order; the type string follows.
DEPOSIT_SIGNATURE = (
    "0x47c4456ebc63f45fa96d5944245f3dd21fa61037d929e4c3fd313ad2eacce7731513b02433cec317"
    "1d736f755619c89cf8de9e1146336eace0216e43aa61ea871b"
    "3264e159346253e26a64e00b69032db0e7d32f94628de3e6eecb50304d7af3d2"
    "06e9d0f5d91b753109b886d516f6e4beb7dfd0c486317f9fa6a27de4a9a78035"
)


def test_wallet_signature_of_the_recorded_request_recovers_its_address() -> None:
    request = verify_l1(L1_HEADERS, 137, 1795246965_000, 60)
    assert (request.address, request.nonce) == (ADDRESS, 0)


@pytest.mark.parametrize(
    "change", [{"poly_nonce": "1"}, {"poly_timestamp": "1795246966"}, {"poly_address": "0x" + "12" * 20}]
)
def test_wallet_signature_over_other_values_is_refused(change: dict[str, str]) -> None:
    with pytest.raises(Refusal, match="Invalid L1 Request headers") as refused:
        verify_l1({**L1_HEADERS, **change}, 137, 1795246965_000, 60)
    assert refused.value.status == 401


def test_hmac_of_the_recorded_request_is_reproduced() -> None:
    secret = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LTMyYnl0ZXM="
    signature = hmac_signature(secret, "1795246965", "POST", "/order", BODY.encode())
    assert signature == "VGPMjsQKect2BPplD5GFB6UGg0pIgpGR59aYvfRdljE="


def test_order_id_of_the_recorded_order_is_its_digest_and_recovers_the_signer() -> None:
    signed = parse_submission(BODY.encode()).signed
    digest = order_digest(signed_fields(signed), 137, neg_risk=False)
    assert digest.hex() == ORDER_ID
    assert recover_address(digest, signed.signature) == ADDRESS


def test_the_same_fields_under_the_neg_risk_domain_are_another_order_of_nobody() -> None:
    signed = parse_submission(BODY.encode()).signed
    digest = order_digest(signed_fields(signed), 137, neg_risk=True)
    assert digest.hex() == NEG_RISK_ID
    assert recover_address(digest, signed.signature) != ADDRESS


def test_expiration_does_not_enter_the_order_id() -> None:
    signed = parse_submission(BODY.replace('"expiration":"0"', '"expiration":"99"').encode()).signed
    assert order_digest(signed_fields(signed), 137, neg_risk=False).hex() == ORDER_ID


def test_deterministic_order_has_the_recorded_id() -> None:
    order = sign(KEY, TOKEN, "BUY", 5_070_000, 16_900_000, salt=6173029043549848, timestamp=1795246965626)
    assert order.signature.startswith("0xe458a5fe8bce08fdc04fce49e6686fd451030547a800da51de2c5325adbfc634")
    signed = parse_submission(_body(order)).signed
    digest = order_digest(signed_fields(signed), 137, neg_risk=False)
    assert digest.hex() == "0c58f3f6aa65663244c67d64476a2ad5300323e6b65376725e53fc4984c1bb38"


def test_deposit_wallet_signature_of_the_client_recovers_its_owner() -> None:
    signed = parse_submission(_body(_deposit_order())).signed
    fields = signed_fields(signed)
    assert signed.signature == DEPOSIT_SIGNATURE + ORDER_TYPE.encode().hex() + "00ba"
    assert order_digest(fields, 137, neg_risk=False).hex() == DEPOSIT_ORDER_ID
    assert recover_owner(fields, signed.signature, 137, neg_risk=False) == ADDRESS


@pytest.mark.parametrize(
    "signature",
    ["0x", "0xzz", DEPOSIT_SIGNATURE, DEPOSIT_SIGNATURE + ORDER_TYPE.encode().hex() + "00bb"],
)
def test_deposit_wallet_signature_of_another_shape_has_no_owner(signature: str) -> None:
    fields = signed_fields(parse_submission(_body(_deposit_order())).signed)
    with pytest.raises(SignatureError):
        recover_owner(fields, signature, 137, neg_risk=False)


@pytest.mark.parametrize(
    ("chain_id", "neg_risk", "separator"),
    [
        (137, False, "3264e159346253e26a64e00b69032db0e7d32f94628de3e6eecb50304d7af3d2"),
        (137, True, "9b858f53327b0bd13af8ec14cfb35234fb9eb7b0504d1a4e61f433840d30e81a"),
        (80002, False, "a440cbd865bc0c6243d7a8df9a8bf48a8827b0a4abbb61c30e96d305423af148"),
        (80002, True, "1468e39841f0a0e05d3762b235cb7acecabf8cd7b6d3a672965a5d415bf9378e"),
    ],
)
def test_domain_separators_are_the_recorded_ones(chain_id: int, neg_risk: bool, separator: str) -> None:
    assert exchange_domain(chain_id, neg_risk).hex() == separator
    assert auth_domain(chain_id) != exchange_domain(chain_id, neg_risk)


def test_hash_of_a_recorded_rest_book_is_reproduced(fixtures: Path) -> None:
    book = json.loads((fixtures / "polymarket" / "clob_book_response_empty_ask.json").read_text())
    assert book_hash(book) == book["hash"]


def test_fees_of_every_recorded_fill_are_reproduced(fixtures: Path) -> None:
    fills = json.loads((fixtures / "polymarket" / "chain_order_filled_taker_fees.json").read_text())
    for fill in fills:
        buys = fill["side"] == "BUY"
        shares = int(fill["taker_amount_filled" if buys else "maker_amount_filled"])
        fee = taker_fee(shares, to_micro(fill["price"]), Fraction(fill["fee_rate"]))
        assert fee == int(fill["fee"]), fill
    assert len(fills) == 21


@pytest.mark.parametrize(
    ("micro", "text"),
    [(0, "0"), (5_200_000, "5.2"), (1, "0.000001"), (-1_500_000, "-1.5"), (25_000_000, "25")],
)
def test_amounts_are_written_without_exponent_or_trailing_zeros(micro: int, text: str) -> None:
    assert to_text(micro) == text
    assert to_micro(text) == micro


def _deposit_order() -> SignedOrderV2:
    return sign(
        KEY,
        TOKEN,
        "BUY",
        5_070_000,
        16_900_000,
        maker=DEPOSIT,
        order_signer=DEPOSIT,
        signature_type=3,
        salt=6173029043549848,
        timestamp=1795246965626,
    )


def _body(order: SignedOrderV2) -> bytes:
    from py_clob_client_v2.order_utils.model.order_data_v2 import order_to_json_v2

    return json.dumps(order_to_json_v2(order, "owner", "GTC", False, False)).encode()
