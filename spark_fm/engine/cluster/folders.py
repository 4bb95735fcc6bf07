"""Folders on any file system that Spark knows: through Hadoop on classic Spark, by reading them on Spark Connect."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import Any

from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from spark_fm.engine.cluster.broadcast import is_connect
from spark_fm.engine.cluster.execute import JOB_ERRORS

NOT_FOUND = "PATH_NOT_FOUND"


@contextmanager
def told(path: str) -> Iterator[None]:
    """What a file system says, as an OSError of one line."""
    try:
        yield
    except JOB_ERRORS as error:
        java = getattr(error, "java_exception", None)
        said = str(error) if java is None else str(java.getMessage() or java)
        raise OSError(f"{path}: {said.strip().partition(chr(10))[0]}") from None


def hadoop(spark: SparkSession, path: str) -> tuple[Any, Any]:
    """Hadoop's file system of a path, and the path as an object of it; classic Spark only."""
    jvm: Any = spark.sparkContext._jvm
    place = jvm.org.apache.hadoop.fs.Path(path)
    configuration = spark._jsparkSession.sessionState().newHadoopConf()
    return place.getFileSystem(configuration), place


def exists(spark: SparkSession, path: str) -> bool:
    """Whether there is anything at a path.

    Raises
    ------
    OSError
        When the file system does not tell: no permission, no such file system.
    """
    with told(path):
        if not is_connect(spark):
            system, place = hadoop(spark, path)
            return bool(system.exists(place))
        try:
            spark.read.text(path).schema  # noqa: B018  reading the schema lists the folder
        except PySparkException as error:
            if NOT_FOUND in str(error):
                return False
            raise
        return True


def holds_something(spark: SparkSession, path: str) -> bool:
    """Whether there is something at a path; an empty folder is nothing, as far as Spark Connect can tell.

    Raises
    ------
    OSError
        As of :func:`exists`.
    """
    there = exists(spark, path)
    if not there or is_connect(spark):
        return there
    with told(path):
        system, place = hadoop(spark, path)
        return not system.getFileStatus(place).isDirectory() or len(system.listStatus(place)) > 0


def remove(spark: SparkSession, path: str) -> None:
    """Remove a file or a folder with all that is in it; nothing happens where there is none, or on Spark Connect.

    Raises
    ------
    OSError
        When the file system refuses.
    """
    if is_connect(spark):
        return
    with told(path):
        system, place = hadoop(spark, path)
        system.delete(place, True)


def files(spark: SparkSession, path: str) -> list[str]:
    """Paths of the files in a folder, hidden ones too; none on Spark Connect.

    Raises
    ------
    OSError
        When the file system refuses.
    """
    if is_connect(spark):
        return []
    with told(path):
        system, place = hadoop(spark, path)
        return [str(found.getPath().toString()) for found in system.listStatus(place) if found.isFile()]


def drop(spark: SparkSession, path: str) -> None:
    """Remove a folder that this package has made, on Spark Connect too.

    A client of Spark Connect reaches no file system. Databricks has dbutils for it; elsewhere the folder becomes that
    of a database for a moment, which is dropped. Where the catalog refuses that, the folder is emptied: one file
    without rows stays.

    Raises
    ------
    OSError
        When the file system refuses.
    """
    if not is_connect(spark):
        remove(spark, path)
        return
    utilities = _utilities_of_databricks(spark)
    if utilities is not None:
        try:
            utilities.fs.rm(path, True)
        except Exception as error:  # Which it is depends on the version of Databricks.
            raise OSError(f"{path}: {str(error).strip().partition(chr(10))[0]}") from None
        return
    with told(path):
        with suppress(PySparkException):
            name = f"spark_fm_{uuid.uuid4().hex}"
            literal = path.replace("\\", "\\\\").replace("'", "\\'")
            spark.sql(f"CREATE DATABASE {name} LOCATION '{literal}'")
            spark.sql(f"DROP DATABASE {name} CASCADE")
        if exists(spark, path):
            spark.range(0).write.mode("overwrite").parquet(path)


def _utilities_of_databricks(spark: SparkSession) -> Any:
    """The dbutils of a session; None where there are none."""
    with suppress(ImportError):
        return import_module("pyspark.dbutils").DBUtils(spark)
    return None
