"""Running Spark jobs so that what goes wrong on an executor reaches the user as one sentence."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Lock
from typing import Any

import pyarrow as pa
from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession

BATCH_SIZE = "spark.sql.execution.arrow.maxRecordsPerBatch"
ROWS_A_BATCH = 4
PERSIST_REFUSED = ("NOT_SUPPORTED_WITH_SERVERLESS", "PERSIST TABLE is not supported")


@contextmanager
def plain_errors() -> Iterator[None]:
    """Translate the errors of a Spark job that a user can mend into one sentence.

    Raises
    ------
    RuntimeError
        When the Python on the workers lacks a package, or is of another version than the driver's; when the input
        changed between two computations.
    """
    try:
        yield
    except (PySparkException, Py4JJavaError) as error:
        text = str(error)
        changed = re.search(r"InputChangedError: (.+)", text)
        if changed:
            raise RuntimeError(changed.group(1).strip()) from None
        missing = re.search(r"No module named '([^']+)'", text)
        worker = os.environ.get("PYSPARK_PYTHON", "python3")
        if missing:
            package = missing.group(1).split(".")[0]
            raise RuntimeError(
                f"the Python on the workers ({worker}) has no package {package!r}: install spark_fm there, "
                "or set PYSPARK_PYTHON to a Python that has it"
            ) from None
        if "PYTHON_VERSION_MISMATCH" in text:
            raise RuntimeError(
                f"the Python on the workers ({worker}) is of another version than the driver's: set "
                "PYSPARK_PYTHON and PYSPARK_DRIVER_PYTHON to the same one"
            ) from None
        raise


def collect(dataset: DataFrame) -> list[dict[str, Any]]:
    """All rows of a DataFrame on the driver (:func:`plain_errors` applies)."""
    return [row for batch in collect_batches(dataset) for row in batch.to_pylist()]


_sizes_lock = Lock()
_sizes_before: dict[SparkSession, tuple[int, str | None]] = {}


@contextmanager
def small_batches(spark: SparkSession) -> Iterator[None]:
    """Within it, Spark sends the rows of a partition to Python a few at a time.

    A row of ours is a block of thousands of the user's. Spark's 10,000 rows at a time would make one
    batch of a whole partition: no row is trained on before all have arrived, and copying batches that large takes
    twice as long. The setting is the session's; the last to leave puts it back.
    """
    with _sizes_lock:
        users, before = _sizes_before.get(spark, (0, spark.conf.get(BATCH_SIZE, None)))
        _sizes_before[spark] = (users + 1, before)
        _set_or_leave(spark, str(ROWS_A_BATCH))
    try:
        yield
    finally:
        with _sizes_lock:
            users, before = _sizes_before.pop(spark)
            if users > 1:
                _sizes_before[spark] = (users - 1, before)
            else:
                _set_or_leave(spark, before)


def _set_or_leave(spark: SparkSession, value: str | None) -> None:
    """Some platforms let nobody change settings: then batches are as large as they are."""
    with suppress(PySparkException):
        if value is None:
            spark.conf.unset(BATCH_SIZE)
        else:
            spark.conf.set(BATCH_SIZE, value)


def collect_batches(dataset: DataFrame) -> list[pa.RecordBatch]:
    """All rows of a DataFrame on the driver (:func:`plain_errors` applies), in Arrow form.

    Spark sends them in that form from 4.0 on: for large binary values that takes a fifth of the time.
    """
    with plain_errors():
        if hasattr(dataset, "toArrow"):
            batches: list[pa.RecordBatch] = dataset.toArrow().to_batches()
            return batches
        rows = [row.asDict() for row in dataset.collect()]
        return [pa.RecordBatch.from_pylist(rows)] if rows else []


def persist(dataset: DataFrame) -> DataFrame:
    """Persist a DataFrame; where the platform has no caching, it is computed again for each job."""
    try:
        return dataset.persist()
    except PySparkException as error:
        if any(sign in str(error) for sign in PERSIST_REFUSED):
            return dataset
        raise


def parallelism(spark: SparkSession, otherwise: int) -> int:
    """How many tasks can run at once; ``otherwise`` where the session can't tell (Spark Connect)."""
    from spark_fm.engine.transport import is_connect

    if is_connect(spark):
        return max(1, otherwise)
    return max(1, spark.sparkContext.defaultParallelism)
