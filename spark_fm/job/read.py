"""Input rows: reading and splitting."""

import os
import re
from pathlib import Path

import pyspark
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import BooleanType

from spark_fm.engine.columns import field_of, quoted
from spark_fm.job.config import Columns, Input, Split, required


def read(spark: SparkSession, source: Input) -> DataFrame:
    """The rows of a path or a table.

    Raises
    ------
    ValueError
        When neither or both are named.
    """
    if source.path and source.table:
        raise ValueError(f"input: found both path and table ({source.table}), expected one of them")
    if source.table:
        return spark.read.options(**source.options).table(source.table)
    path = required(source.path, "input.path", "a path to read, or input.table")
    reader = spark.read.format(source.format).options(**source.options)
    if source.schema:
        reader = reader.schema(source.schema)
    return reader.load(expanded(path))


def expanded(path: str) -> str:
    """A path with ``${pyspark_data}`` replaced by the folder of the sample data that Spark ships.

    Raises
    ------
    ValueError
        When another variable is named, or this installation of Spark has no such folder.
    """
    for name in re.findall(r"\$\{([^}]*)\}", path):
        if name != "pyspark_data":
            raise ValueError(f"input.path: unknown variable ${{{name}}}, expected ${{pyspark_data}}")
        path = path.replace("${pyspark_data}", "file://" + str(_pyspark_data()))
    return path


def _pyspark_data() -> Path:
    # Under spark-submit pyspark is imported from a zip file inside SPARK_HOME.
    home = Path(os.environ.get("SPARK_HOME") or Path(pyspark.__file__).parent)
    if not (home / "data").is_dir():
        raise ValueError(f"input.path: ${{pyspark_data}} stands for {home / 'data'}, which does not exist")
    return home / "data"


def check_columns(data: DataFrame, columns: Columns) -> None:
    """Check that the columns that the config names are there.

    Raises
    ------
    ValueError
        Naming the key and the column that is not; or when no features are named, or both kinds.
    """
    encoded = columns.categorical + columns.numeric
    if bool(encoded) == bool(columns.features):
        found = "both" if encoded else "neither"
        raise ValueError(f"columns: found {found}, expected features, or categorical and numeric")
    for key in ("label", "features", "weight", "validation"):
        if getattr(columns, key):
            field_of(data, getattr(columns, key), f"columns.{key}")
    for key in ("categorical", "numeric"):
        for name in getattr(columns, key):
            field_of(data, name, f"columns.{key}")


def split_rows(data: DataFrame, split: Split) -> tuple[DataFrame, DataFrame | None]:
    """The rows to train on and those held out, None when none are.

    A fraction is drawn by a hash of each row and the seed, so that the same rows are held out whatever the
    number of executors and files, and equal rows are on one side. A null in the column counts as false.

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
        held_out = F.coalesce(data[quoted(split.column)], F.lit(False))
    elif not 0.0 <= split.test < 1.0:
        raise ValueError(f"split.test: found {split.test}, expected a fraction >= 0 and < 1")
    elif split.test == 0.0:
        return data, None
    else:
        columns = [F.col(quoted(name)) for name in data.columns]
        position = F.pmod(F.xxhash64(F.lit(split.seed), *columns), F.lit(2**31))
        held_out = position < split.test * 2**31
    return data.where(~held_out), data.where(held_out)
