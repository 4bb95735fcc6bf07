"""A job's Spark session."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from pyspark.sql import SparkSession
from pyspark.sql.utils import is_remote

from spark_fm.environment import java_problem


@contextmanager
def open_session(name: str, debug: bool) -> Iterator[SparkSession]:
    """The active session, or a new one that is stopped at the end.

    Raises
    ------
    RuntimeError
        When this process has to start Spark and finds no Java for it.
    """
    active = SparkSession.getActiveSession()
    if active is not None:
        yield active
        return
    spark = _new_session(name, debug)
    try:
        yield spark
    finally:
        spark.stop()


def _new_session(name: str, debug: bool) -> SparkSession:
    builder = SparkSession.builder
    if is_remote():
        return builder.getOrCreate()
    if "PYSPARK_GATEWAY_PORT" not in os.environ:
        problem = java_problem(os.environ.get("JAVA_HOME"), os.environ.get("PATH"))
        if problem:
            raise RuntimeError(problem)
    from pyspark import SparkConf, SparkContext

    # Starts or finds the JVM, so that SparkConf knows what spark-submit was told.
    SparkContext._ensure_initialized()
    given = SparkConf()
    local = given.get("spark.master", "local[*]").startswith("local")
    # Errors reach the user as one sentence; in local mode the executors' stack traces would bury it.
    defaults = {"spark.log.level": "WARN" if debug else "OFF" if local else "ERROR"}
    if local:
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
        defaults |= {"spark.driver.bindAddress": "127.0.0.1", "spark.driver.host": "127.0.0.1"}
    for key, value in defaults.items():
        if not given.contains(key):
            builder = builder.config(key, value)
    # Spark's own progress bar would write over ours; plain Python has it switched on.
    builder = builder.appName(name).config("spark.ui.showConsoleProgress", "false")
    return builder.getOrCreate()
