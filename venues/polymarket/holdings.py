"""What a wallet holds by the venue's own index (Data API), bought here or elsewhere."""

from collections.abc import Sequence
from decimal import Decimal

from domain.ids import MarketId, TokenId
from domain.ports import HeldToken
from venues.polymarket.http import HttpSession
from venues.polymarket.parsing import read_payloads
from venues.polymarket.reads import checked, send
from venues.polymarket.schemas import DataPositionPayload

_PAGE = 500
_PRICE_STEP = Decimal("0.000001")  # the index answers binary floats; prices have no more than six decimals


async def held_tokens(session: HttpSession, wallet: str) -> Sequence[HeldToken]:
    """Return the wallet's positions, small ones too.

    Args:
        session: requests to the Data API.
        wallet: the funder, which holds the shares; not the signer.
    """
    found: list[HeldToken] = []
    while True:
        params = {
            "user": wallet,
            "sizeThreshold": "0",  # the default of 1 hides small positions
            "limit": str(_PAGE),
            "offset": str(len(found)),
        }
        reply = checked(await send(session, "GET", "/positions", params=params))
        page = read_payloads(DataPositionPayload, reply.body)
        found.extend(_held(payload) for payload in page)
        if len(page) < _PAGE:
            return [held for held in found if held.shares > 0]


def _held(payload: DataPositionPayload) -> HeldToken:
    return HeldToken(
        market_id=MarketId(payload.condition_id),
        token_id=TokenId(payload.token_id),
        shares=payload.shares,
        average_entry=payload.average_price.quantize(_PRICE_STEP) if payload.average_price else None,
    )
