"""Input rows: reading them, and whether they have the columns that the config names."""

import os
import re
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import pyspark
from pyspark.errors import ParseException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import BooleanType, DataType

from spark_fm.cli.cells import CATEGORIES, NUMBERS
from spark_fm.cli.config import Columns, Config, Input, required
from spark_fm.cli.errors import reason
from spark_fm.cli.ratings import generated_ratings
from spark_fm.cli.stages import INTERNAL
from spark_fm.engine.cluster.execute import JOB_ERRORS
from spark_fm.engine.encoding.resolve import resolved
from spark_fm.engine.encoding.specs import spec_of
from spark_fm.engine.packing.names import folding

GENERATED = "${generated_ratings}"
EXPECTED: dict[tuple[type[DataType], ...], str] = {
    NUMBERS: "numbers",
    CATEGORIES: "strings, numbers, booleans, dates or timestamps",
    (BooleanType,): "boolean",
}


def read(spark: SparkSession, source: Input, key: str = "input") -> DataFrame:
    """The rows of a path or a table; those of a generator for the path ``${generated_ratings}``.

    ``key`` is the source's table in the config, which errors name.

    Raises
    ------
    ValueError
        When neither or both are named, or Spark can't read it.
    """
    if source.path and source.table:
        raise ValueError(f"{key}: found both path and table ({source.table}), expected one of them")
    if source.path == GENERATED:
        # In one partition, so that the model is the same on any number of cores.
        return spark.createDataFrame(generated_ratings()).coalesce(1)
    if not source.table:
        required(source.path, f"{key}.path", f"a path to read, or {key}.table")
    path = expanded(source.path, f"{key}.path")
    try:
        data = _opened(spark, replace(source, path=path))
        data.schema  # noqa: B018  on Spark Connect this is where the source is looked up
    except JOB_ERRORS as error:
        raise ValueError(_problem(error, replace(source, path=path), key)) from error
    return data


def _opened(spark: SparkSession, source: Input) -> DataFrame:
    if source.table:
        return spark.read.options(**source.options).table(source.table)
    path = source.path
    reader = spark.read.format(source.format).options(**source.options)
    if source.schema:
        reader = reader.schema(source.schema)
    return reader.load(path)


def _problem(error: Exception, source: Input, key: str) -> str:
    """One sentence on why Spark can't read a source."""
    text = str(error)
    if "PATH_NOT_FOUND" in text:
        return f"{key}.path: there is nothing at {source.path}, expected rows to read"
    if "TABLE_OR_VIEW_NOT_FOUND" in text:
        return f"{key}.table: there is no table {source.table}, expected one that Spark knows"
    if "DATA_SOURCE_NOT_FOUND" in text:
        return unknown_format(f"{key}.format", source.format)
    if "UNABLE_TO_INFER_SCHEMA" in text:
        return f"{key}.path: found no {source.format} file with rows in {source.path}, expected one, or {key}.schema"
    if "READ_FILE" in text:
        return f"{key}.format: can't read the files at {source.path} as {source.format}, expected files of that format"
    if isinstance(error, ParseException):
        return f"{key}.schema: found {source.schema!r}, expected names and types as SQL writes them, as in 'user int'"
    return f"{key}: can't be read: {reason(error)}"


def unknown_format(key: str, name: str) -> str:
    """The sentence for a format that Spark does not know."""
    return (
        f"{key}: Spark knows no format {name!r}, expected one such as parquet, csv or json, or the package of this one "
        "(spark-submit --packages)"
    )


def expanded(path: str, key: str = "input.path") -> str:
    """A path with ``${pyspark_data}`` replaced by the folder of the sample data that Spark ships.

    Raises
    ------
    ValueError
        When another variable is named, or this installation of Spark has no such folder.
    """
    for name in re.findall(r"\$\{([^}]*)\}", path):
        if name != "pyspark_data":
            raise ValueError(
                f"{key}: unknown variable ${{{name}}}, expected ${{pyspark_data}}/..., or {GENERATED} alone"
            )
        path = path.replace("${pyspark_data}", "file://" + str(_pyspark_data(key)))
    return path


def _pyspark_data(key: str) -> Path:
    # Under spark-submit pyspark is imported from a zip file inside SPARK_HOME.
    home = Path(os.environ.get("SPARK_HOME") or Path(pyspark.__file__).parent)
    if not (home / "data").is_dir():
        raise ValueError(f"{key}: ${{pyspark_data}} stands for {home / 'data'}, which does not exist")
    return home / "data"


def check_columns(data: DataFrame, config: Config) -> None:
    """Check that the columns that the config names are there, and can be what it says.

    Raises
    ------
    ValueError, TypeError
        Naming the key and the column that is not; or when no features are told, or in two ways.
    """
    columns = config.columns
    encoded = columns.categorical + columns.numeric
    if config.fields:
        if encoded or columns.features:
            key = "features" if columns.features else "categorical" if columns.categorical else "numeric"
            raise ValueError(f"fields: found columns.{key} too, expected one of both to tell the features")
        check_present(data, columns)
        resolved(data, [spec_of(field) for field in config.fields])
        return
    if bool(encoded) == bool(columns.features):
        found = "both" if encoded else "neither"
        raise ValueError(
            f"columns: found {found}, expected features, or categorical and numeric; or [[fields]], which `spark-fm "
            "init` writes for a table"
        )
    check_present(data, columns)


def check_present(data: DataFrame, columns: Columns) -> None:
    """:func:`check_columns` where the model knows its features, so that the config need not name any.

    Raises
    ------
    ValueError
        Naming the key and the column that is not there or of another type.
    """
    types: dict[str, tuple[type[DataType], ...]] = {
        "label": NUMBERS,
        "weight": NUMBERS,
        "numeric": NUMBERS,
        "categorical": CATEGORIES,
        "validation": (BooleanType,),
        "features": (DataType,),
    }
    for key, allowed in types.items():
        names = getattr(columns, key)
        for name in (names,) if isinstance(names, str) else names:
            if name:
                _check_type(data, name, f"columns.{key}", allowed)


def _check_type(data: DataFrame, name: str, key: str, allowed: tuple[type[DataType], ...]) -> None:
    if name not in data.columns:
        found = ", ".join(data.columns)
        hint = ""
        if all(re.fullmatch(r"_c\d+", column) for column in data.columns):
            hint = "; input.schema names a csv's columns, or options = { header = true } when its first line does"
        raise ValueError(f"{key}: there is no column {name!r}; the columns are: {found}{hint}")
    found_type = data.schema[name].dataType
    if not isinstance(found_type, allowed):
        expected = EXPECTED[allowed]
        raise ValueError(f"{key}: column {name!r} has type {found_type.simpleString()}, expected {expected}")


def check_new_columns(data: DataFrame, outputs: Collection[str], cold: str = "") -> None:
    """Check that no column of the input has the name of one that the model writes, nor two of these one name.

    Parameters
    ----------
    cold : the column of cold rows; empty for none

    Raises
    ------
    ValueError
        Naming the column.
    """
    fold = folding(data.sparkSession)
    taken = {fold(name) for name in outputs if name}
    if fold(cold) in taken:
        raise ValueError(
            f"columns.cold: found {cold!r}, which is the name of one that the model adds, expected another name"
        )
    for name in data.columns:
        if fold(name) in taken or (cold and fold(name) == fold(cold)) or name.startswith(INTERNAL):
            raise ValueError(
                f"input: found a column {name!r}, which is the name of one that the model adds, expected another name"
            )
