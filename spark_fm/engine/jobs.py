"""Running Spark jobs so that what goes wrong on an executor reaches the user as one sentence."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession

PERSIST_REFUSED = ("NOT_SUPPORTED_WITH_SERVERLESS", "PERSIST TABLE is not supported")


@contextmanager
def plain_errors() -> Iterator[None]:
    """Translate the errors of a Spark job that a user can mend into one sentence.

    Raises
    ------
    RuntimeError
        When the Python on the workers lacks a package, or is of another version than the driver's.
    """
    try:
        yield
    except PySparkException as error:
        text = str(error)
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
    """All rows of a DataFrame on the driver (:func:`plain_errors` applies).

    In Arrow form where Spark can (from 4.0): for large binary values that takes a fifth of the time.
    """
    with plain_errors():
        if hasattr(dataset, "toArrow"):
            rows: list[dict[str, Any]] = dataset.toArrow().to_pylist()
            return rows
        return [row.asDict() for row in dataset.collect()]


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
