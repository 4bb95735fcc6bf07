"""Keys of two tables, compared exactly.

Spark compares columns of two types after a cast of its own: the string "02" would be the number 2, and as doubles 2^60
and 2^60 + 1 are one number. Here both become a type that holds every value of either, or they are not compared.
"""

from pyspark.sql import Column, DataFrame
from pyspark.sql.types import (
    ByteType,
    DataType,
    DecimalType,
    IntegerType,
    IntegralType,
    LongType,
    NullType,
    ShortType,
)

from spark_fm.engine.packing.columns import field_of, quoted

INTEGERS = (ByteType, ShortType, IntegerType, LongType)
DIGITS = (3, 5, 10, 19)
MOST_DIGITS = 38


def exact_type(one: DataType, other: DataType) -> DataType | None:
    """The type that holds every value of two types of keys, in which they are compared; None where there is none.

    Of two integer types it is the wider, of integers and decimals, or two kinds of decimals, a decimal of at most 38
    digits. Of all others each is comparable with itself only, and with a column of nothing but nulls.
    """
    if one.simpleString() == other.simpleString() or isinstance(other, NullType):
        return one
    if isinstance(one, NullType):
        return other
    if isinstance(one, IntegralType) and isinstance(other, IntegralType):
        return max(one, other, key=lambda kind: INTEGERS.index(type(kind)))
    mine, others = _digits(one), _digits(other)
    if mine is None or others is None:
        return None
    before, after = max(mine[0], others[0]), max(mine[1], others[1])
    return DecimalType(before + after, after) if before + after <= MOST_DIGITS else None


def _digits(kind: DataType) -> tuple[int, int] | None:
    """How many digits numbers have before and after the point."""
    if isinstance(kind, DecimalType):
        return kind.precision - kind.scale, kind.scale
    return (DIGITS[INTEGERS.index(type(kind))], 0) if isinstance(kind, IntegralType) else None


def common_type(rows: DataFrame, name: str, param: str, other: DataType) -> DataType:
    """The type in which a column of keys is compared with keys of another type.

    Raises
    ------
    ValueError
        When there is no such column.
    TypeError
        When no type holds the values of both.
    """
    found = field_of(rows, name, param).dataType
    exact = exact_type(found, other)
    if exact is None:
        raise TypeError(
            f"{param}: column {name!r} has type {found.simpleString()}, expected {other.simpleString()} as the keys "
            "that it is compared with, or another type that holds them exactly"
        )
    return exact


def key_as(rows: DataFrame, name: str, kind: DataType) -> Column:
    """A column of keys in the type in which they are compared."""
    return rows[quoted(name)].cast(kind)


def common_keys(one: DataFrame, other: DataFrame, name: str, param: str) -> tuple[Column, Column]:
    """A column of keys that two tables have, in the type in which they are compared.

    Raises
    ------
    ValueError, TypeError
        See :func:`common_type`; ``param`` is what sentences call the column.
    """
    kind = common_type(one, name, param, field_of(other, name, param).dataType)
    return key_as(one, name, kind), key_as(other, name, kind)
