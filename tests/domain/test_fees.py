import json
import os
from decimal import Decimal, localcontext
from pathlib import Path

import pytest

from domain.fees import taker_fee

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = Path(os.environ.get("HOLDFAST_FIXTURES", ROOT / "../shared/fixtures"))


@pytest.mark.skipif(not FIXTURES.is_dir(), reason="recorded data is absent")
def test_fee_equals_every_recorded_fill_on_chain():
    fills = json.loads((FIXTURES / "polymarket/chain_order_filled_taker_fees.json").read_text())
    assert len(fills) >= 20
    for fill in fills:
        shares = fill["taker_amount_filled" if fill["side"] == "BUY" else "maker_amount_filled"]
        fee = taker_fee(Decimal(shares).scaleb(-6), Decimal(fill["price"]), Decimal(fill["fee_rate"]))
        assert fee == Decimal(fill["fee"]).scaleb(-6), fill


@pytest.mark.parametrize(
    ("shares", "price", "rate", "fee"),
    [
        ("100", "0.5", "0.07", "1.75"),
        ("100", "0.5", "0", "0"),
        ("4.999998", "0.71", "0.05", "0.05147"),  # floored, not rounded
        ("0.01", "0.01", "0.05", "0"),  # below 0.00001
        ("100", "1", "0.05", "0"),
    ],
)
def test_fee_is_floored_to_five_decimals(shares, price, rate, fee):
    with localcontext() as context:
        context.prec = 4
        assert taker_fee(Decimal(shares), Decimal(price), Decimal(rate)) == Decimal(fee)
