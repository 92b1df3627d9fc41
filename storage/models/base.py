"""What all tables share: names of constraints, column types, the append-only mark."""

from datetime import datetime
from decimal import Decimal
from typing import ClassVar

from sqlalchemy import BigInteger, DateTime, MetaData, Numeric, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql import base as postgresql
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.types import UserDefinedType


class Xid8(UserDefinedType[str]):
    """A transaction id that never wraps: what the visible edge is made of. Travels as text."""

    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        """Return the type's name in DDL."""
        return "xid8"


# Lets reflection (`migrate check`) know the type; SQLAlchemy documents this registry for custom types.
# The registry's annotation lists the built-in types alone.
postgresql.ischema_names["xid8"] = Xid8  # pyright: ignore[reportArgumentType]

CURRENT_XID = "pg_current_xact_id()"


class Base(DeclarativeBase):
    """Base of every table. Money is NUMERIC, times are timestamptz, texts are TEXT."""

    metadata = MetaData(
        naming_convention={
            "pk": "%(table_name)s_pkey",
            "uq": "%(table_name)s_%(column_0_N_name)s_key",
            "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
            "ix": "%(table_name)s_%(column_0_N_name)s_idx",
            "ck": "%(table_name)s_%(constraint_name)s_check",
        }
    )
    type_annotation_map: ClassVar[dict[object, object]] = {
        str: Text(),
        int: BigInteger(),
        Decimal: Numeric(),
        datetime: DateTime(timezone=True),
        dict[str, object]: JSONB(),
    }


def one_of(column: str, *values: str) -> str:
    """Return the text of a CHECK that keeps a column within a closed set."""
    return f"{column} IN ({', '.join(repr(value) for value in values)})"
