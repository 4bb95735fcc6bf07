"""Cells that are read as something else than their column's type says: lists in text, numbers that count time."""

from collections.abc import Mapping
from typing import Any

from pyspark.sql.types import ArrayType, DataType, NumericType, StringType, TimestampType

from spark_fm.engine.encoding.parts import UNITS
from spark_fm.engine.packing.columns import quoted

# Seconds from 1970 that a timestamp of Spark can hold, in the years 1 to 9999.
LEAST, MOST = -62_135_596_800, 253_402_300_799


def cell_of(column: str, options: Mapping[str, Any]) -> str:
    """The SQL of a cell: an array of the elements where there is a separator, a timestamp where there is a unit."""
    cell, separator, unit = quoted(column), options.get("separator"), options.get("unit")
    if separator is not None:
        # By their numbers, letters are none of a pattern's, and none of SQL's.
        pattern = "".join(f"\\x{{{ord(letter):x}}}" for letter in separator)
        parts = f"transform(split({cell}, r'{pattern}'), e -> trim(e))"
        return f"filter({parts}, e -> e <> '')"
    if unit is not None:
        seconds = f"CAST({cell} AS DOUBLE) / {UNITS[unit]}D"
        return f"timestamp_seconds(CASE WHEN {seconds} BETWEEN {LEAST} AND {MOST} THEN {seconds} END)"
    return cell


def type_read(found: DataType, options: Mapping[str, Any]) -> tuple[DataType, str]:
    """The type of :func:`cell_of`, and what was expected of the column where it can't be read so ("": it can)."""
    if options.get("separator") is not None:
        return ArrayType(StringType()), "" if isinstance(
            found, StringType
        ) else "a string, which the separator splits"
    if options.get("unit") is not None:
        return TimestampType(), "" if isinstance(
            found, NumericType
        ) else "a number, which counts time in the unit"
    return found, ""
