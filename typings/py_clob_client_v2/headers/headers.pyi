from py_clob_client_v2.clob_types import ApiCreds, RequestArgs
from py_clob_client_v2.signer import Signer

def create_level_1_headers(
    signer: Signer, nonce: int | None = None, timestamp: int | None = None
) -> dict[str, str]: ...
def create_level_2_headers(
    signer: Signer, creds: ApiCreds, request_args: RequestArgs, timestamp: int | None = None
) -> dict[str, str]: ...
