"""What all bodies and answers share: exact decimals as text, refused unknown fields, pages."""

from decimal import Decimal
from typing import Annotated, Generic, TypeVar

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer
from pydantic.alias_generators import to_camel

from domain.money import plain
from domain.rules.definition import Number

T = TypeVar("T")

Amount = Annotated[
    Decimal,
    PlainSerializer(plain, return_type=str),
    Field(json_schema_extra={"format": "decimal"}, examples=["0.42"]),
]
"""A price, size or sum of USD in an answer: an exact decimal as text."""


def _unblank(value: object) -> object:
    """Take a blank text as missing, the way forms send it."""
    return None if isinstance(value, str) and not value.strip() else value


OptionalNumber = Annotated[Number | None, BeforeValidator(_unblank)]
Moment = AwareDatetime


class Body(BaseModel):
    """A request body: frozen, unknown fields refused, its values never in an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Answer(BaseModel):
    """An answer in snake_case."""

    model_config = ConfigDict(frozen=True)


class CamelBody(Body):
    """A request body in camelCase."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, alias_generator=to_camel
    )


class CamelAnswer(BaseModel):
    """An answer in camelCase."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True)


class Page(Answer, Generic[T]):
    """One page of a list; `total` counts all that match."""

    items: list[T]
    total: int
    limit: int
    offset: int


class CamelPage(CamelAnswer, Generic[T]):
    """One page of a list; `total` counts all that match."""

    items: list[T]
    total: int
    limit: int
    offset: int
