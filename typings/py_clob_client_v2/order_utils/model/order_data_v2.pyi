from dataclasses import dataclass

from py_clob_client_v2.order_utils.model.side import Side
from py_clob_client_v2.order_utils.model.signature_type_v2 import SignatureTypeV2

@dataclass
class OrderDataV2:
    maker: str
    tokenId: str
    makerAmount: str
    takerAmount: str
    side: Side
    signer: str | None = None
    signatureType: SignatureTypeV2 | None = None
    timestamp: str | None = None
    metadata: str | None = None
    builder: str | None = None
    expiration: str | None = None

@dataclass
class OrderV2:
    salt: str
    maker: str
    signer: str
    tokenId: str
    makerAmount: str
    takerAmount: str
    side: Side
    signatureType: SignatureTypeV2
    timestamp: str
    metadata: str
    builder: str
    expiration: str = "0"

@dataclass
class SignedOrderV2(OrderV2):
    signature: str = ""

def order_to_json_v2(
    order: SignedOrderV2,
    owner: str,
    order_type: str,
    post_only: bool = False,
    defer_exec: bool = False,
) -> dict[str, object]: ...
