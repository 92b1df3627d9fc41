from dataclasses import dataclass

@dataclass
class ApiCreds:
    api_key: str
    api_secret: str
    api_passphrase: str

@dataclass
class RequestArgs:
    method: str
    request_path: str
    body: object = None
    serialized_body: str | None = None

@dataclass
class ContractConfig:
    exchange: str
    neg_risk_adapter: str
    neg_risk_exchange: str
    collateral: str
    conditional_tokens: str
    exchange_v2: str
    neg_risk_exchange_v2: str
    exchange_v3: str
