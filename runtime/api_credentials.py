"""API credentials as the sealed document holds them; they rotate without touching a signature."""

from pydantic import BaseModel, ConfigDict, SecretStr

from venues.polymarket.credentials import ApiCredentials


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    api_key: str
    secret: str
    passphrase: str


def read_api_credentials(document: SecretStr) -> ApiCredentials:
    """Return the credentials that a document holds."""
    read = _Document.model_validate_json(document.get_secret_value())
    return ApiCredentials(
        api_key=SecretStr(read.api_key),
        secret=SecretStr(read.secret),
        passphrase=SecretStr(read.passphrase),
    )
