"""One SparkSession for all tests and for the examples in docstrings, which call it ``spark``."""

import os
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from pyspark.sql import SparkSession

os.environ["PYSPARK_PYTHON"] = sys.executable
os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable


@pytest.fixture(scope="session")
def local_spark() -> Iterator[SparkSession]:
    """One session for all tests."""
    session = (
        SparkSession.builder.master("local[2]")
        .appName("spark_fm tests")
        .config("spark.ui.enabled", "false")
        # Tests are many small jobs: what the JVM's second compiler would gain it never earns back.
        .config("spark.driver.extraJavaOptions", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.sql.shuffle.partitions", "2")
        .getOrCreate()
    )
    session.sparkContext.setLogLevel("OFF")
    yield session
    session.stop()


@pytest.fixture(scope="session")
def spark(local_spark: SparkSession) -> SparkSession:
    """A test's session; tests/places has others."""
    return local_spark


@pytest.fixture(autouse=True)
def _spark_of_examples(request: pytest.FixtureRequest, doctest_namespace: dict[str, Any]) -> None:
    if isinstance(request.node, pytest.DoctestItem):
        doctest_namespace["spark"] = request.getfixturevalue("spark")
