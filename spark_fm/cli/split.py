"""Which rows are held out of training."""

from collections.abc import Collection
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import BooleanType

from spark_fm.cli.config import Columns, Split
from spark_fm.engine.packing.columns import field_of, quoted
from spark_fm.evaluation.splits import PART, hash_of, is_last, time_parts

PLACES = 2**31


@dataclass(frozen=True)
class Marked:
    """Rows, whether one is ``held_out`` (None: none is), and what a random fraction was drawn by (None: none was)."""

    rows: DataFrame
    held_out: Column | None = None
    drawn: Column | None = None

    def split(self) -> tuple[DataFrame, DataFrame | None]:
        """The rows to train on and those held out, None when none are."""
        if self.held_out is None:
            return self.rows, None
        return self.rows.where(~self.held_out).drop(PART), self.rows.where(self.held_out).drop(PART)


def not_hashed(columns: Columns) -> tuple[str, ...]:
    """The columns that the split does not look at: whether a row is held out must tell nothing of its label."""
    return tuple(name for name in (columns.label, columns.weight, columns.validation) if name)


def marked(data: DataFrame, split: Split, apart: Collection[str]) -> Marked:
    """Which rows are held out.

    A fraction is drawn by a hash of the seed and of every column but those ``apart`` (and maps), so that the same rows
    are held out whatever the number of executors and files, rows that differ in nothing but label, weight or validation
    are on one side, and the label has no part in it. By time, ties of a user are broken by a hash of the same columns.
    A null in ``split.column`` counts as false.

    Raises
    ------
    ValueError, TypeError
        When the fraction is not in [0, 1), a column is missing or of another type, a time or a user is null, or no
        column is left to hash.
    """
    if split.column:
        found = field_of(data, split.column, "split.column").dataType
        if not isinstance(found, BooleanType):
            raise ValueError(
                f"split.column: column {split.column!r} has type {found.simpleString()}, expected boolean"
            )
        return Marked(data, F.coalesce(data[quoted(split.column)], F.lit(False)))
    if not 0.0 <= split.test < 1.0:
        raise ValueError(f"split.test: found {split.test}, expected a fraction >= 0 and < 1")
    if split.test == 0.0:
        return Marked(data)
    if split.kind == "random":
        drawn = hash_of(data, apart, split.seed)
        if drawn is None:
            raise ValueError(
                "split.test: found no column to tell rows by beside label, weight and validation, expected one; or a "
                "boolean split.column"
            )
        return Marked(data, F.pmod(drawn, F.lit(PLACES)) < split.test * PLACES, drawn)
    if split.kind == "last":
        held_out = is_last(data, split.user, split.time, split.rows, apart)
    else:
        held_out = time_parts(data, split.time, (1.0 - split.test, split.test), split.user, apart) == 1
    # It looks at other rows too: such a column can't stand in a condition.
    return Marked(data.withColumn(PART, held_out), F.col(PART))
