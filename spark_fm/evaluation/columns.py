"""The columns that metrics read, checked: by the schema before a job, by value within one."""

from pyspark.ml.functions import vector_to_array
from pyspark.ml.linalg import VectorUDT
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import NumericType

from spark_fm.engine.packing.columns import field_of, quoted


def score_of(dataset: DataFrame, name: str, param: str) -> Column:
    """A column of scores: numbers, in their own type, whose order a double may lose; or of vectors the second entry,
    which is that of label 1.

    Raises
    ------
    ValueError, TypeError
        When there is no such column, or it holds something else.
    """
    found = field_of(dataset, name, param).dataType
    if isinstance(found, VectorUDT):
        return vector_to_array(dataset[quoted(name)])[1]
    if not isinstance(found, NumericType):
        raise TypeError(
            f"{param}: column {name!r} has type {found.simpleString()}, expected a number or a vector"
        )
    return dataset[quoted(name)]


def key_of(dataset: DataFrame, name: str, param: str) -> Column:
    """A column to group by, of any type.

    Raises
    ------
    ValueError
        When there is no such column.
    """
    field_of(dataset, name, param)
    return dataset[quoted(name)]


def count_if(condition: Column) -> Column:
    """The number of rows for which a condition holds."""
    return F.count(F.when(condition, 1))


def is_missing(value: Column) -> Column:
    """Whether a number is null or NaN."""
    return value.isNull() | F.isnan(value.cast("double"))


def refuse(wrong: int, rows: int, param: str, name: str, what: str, expected: str) -> None:
    """Refuse rows of which some are wrong.

    Raises
    ------
    ValueError
        Naming the column, what was found and what was expected; not when none is ``wrong``.
    """
    if wrong:
        raise ValueError(f"{param}: column {name!r} is {what} in {wrong} of {rows} rows, expected {expected}")
