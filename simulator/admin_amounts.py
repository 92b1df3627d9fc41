"""Amounts and bodies of the control port."""

from typing import Annotated

from fastapi import HTTPException
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from simulator.money import AmountError, to_micro


def _decimal_text(value: object) -> object:
    """Numbers are taken as well as strings; both are judged as exact decimals."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


Amount = Annotated[str, BeforeValidator(_decimal_text)]
AddressText = Annotated[str, Field(pattern=r"^0x[0-9a-fA-F]{40}$")]


class Body(BaseModel):
    """A request body; unknown members are refused."""

    model_config = ConfigDict(extra="forbid")


def micro(text: str) -> int:
    """Returns millionths.

    Raises:
        HTTPException: 422, the text is no exact amount.
    """
    try:
        return to_micro(text)
    except AmountError as error:
        raise HTTPException(422, str(error)) from error
