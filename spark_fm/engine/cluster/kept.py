"""Rows that are computed once: in Spark's cache, or as Parquet in a folder that the user names."""

import re
import uuid
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from pyspark.sql import DataFrame

from spark_fm.engine.cluster.broadcast import context_of
from spark_fm.engine.cluster.execute import (
    JOB_ERRORS,
    KEPT,
    plain_errors,
    stoppable,
    tried_to_persist,
    unpersist,
)
from spark_fm.engine.cluster.folders import drop, told

OF_FILES = re.compile(
    "IOException|Mkdirs|NotDirectory|Access ?Denied|AccessControl|Permission denied|FileSystem|Forbidden",
    re.IGNORECASE,
)
BEGINNING = 500
NOT_KEPT = (
    "cacheDir: this cluster refuses to cache, so that {} and packs the rows again; expected a folder that all its "
    "machines reach (a volume, DBFS, S3), where a fit keeps what it has packed until its end"
)


@dataclass
class Kept:
    """The rows of a DataFrame, for several jobs, until they are released.

    Attributes
    ----------
    frame : the rows
    folder : where they lie as Parquet; empty for Spark's cache
    lasts : False where the platform refuses to cache: each job computes them again
    released : whether they have been
    """

    frame: DataFrame
    folder: str
    lasts: bool
    released: bool = False

    def release(self) -> None:
        """Give back the memory, or remove the folder; where that is refused, a warning says what stays."""
        if self.released:
            return
        self.released = True
        if not self.folder:
            unpersist(self.frame)
            return
        try:
            drop(self.frame.sparkSession, self.folder)
        except OSError as error:
            warnings.warn(f"cacheDir: expected to remove what the fit has kept, found {error}", stacklevel=2)


def keep(frame: DataFrame, schema: str, cache_dir: str, by: Sequence[str] = ()) -> Kept:
    """Keep rows below ``cache_dir``, in a folder of their own, which exist when it returns; without one in Spark's
    cache, where the first job brings them.

    Parameters
    ----------
    schema : the rows' columns as DDL
    by : the columns of which a job reads one value or a few; they come last in the rows that are kept in a folder

    Raises
    ------
    OSError
        When the folder can't be written to.
    """
    if not cache_dir:
        return Kept(frame, "", tried_to_persist(frame))
    spark = frame.sparkSession
    folder = f"{cache_dir.rstrip('/')}/{KEPT}{uuid.uuid4().hex}"
    kept = Kept(frame, folder, True)
    try:
        context = context_of(spark)
        with _told_of(folder), plain_errors(context), stoppable(context):
            frame.write.partitionBy(*by).parquet(folder)
        kept.frame = spark.read.schema(schema).parquet(folder)
    except BaseException:
        kept.release()
        raise
    return kept


@contextmanager
def _told_of(folder: str) -> Iterator[None]:
    """What a file system says is an OSError of one line; what is wrong with the rows is told as it is."""
    try:
        yield
    except JOB_ERRORS as error:
        if not OF_FILES.search(str(error)[:BEGINNING]):
            raise
        with told(f"cacheDir: {folder}"):
            raise


def warn_not_kept(again: str) -> None:
    """Warn that rows are computed ``again``, as in "every round reads", where a folder would spare it."""
    warnings.warn(NOT_KEPT.format(again), stacklevel=2)
