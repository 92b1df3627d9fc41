"""Bodies of the codec: Temporal's `Payloads` in the JSON form of protocol buffers, bytes in base64."""

import base64
import binascii
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field
from temporalio.api.common.v1 import Payload

from api.schemas.common import Answer


def _base64(text: str) -> str:
    try:
        base64.b64decode(text, validate=True)
    except binascii.Error:
        raise ValueError("is not base64") from None
    return text


Base64 = Annotated[str, AfterValidator(_base64), Field(json_schema_extra={"format": "byte"})]


class PayloadJson(BaseModel):
    """One payload; members that a later Temporal adds are left out."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    metadata: dict[str, Base64] = {}
    data: Base64 = ""

    @staticmethod
    def of(payload: Payload) -> "PayloadJson":
        """Return the JSON form of a payload."""
        metadata = {name: base64.b64encode(value).decode() for name, value in payload.metadata.items()}
        return PayloadJson(metadata=metadata, data=base64.b64encode(payload.data).decode())

    def payload(self) -> Payload:
        """Return the payload."""
        metadata = {name: base64.b64decode(value) for name, value in self.metadata.items()}
        return Payload(metadata=metadata, data=base64.b64decode(self.data))


class PayloadsJson(BaseModel):
    """Several payloads, answered in the same order."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    payloads: list[PayloadJson] = []


class CodecSessionAnswer(Answer):
    """A login for the Temporal UI."""

    expires_at: AwareDatetime
    ui_origin: str = Field(description="The pages for which the login counts")
