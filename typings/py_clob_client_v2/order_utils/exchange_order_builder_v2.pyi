from collections.abc import Callable

from py_clob_client_v2.order_utils.model.order_data_v2 import OrderDataV2, OrderV2, SignedOrderV2
from py_clob_client_v2.signer import Signer

ORDER_TYPE_HASH: bytes

class ExchangeOrderBuilderV2:
    contract_address: str
    chain_id: int
    signer: Signer
    generate_salt: Callable[[], str]
    domain_version: str
    app_domain_separator: bytes
    def __init__(
        self,
        contract_address: str,
        chain_id: int,
        signer: Signer,
        generate_salt: Callable[[], str] = ...,
        domain_version: str = ...,
    ) -> None: ...
    def build_signed_order(self, order_data: OrderDataV2) -> SignedOrderV2: ...
    def build_order(self, order_data: OrderDataV2) -> OrderV2: ...
    def build_order_typed_data(self, order: OrderV2) -> dict[str, object]: ...
    def build_order_signature(self, typed_data: dict[str, object]) -> str: ...
    def build_order_hash(self, typed_data: dict[str, object]) -> str: ...
