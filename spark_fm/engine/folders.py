"""Folders on any file system that Spark knows: through Hadoop on classic Spark, by reading them on Spark Connect."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from spark_fm.engine.jobs import JOB_ERRORS
from spark_fm.engine.transport import is_connect

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


def _at(spark: SparkSession, path: str) -> tuple[Any, Any]:
    """Hadoop's file system and path."""
    jvm: Any = spark.sparkContext._jvm
    place = jvm.org.apache.hadoop.fs.Path(path)
    return place.getFileSystem(spark.sparkContext._jsc.hadoopConfiguration()), place


def holds_something(spark: SparkSession, path: str) -> bool:
    """Whether there is something at a path; an empty folder is nothing.

    Raises
    ------
    OSError
        When the file system does not tell: no permission, no such file system.
    """
    with told(path):
        if is_connect(spark):
            try:
                spark.read.text(path).schema  # noqa: B018  reading the schema lists the folder
            except PySparkException as error:
                if NOT_FOUND in str(error):
                    return False
                raise
            return True
        system, place = _at(spark, path)
        return bool(system.exists(place)) and (
            not system.getFileStatus(place).isDirectory() or bool(system.listStatus(place))
        )


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
        system, place = _at(spark, path)
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
        system, place = _at(spark, path)
        return [str(found.getPath().toString()) for found in system.listStatus(place) if found.isFile()]
