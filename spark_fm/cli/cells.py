"""What a cell of a column means, in SQL: as a category, a number or a label.

The SQL of categories and numbers becomes part of the saved pipeline, so it also holds where rows are scored.
"""

from contextlib import suppress
from decimal import Decimal, InvalidOperation
from math import isfinite

from pyspark.sql.types import (
    BooleanType,
    CharType,
    DataType,
    DateType,
    DoubleType,
    FloatType,
    IntegralType,
    NumericType,
    StringType,
    TimestampNTZType,
    TimestampType,
)

from spark_fm.engine.encoding.canonical import sort_of, text_of, text_of_any_number
from spark_fm.engine.packing.columns import quoted

EMPTY_CATEGORY = "="
CATEGORIES = (StringType, NumericType, BooleanType, DateType, TimestampType, TimestampNTZType)
NUMBERS = (StringType, NumericType, BooleanType)
LARGEST = "3.4028234663852886E38D"  # of float32, in which training computes
TYPES_HINT = "a csv's types come from input.schema or from its option inferSchema"


def literal(text: str) -> str:
    """A string as SQL writes it."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def category(name: str, data_type: DataType) -> str:
    """The category of a cell, a string that is never empty, as OneHotEncoder requires.

    It is the text of the cell's value that docs/features.md describes. An empty cell (null, NaN or an empty string) is
    a category of its own. A column that is scored may have another type than that of training, ``data_type``, as long
    as its values can be the same.
    """
    cell, sort = quoted(name), sort_of(data_type)
    text = text_of_any_number(cell)
    if isinstance(data_type, CharType):
        text = f"trim(TRAILING ' ' FROM {text})"
    if sort == "timestamp":
        text = text_of(f"CAST({cell} AS TIMESTAMP)", TimestampType())
    # A string tells no time zone, so it stands for no timestamp.
    same = {"string": "<> 'timestamp'", "timestamp": "= 'timestamp'"}.get(sort, f"IN ('{sort}', 'string')")
    expected = f" in column {name!r}, expected values of the sort that the model was trained on ({sort})"
    refused = f"raise_error(concat('columns.categorical: found ', typeof({cell}), {literal(expected)}))"
    return f"concat('{EMPTY_CATEGORY}', coalesce(CASE WHEN {_sort(cell)} {same} THEN {text} ELSE {refused} END, ''))"


def _sort(cell: str) -> str:
    """:func:`spark_fm.engine.encoding.canonical.sort_of` the type that a cell has when the query runs."""
    found, numbers = f"typeof({cell})", "'tinyint', 'smallint', 'int', 'bigint', 'float', 'double'"
    return (
        f"CASE WHEN {found} IN ('boolean', 'date', 'timestamp', 'timestamp_ntz') THEN {found}"
        f" WHEN {found} IN ({numbers}) OR {found} LIKE 'decimal%' THEN 'number' ELSE 'string' END"
    )


def is_number(name: str) -> str:
    """Whether a cell is a number that training can hold, or a string of one; never null."""
    return f"coalesce(abs(try_cast({quoted(name)} AS DOUBLE)) <= {LARGEST}, false)"


def is_empty(name: str) -> str:
    """Whether a cell that should be a number or a label is null, NaN or an empty string."""
    cell = quoted(name)
    return f"({cell} IS NULL OR NOT {is_number(name)} AND lower(trim(CAST({cell} AS STRING))) IN ('', 'nan'))"


def number(name: str, fill: float | None) -> str:
    """The number in a cell, ``fill`` in an empty one; the query fails with one sentence where there is none."""
    cell = quoted(name)
    found = f"coalesce(nullif(trim(CAST({cell} AS STRING)), ''), 'an empty cell')"
    expected = f" in column {name!r}, expected a number; columns.fill says what an empty cell stands for"
    refused = f"raise_error(concat('columns.numeric: found ', {found}, {literal(expected)}))"
    if fill is not None:
        refused = f"CASE WHEN {is_empty(name)} THEN {float(fill)!r}D ELSE {refused} END"
    return f"CASE WHEN {is_number(name)} THEN try_cast({cell} AS DOUBLE) ELSE {refused} END"


def label_number(name: str, data_type: DataType, positive: str) -> str:
    """The label as a number: 1 where it is ``positive`` and 0 where not, if that is given; null where there is none.

    Raises
    ------
    ValueError
        When ``positive`` can't be a value of a column of this type.
    """
    cell = quoted(name)
    if not positive:
        return f"CASE WHEN {is_number(name)} THEN try_cast({cell} AS DOUBLE) END"
    value = _value(name, data_type, positive)
    return f"CASE WHEN NOT {is_empty(name)} THEN CAST({cell} = {value} AS DOUBLE) END"


def _value(name: str, data_type: DataType, positive: str) -> str:
    """The label that counts as 1 as a literal of the column's type: 2^60 and 2^60 + 1 are one double."""
    if isinstance(data_type, StringType):
        return literal(positive)
    expected = "true or false"
    if isinstance(data_type, BooleanType):
        if positive.lower() in ("true", "false"):
            return positive.lower()
    elif isinstance(data_type, FloatType | DoubleType):
        expected = "a finite number"
        with suppress(ValueError):
            if isfinite(float(positive)):
                return f"CAST({float(positive)!r}D AS {data_type.simpleString()})"
    else:
        expected = "an integer" if isinstance(data_type, IntegralType) else "a number of at most 38 digits"
        with suppress(InvalidOperation):
            found = Decimal(positive)
            if (
                found.is_finite()
                and -38 < found.adjusted() < 38
                and not (isinstance(data_type, IntegralType) and found % 1)
            ):
                # normalize() would round to 28 digits.
                digits = f"{found:f}"
                digits = digits.rstrip("0").rstrip(".") if "." in digits else digits
                if sum(letter.isdigit() for letter in digits) <= 38:
                    return f"{digits}BD"
    raise ValueError(
        f"columns.positive: found {positive!r}, expected {expected} as in column {name!r}, which has type "
        f"{data_type.simpleString()}"
    )
