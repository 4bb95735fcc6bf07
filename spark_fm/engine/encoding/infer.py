"""Fields for a table of which no one has told any: kinds from the types of its columns and from a look at the data."""

import logging
from collections.abc import Sequence

from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F
from pyspark.sql.types import (
    ArrayType,
    BooleanType,
    DataType,
    DateType,
    IntegralType,
    MapType,
    NumericType,
    StringType,
)

from spark_fm.engine.cluster.execute import collect
from spark_fm.engine.encoding.canonical import TIMES
from spark_fm.engine.encoding.inputs import expected_of
from spark_fm.engine.encoding.specs import (
    FieldSpec,
    buckets,
    categorical,
    date_parts,
    numeric,
    set_of,
    weighted,
)
from spark_fm.engine.packing.columns import field_of, quoted

logger = logging.getLogger("spark_fm")

FEW_VALUES = 32
NAMES_OF_KEYS = ("id", "key", "code", "no", "nr", "zip")
NEARLY_ALL = 0.9
ROWS_TO_TELL = 100


def infer_fields(
    dataset: DataFrame, columns: Sequence[str] | None = None, exclude: Sequence[str] = ()
) -> list[FieldSpec]:
    """Fields for the columns of a table, as a list to look at, to change, and to give to ``FieldEncoder(fields=...)``.

    Strings and booleans are categorical; integers too, where they have at most 32 values or a name that ends like that
    of a key (id, key, code, no, nr, zip), else they are cut into buckets; other numbers are numeric; dates and
    timestamps give their parts; arrays are sets of value 1 / sqrt(n); maps to numbers are weighted. Left out, with a
    line in the log, is what says nothing: a column of one value, or of strings that are another one in nearly each row.

    Parameters
    ----------
    columns : which columns; all of them unless given
    exclude : columns to leave out, such as the label

    Raises
    ------
    ValueError
        When there is no such column.
    """
    for name in (*(columns or ()), *exclude):
        field_of(dataset, name, "fields")
    chosen = [name for name in (columns or dataset.columns) if name not in exclude]
    kinds = {name: field_of(dataset, name, "fields").dataType for name in chosen}
    counted = {
        name: kind for name, kind in kinds.items() if isinstance(kind, StringType | NumericType | BooleanType)
    }
    totals = [F.count(F.lit(1)).alias("rows")]
    for i, name in enumerate(counted):
        x: Column = F.col(quoted(name))
        totals += [F.approx_count_distinct(x).alias(f"values{i}"), F.count(x).alias(f"known{i}")]
    row = collect(dataset.agg(*totals))[0]
    found = []
    for name in chosen:
        place = list(counted).index(name) if name in counted else -1
        spec, why = _spec(name, kinds[name], row, place)
        if spec is None:
            logger.info("fields: column %r is left out: %s", name, why)
        else:
            found.append(spec)
    return found


def _spec(name: str, kind: DataType, row: "Row | dict[str, int]", place: int) -> tuple[FieldSpec | None, str]:
    """The field of a column, or none and why."""
    if place >= 0:
        values, known = row[f"values{place}"], row[f"known{place}"]
        if values < 2 and known == row["rows"]:
            return None, "it has one value"
        if known == 0:
            return None, "it is null in all rows"
        if isinstance(kind, StringType) and known > ROWS_TO_TELL and values > NEARLY_ALL * known:
            return None, "nearly each row has another value"
        if isinstance(kind, IntegralType) and values > FEW_VALUES and not _is_key(name):
            return buckets(name), ""
        if isinstance(kind, NumericType) and not isinstance(kind, IntegralType):
            return numeric(name), ""
        return categorical(name), ""
    if isinstance(kind, (*TIMES, DateType)):
        return date_parts(name), ""
    if isinstance(kind, ArrayType) and not expected_of("set", kind):
        return set_of(name, value="1/sqrt(n)"), ""
    if isinstance(kind, MapType) and not expected_of("weighted", kind):
        return weighted(name), ""
    return None, f"its type is {kind.simpleString()}"


def _is_key(name: str) -> bool:
    return name.lower().endswith(NAMES_OF_KEYS)
