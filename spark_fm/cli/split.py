"""Which rows are held out of training."""

from collections.abc import Collection

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import BooleanType

from spark_fm.cli.config import Columns, Split
from spark_fm.engine.packing.columns import field_of, quoted

PLACES = 2**31


def not_hashed(columns: Columns) -> tuple[str, ...]:
    """The columns that the split does not look at: whether a row is held out must tell nothing of its label."""
    return tuple(name for name in (columns.label, columns.weight, columns.validation) if name)


def row_hash(data: DataFrame, split: Split, apart: Collection[str]) -> Column:
    """A hash of the seed and of every column but those ``apart`` (and maps, which Spark can't hash), in the order of
    their names.

    Raises
    ------
    ValueError
        When no column is left.
    """
    names = sorted(
        field.name
        for field in data.schema.fields
        if field.name not in apart and "map<" not in field.dataType.simpleString()
    )
    if not names:
        raise ValueError(
            "split.test: found no column to tell rows by beside label, weight and validation, expected one; or a "
            "boolean split.column"
        )
    return F.xxhash64(F.lit(split.seed), *(data[quoted(name)] for name in names))


def held_out_rows(data: DataFrame, split: Split, apart: Collection[str]) -> Column | None:
    """Whether a row is held out; None when none is.

    A fraction is drawn by :func:`row_hash`, so that the same rows are held out whatever the number of executors and
    files, rows that differ in nothing but label, weight or validation are on one side, and the label has no part in
    it. A null in the column counts as false.

    Raises
    ------
    ValueError
        When the fraction is not in [0, 1), or the column is missing or not boolean.
    """
    if split.column:
        found = field_of(data, split.column, "split.column").dataType
        if not isinstance(found, BooleanType):
            raise ValueError(
                f"split.column: column {split.column!r} has type {found.simpleString()}, expected boolean"
            )
        return F.coalesce(data[quoted(split.column)], F.lit(False))
    if not 0.0 <= split.test < 1.0:
        raise ValueError(f"split.test: found {split.test}, expected a fraction >= 0 and < 1")
    if split.test == 0.0:
        return None
    return F.pmod(row_hash(data, split, apart), F.lit(PLACES)) < split.test * PLACES


def split_rows(data: DataFrame, held_out: Column | None) -> tuple[DataFrame, DataFrame | None]:
    """The rows to train on and those held out, None when none are."""
    if held_out is None:
        return data, None
    return data.where(~held_out), data.where(held_out)
