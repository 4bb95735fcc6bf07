"""The place where the tests of this folder run, by ``--place``: local (as all tests), local-cluster, connect, or
serverless, which is Spark Connect with what Databricks serverless refuses.

The scripts of a cluster import each other by their folder, which is where they are run: they are no tests.
"""

import pytest
from pyspark.sql import SparkSession

from tests.places.serverless import refusing

collect_ignore = ["cluster.py", "kills.py"]
# As for all tests: they are many small jobs.
QUICK = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
PLACES = ("local", "local-cluster", "connect", "serverless")


def pytest_addoption(parser):
    parser.addoption("--place", choices=PLACES, default=PLACES[0])


def local_cluster():
    """Two executors of a core each, which are processes of their own."""
    return (
        SparkSession.builder.master("local-cluster[2,1,1024]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.extraJavaOptions", QUICK)
        .config("spark.executor.extraJavaOptions", QUICK)
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.sql.shuffle.partitions", "2")
        .getOrCreate()
    )


@pytest.fixture(scope="session")
def place(request):
    return request.config.getoption("--place", PLACES[0])


@pytest.fixture(scope="session")
def spark(request, place):
    if place == "local":
        yield request.getfixturevalue("local_spark")
        return
    # SPARK_REMOTE says where the Connect server is.
    session = local_cluster() if place == "local-cluster" else SparkSession.builder.getOrCreate()
    if place == "local-cluster":
        session.sparkContext.setLogLevel("OFF")
    yield session
    session.stop()


@pytest.fixture(autouse=True)
def _refusals(place):
    if place == "serverless":
        with refusing():
            yield
    else:
        yield
