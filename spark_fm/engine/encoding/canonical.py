"""Columns as the text of their values, and as hashes of it: what is the same value is the same text.

The integer 42, the number 42.0 and the string "42" are one value, whatever the type of the column; NaN is null; case,
spaces and empty strings count.
"""

from collections.abc import Sequence

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql.types import (
    BooleanType,
    DataType,
    DateType,
    DecimalType,
    DoubleType,
    FloatType,
    IntegralType,
    StringType,
    TimestampNTZType,
    TimestampType,
)

VALUES = (BooleanType, DateType, DecimalType, DoubleType, FloatType, IntegralType, StringType)
TIMES = (DateType, TimestampType, TimestampNTZType)
# Stands for null among hashes, and for no feature among ids.
NULL = -1
EXACT = 2.0**53


def text_of(x: Column, kind: DataType) -> Column:
    """The text of a value; null for null and NaN."""
    if isinstance(kind, FloatType | DoubleType):
        whole = (x == F.rint(x)) & (F.abs(x) <= EXACT)
        number = F.when(whole, x.cast("bigint").cast("string")).otherwise(x.cast("string"))
        return F.when(~F.isnan(x), number)
    if isinstance(kind, DecimalType) and kind.scale > 0:
        return F.when(x == F.floor(x), F.floor(x).cast("string")).otherwise(x.cast("string"))
    return x.cast("string")


def key_of(text: Column, salt: int) -> Column:
    """The hash of a text, bigint; -1 for null."""
    return F.when(text.isNull(), F.lit(NULL)).otherwise(F.xxhash64(F.lit(salt), text))


def bucket_of(texts: Sequence[Column], width: int) -> Column:
    """The hash of texts modulo ``width``; -1 where one is null."""
    missing = texts[0].isNull()
    for text in texts[1:]:
        missing = missing | text.isNull()
    return F.when(missing, F.lit(NULL)).otherwise(F.pmod(F.xxhash64(F.lit(0), *texts), F.lit(width)))


def part_of(x: Column, part: str) -> Column:
    """A part of a date."""
    functions = {
        "hour": F.hour,
        "weekday": F.weekday,
        "day": F.dayofmonth,
        "week": F.weekofyear,
        "month": F.month,
    }
    return functions[part](x)
