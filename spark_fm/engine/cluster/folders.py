"""Folders on any file system that Spark knows: through Hadoop on classic Spark, by reading them on Spark Connect."""

from collections.abc import Iterator
from contextlib import contextmanager
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
