"""Cells as the text of their values, in SQL, and as hashes of it: what is the same value has the same text.

docs/features.md says what a value of each type is. The text depends on nothing but the cell: not on the session's time
zone, not on its ANSI mode, and not on which of the types of numbers a column has. Saved pipelines of the jobs hold the
SQL of these texts.
"""

import re
from collections.abc import Sequence

from pyspark.sql.types import (
    ArrayType,
    BooleanType,
    CharType,
    DataType,
    DateType,
    DecimalType,
    DoubleType,
    FloatType,
    IntegralType,
    MapType,
    NumericType,
    StringType,
    StructField,
    TimestampNTZType,
    TimestampType,
    VarcharType,
)

# Where Spark keeps that a column was declared as char(n) or varchar(n).
DECLARED = "__CHAR_VARCHAR_TYPE_STRING"
TEXTS = (StringType, CharType, VarcharType)
TIMES = (DateType, TimestampType, TimestampNTZType)
VALUES = (*TEXTS, BooleanType, DecimalType, DoubleType, FloatType, IntegralType, *TIMES)
# Stands for null among hashes, and for no feature among ids.
NULL = -1
EXACT = "9007199254740992D"
LONGS = "9223372036854775808D"
HIGH, LOW = "18446744073709551616", "4294967296"


def kind_of(field: StructField) -> DataType:
    """The type of a column, char(n) being told from strings: Spark calls both strings, and pads the former."""
    padded = re.search(r"\bchar\(", str(field.metadata.get(DECLARED, "")))
    return _padded(field.dataType) if padded else field.dataType


def _padded(kind: DataType) -> DataType:
    if isinstance(kind, ArrayType):
        return ArrayType(_padded(kind.elementType))
    if isinstance(kind, MapType):
        return MapType(_padded(kind.keyType), kind.valueType)
    return CharType(1) if isinstance(kind, StringType) else kind


def sort_of(kind: DataType) -> str:
    """What sort of value a type holds: a string, a number, a boolean, a date, a timestamp, a timestamp_ntz."""
    if isinstance(kind, TEXTS):
        return "string"
    return "number" if isinstance(kind, NumericType) else kind.simpleString()


def text_of(cell: str, kind: DataType) -> str:
    """The text of a cell of a type that holds values; null for null and NaN.

    Parameters
    ----------
    cell : SQL, as all that these functions take and give
    """
    if isinstance(kind, FloatType | DoubleType):
        return _text_of_double(cell, "FLOAT" if isinstance(kind, FloatType) else "DOUBLE")
    if isinstance(kind, DecimalType):
        return text_of_decimal(cell, kind.scale)
    if isinstance(kind, TimestampType):
        return f"concat(CAST({_in_utc(cell)} AS STRING), 'Z')"
    # The cast drops a collation: characters are what counts.
    text = f"CAST({cell} AS STRING)"
    return f"trim(TRAILING ' ' FROM {text})" if isinstance(kind, CharType) else text


def text_of_any_number(cell: str) -> str:
    """The text of a cell whose type is known when the query runs only; of what is no number as Spark writes it."""
    said, found = f"CAST({cell} AS STRING)", f"typeof({cell})"
    numbers = [
        f"WHEN {found} = '{name.lower()}' THEN {_text_of_double(f'CAST({said} AS {name})', name)}"
        for name in ("FLOAT", "DOUBLE")
    ]
    small = text_of_decimal(f"CAST({said} AS DECIMAL(38, 38))", 38)
    decimals = f"if(instr({said}, 'E') > 0, {small}, if(instr({said}, '.') > 0, {_trimmed(said)}, {said}))"
    return f"CASE {' '.join(numbers)} WHEN {found} LIKE 'decimal%' THEN {decimals} ELSE {said} END"


def text_of_format_3(cell: str, kind: DataType) -> str:
    """As :func:`text_of` was for encoders of saved format 3: that of times depends on the session's zone, that of some
    numbers on their type and on the ANSI mode.
    """
    said = f"CAST({cell} AS STRING)"
    if isinstance(kind, FloatType | DoubleType):
        whole = f"{cell} = rint({cell}) AND abs({cell}) <= {EXACT}"
        number = f"if({whole}, CAST(CAST({cell} AS BIGINT) AS STRING), {said})"
        return f"if(isnan({cell}), NULL, {number})"
    if isinstance(kind, DecimalType) and kind.scale > 0:
        return f"if({cell} = floor({cell}), CAST(floor({cell}) AS STRING), {said})"
    return said


def _text_of_double(cell: str, name: str) -> str:
    """A whole number by its digits, any other as the shortest decimal that tells it from its neighbours, both without
    an exponent as far as decimals go.
    """
    x, said = f"CAST({cell} AS DOUBLE)", f"CAST({cell} AS STRING)"
    size, whole, tiny = f"abs({x})", f"{x} = rint({x})", f"CAST({said} AS DECIMAL(38, 38))"
    return (
        f"CASE WHEN isnan({x}) THEN NULL"
        f" WHEN {whole} AND {size} < {LONGS} THEN CAST(CAST({x} AS BIGINT) AS STRING)"
        f" WHEN {whole} AND {size} < 1E38D THEN concat(if({x} < 0, '-', ''), CAST({_digits_of_large(size)} AS STRING))"
        # From 0.001 to 10,000,000 Spark writes no exponent.
        f" WHEN {whole} OR {size} >= 1E-3D AND {size} < 1E7D THEN {said}"
        f" WHEN {size} >= 1E7D THEN {_trimmed(f'CAST(CAST({said} AS DECIMAL(38, 18)) AS STRING)')}"
        f" WHEN CAST({tiny} AS {name}) = {cell} THEN {text_of_decimal(tiny, 38)}"
        f" ELSE {said} END"
    )


def _digits_of_large(size: str) -> str:
    """A whole double from 2^63 to 1e38 as a decimal: a cast would take the shortest digits, not the exact ones."""
    rest = f"({size} % {HIGH}D)"
    return (
        f"(CAST(floor({size} / {HIGH}D) AS DECIMAL(38, 0)) * {HIGH}"
        f" + CAST(floor({rest} / {LOW}D) AS DECIMAL(38, 0)) * {LOW} + CAST({rest} % {LOW}D AS BIGINT))"
    )


def text_of_decimal(cell: str, scale: int) -> str:
    """A decimal without an exponent, which Spark writes where ANSI mode is off, and without zeros at the end."""
    said, places = f"CAST({cell} AS STRING)", max(scale, 0)
    plain = f"if(instr({said}, 'E') > 0, replace(format_number({cell}, {places}), ',', ''), {said})"
    return _trimmed(plain) if scale > 0 else plain


def _trimmed(text: str) -> str:
    """A number with a point, without the zeros at its end."""
    return f"trim(TRAILING '.' FROM trim(TRAILING '0' FROM {text}))"


def _in_utc(cell: str) -> str:
    """A timestamp as the timestamp_ntz that clocks in UTC show, whatever the session's time zone."""
    day = f"date_from_unix_date(CAST(floor(unix_seconds({cell}) / 86400) AS INT))"
    micros = f"CAST(pmod(unix_micros({cell}), 86400000000) AS DECIMAL(18, 0))"
    seconds = f"CAST({micros} * 0.000001 AS DECIMAL(18, 6))"
    return f"(CAST({day} AS TIMESTAMP_NTZ) + make_dt_interval(0, 0, 0, {seconds}))"


def key_of(text: str, salt: int) -> str:
    """The hash of a text, bigint; -1 for null."""
    return f"if({text} IS NULL, {NULL}, xxhash64({salt}, {text}))"


def bucket_of(texts: Sequence[str], width: int) -> str:
    """The hash of texts modulo ``width``; -1 where one is null."""
    missing = " OR ".join(f"{text} IS NULL" for text in texts)
    return f"if({missing}, {NULL}, pmod(xxhash64(0, {', '.join(texts)}), {width}))"


def part_of(cell: str, kind: DataType, part: str, zone: str | None) -> str:
    """A part of a date or time: of a timestamp what clocks in a time zone show; in the session's where it is None."""
    local = cell
    if isinstance(kind, TimestampType) and zone is not None:
        local = f"convert_timezone('UTC', '{zone}', {_in_utc(cell)})"
    if part == "hour":
        return f"hour({local})"
    functions = {"weekday": "weekday", "day": "dayofmonth", "week": "weekofyear", "month": "month"}
    return f"{functions[part]}(CAST({local} AS DATE))"
