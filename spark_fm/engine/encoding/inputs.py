"""What the workers get of a table: a few columns of integers and numbers for each field, made by Spark."""

from collections.abc import Sequence
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import (
    ArrayType,
    BooleanType,
    DataType,
    DateType,
    MapType,
    NumericType,
)

from spark_fm.engine.encoding.canonical import (
    NULL,
    TIMES,
    VALUES,
    bucket_of,
    key_of,
    kind_of,
    part_of,
    sort_of,
    text_of,
    text_of_format_3,
)
from spark_fm.engine.encoding.fields import MANY, EncodedField
from spark_fm.engine.packing.columns import field_of, quoted

A_VALUE = "a string, an integer, a boolean, a date, a timestamp or another number"


def expected_of(kind: str, data_type: DataType) -> str:
    """What a field of a kind reads, where the type is anything else; "" where it is that."""
    if kind in ("numeric", "buckets"):
        return "" if isinstance(data_type, NumericType | BooleanType) else "a number"
    if kind == "set":
        fits = isinstance(data_type, ArrayType) and isinstance(data_type.elementType, VALUES)
        return "" if fits else f"an array whose elements are each {A_VALUE}"
    if kind == "weighted":
        fits = isinstance(data_type, MapType) and isinstance(data_type.keyType, VALUES)
        fits = fits and isinstance(data_type, MapType) and isinstance(data_type.valueType, NumericType)
        return "" if fits else f"a map to numbers whose keys are each {A_VALUE}"
    if kind in ("date_part", "cyclic"):
        return "" if isinstance(data_type, TIMES) else "a date or a timestamp"
    return "" if isinstance(data_type, VALUES) else A_VALUE


def type_of(dataset: DataFrame, column: str, kind: str, part: str | None = None) -> DataType:
    """The type of a column that a field of a kind reads.

    Raises
    ------
    ValueError
        When there is no such column.
    TypeError
        When the kind can't read it.
    """
    field = field_of(dataset, column, "fields")
    data_type = field.dataType
    expected = expected_of("date_part" if part else kind, data_type)
    if part == "hour" and isinstance(data_type, DateType):
        expected = "a timestamp, as a date has no hour"
    if expected:
        found = data_type.simpleString()
        raise TypeError(f"fields: column {column!r} has type {found}, expected {expected} for {kind}")
    return kind_of(field)


def sorts_of(dataset: DataFrame, columns: Sequence[str]) -> tuple[str, ...]:
    """What sort of value each column holds: see :func:`spark_fm.engine.encoding.canonical.sort_of`."""
    return tuple(sort_of(_inner(field_of(dataset, column, "fields").dataType)) for column in columns)


def _text(dataset: DataFrame, field: EncodedField, column: str, cell: str = "") -> str:
    """The SQL of the text of a column's cells; of a set or a map that of the elements or keys, each called ``cell``."""
    data_type = type_of(dataset, column, field.kind)
    _check_sort(field, column, data_type)
    text = text_of_format_3 if field.format == 3 else text_of
    return text(cell or quoted(column), _inner(data_type))


def _elements(field: EncodedField) -> str:
    cell = quoted(field.columns[0])
    return f"map_keys({cell})" if field.kind == "weighted" else cell


def _check_sort(field: EncodedField, column: str, data_type: DataType) -> None:
    """Check that a column's values can be those that the encoder has learned.

    Raises
    ------
    TypeError
        When they are of another sort, so that each would be another value: a timestamp is no date, and 1 is not true.
        Strings may stand for anything but timestamps, whose time zone they do not tell.
    """
    learned = dict(zip(field.columns, field.sorts, strict=False)).get(column)
    found = sort_of(_inner(data_type))
    if learned in (None, found) or ("string" in (learned, found) and "timestamp" not in (learned, found)):
        return
    raise TypeError(
        f"fields: column {column!r} has type {data_type.simpleString()}, expected values of the sort that the encoder "
        f"has learned ({learned}) for field {field.name!r}"
    )


def texts_of(dataset: DataFrame, fields: Sequence[EncodedField]) -> Column:
    """The texts of fields by frequency: an array of those of a row, each once in a field, null for null.

    Returns
    -------
    array<struct<field int, text string>>, the field being its place among ``fields``
    """
    ones, many = [], []
    for number, field in enumerate(fields):
        column = field.columns[0]
        if field.kind in MANY:
            texts = F.expr(f"transform({_elements(field)}, x -> {_text(dataset, field, column, 'x')})")
            many.append(_pairs(F.array_distinct(F.coalesce(texts, F.array().cast("array<string>"))), number))
        else:
            ones.append(_pair(number, F.expr(_text(dataset, field, column))))
    arrays = [F.array(*ones), *many] if ones else many
    return F.concat(*arrays) if len(arrays) > 1 else arrays[0]


def _pairs(texts: Column, number: int) -> Column:
    return F.transform(texts, lambda text: _pair(number, text))


def _pair(number: int, text: Column) -> Column:
    return F.struct(F.lit(number).alias("field"), text.alias("text"))


def _inner(data_type: DataType) -> DataType:
    """Of an array's elements, or a map's keys."""
    if isinstance(data_type, MapType):
        return data_type.keyType
    return data_type.elementType if isinstance(data_type, ArrayType) else data_type


def inputs_of(dataset: DataFrame, field: EncodedField, salt: int) -> list[Column]:
    """The columns that the workers read for a field.

    Returns
    -------
    bigint for a field of one value in a row: the hash of its text (-1 for null), or the number of its feature in the
    field where it is hashed or a part of a date (-1 for none). A double for numbers. An array<bigint> for the elements
    of a set, and with an array<double> for the keys and values of a map.
    """
    options: dict[str, Any] = dict(field.options)
    column, width, zone = field.columns[0], options.get("width", 0), options.get("zone")
    if field.kind in ("numeric", "buckets"):
        type_of(dataset, column, field.kind)
        return [F.col(quoted(column)).cast("double")]
    if field.kind in ("date_part", "cyclic"):
        part = _part(dataset, column, field.kind, options["part"], zone)
        return [F.coalesce(F.expr(part), F.lit(NULL)).cast("bigint")]
    if field.kind == "cross":
        texts = [
            f"CAST({_part(dataset, column, 'cross', part, zone)} AS STRING)"
            if part
            else _text(dataset, field, column)
            for column, part in options["parts"]
        ]
        return [F.expr(bucket_of(texts, width))]
    several = field.kind in MANY
    text = _text(dataset, field, column, "x" if several else "")
    number = key_of(text, salt) if field.by_frequency else bucket_of([text], width)
    if not several:
        return [F.expr(number)]
    values = [F.map_values(F.col(quoted(column))).cast("array<double>")] if field.kind == "weighted" else []
    return [F.expr(f"transform({_elements(field)}, x -> {number})"), *values]


def _part(dataset: DataFrame, column: str, kind: str, part: str, zone: str | None) -> str:
    return part_of(quoted(column), type_of(dataset, column, kind, part), part, zone)
