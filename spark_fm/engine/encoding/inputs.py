"""What the workers get of a table: a few columns of integers and numbers for each field, made by Spark."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, BooleanType, DataType, DateType, MapType, NumericType

from spark_fm.engine.encoding.canonical import NULL, TIMES, VALUES, bucket_of, key_of, part_of, text_of
from spark_fm.engine.encoding.fields import EncodedField
from spark_fm.engine.encoding.reading import cell_of, type_read
from spark_fm.engine.packing.columns import field_of, quoted

A_VALUE = "a string, an integer, a boolean, a date or another number"


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
    return "" if isinstance(data_type, (*VALUES, *TIMES)) else A_VALUE


def type_of(
    dataset: DataFrame,
    column: str,
    kind: str,
    part: str | None = None,
    options: Mapping[str, Any] = MappingProxyType({}),
) -> DataType:
    """The type of the cells that a field of a kind reads, by its options.

    Raises
    ------
    ValueError
        When there is no such column.
    TypeError
        When the kind can't read it.
    """
    column_type = field_of(dataset, column, "fields").dataType
    data_type, expected = type_read(column_type, options)
    expected = expected or expected_of("date_part" if part else kind, data_type)
    if part == "hour" and isinstance(data_type, DateType):
        expected = "a timestamp, as a date has no hour"
    if expected:
        found = column_type.simpleString()
        raise TypeError(f"fields: column {column!r} has type {found}, expected {expected} for {kind}")
    return data_type


def _text(dataset: DataFrame, column: str, kind: str, part: str | None, unit: str | None) -> Column:
    options = {"unit": unit}
    data_type, x = type_of(dataset, column, kind, part, options), F.expr(cell_of(column, options))
    return part_of(x, part).cast("string") if part else text_of(x, data_type)


def texts_of(dataset: DataFrame, fields: Sequence[EncodedField]) -> Column:
    """The texts of fields by frequency: an array of those of a row, each once in a field, null for null.

    Returns
    -------
    array<struct<field int, text string>>, the field being its place among ``fields``
    """
    ones, many = [], []
    for number, field in enumerate(fields):
        column = field.columns[0]
        data_type = type_of(dataset, column, field.kind, options=field.options)
        x = F.expr(cell_of(column, field.options))
        if isinstance(data_type, ArrayType | MapType):
            many.append(_texts_of_many(x, data_type, number))
        else:
            ones.append(_pair(number, text_of(x, data_type)))
    arrays = [F.array(*ones), *many] if ones else many
    return F.concat(*arrays) if len(arrays) > 1 else arrays[0]


def _texts_of_many(x: Column, data_type: ArrayType | MapType, number: int) -> Column:
    elements = F.map_keys(x) if isinstance(data_type, MapType) else x
    texts = F.transform(elements, lambda element: text_of(element, _inner(data_type)))
    once = F.array_distinct(F.coalesce(texts, F.array().cast("array<string>")))
    return F.transform(once, lambda text: _pair(number, text))


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
    if field.kind in ("numeric", "buckets"):
        type_of(dataset, field.columns[0], field.kind)
        return [F.col(quoted(field.columns[0])).cast("double")]
    if field.kind in ("date_part", "cyclic"):
        type_of(dataset, field.columns[0], field.kind, options["part"], options)
        part = part_of(F.expr(cell_of(field.columns[0], options)), options["part"])
        return [F.coalesce(part, F.lit(NULL)).cast("bigint")]
    if field.kind == "cross":
        units = options.get("units") or [None, None]
        texts = [
            _text(dataset, column, "cross", part, unit)
            for (column, part), unit in zip(options["parts"], units, strict=True)
        ]
        return [bucket_of(texts, options["width"])]
    if field.kind == "hashed":
        return [bucket_of([_text(dataset, field.columns[0], field.kind, None, None)], options["width"])]
    data_type = type_of(dataset, field.columns[0], field.kind, options=options)
    x = F.expr(cell_of(field.columns[0], options))
    if field.kind == "categorical":
        return [key_of(text_of(x, data_type), salt)]
    inner, width = _inner(data_type), options.get("width")

    def integer(element: Column) -> Column:
        text = text_of(element, inner)
        return key_of(text, salt) if width is None else bucket_of([text], width)

    if isinstance(data_type, MapType):
        return [F.transform(F.map_keys(x), integer), F.map_values(x).cast("array<double>")]
    return [F.transform(x, integer)]
