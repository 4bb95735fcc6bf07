"""Models and frames that several test files read; whoever changes one works on a copy."""

import pytest

from spark_fm import FMClassifier, FMRegressor
from tests.ml.frames import planted_frame


@pytest.fixture(scope="session")
def planted(spark):
    """2,000 rows of a known model: features (ids), label."""
    frame = planted_frame(spark, 2000).persist()
    frame.count()
    yield frame
    frame.unpersist()


@pytest.fixture(scope="session")
def fresh(spark):
    """Another 500 rows of the same model."""
    frame = planted_frame(spark, 500, seed=1).persist()
    frame.count()
    yield frame
    frame.unpersist()


@pytest.fixture(scope="session")
def small(planted):
    """200 of the rows."""
    frame = planted.limit(200).coalesce(1).persist()
    frame.count()
    yield frame
    frame.unpersist()


@pytest.fixture(scope="session")
def planted_classes(spark):
    frame = planted_frame(spark, 2000, binary=True).persist()
    frame.count()
    yield frame
    frame.unpersist()


@pytest.fixture(scope="session")
def rating_model(ratings):
    return FMRegressor(factorSize=3, maxIter=5, initStd=0.3, seed=1).fit(ratings)


@pytest.fixture(scope="session")
def planted_model(planted):
    return FMRegressor(factorSize=4, regParamLinear=0.0, regParamFactors=0.002, seed=1).fit(planted)


@pytest.fixture(scope="session")
def binary_model(binary):
    return FMClassifier(factorSize=3, maxIter=5, initStd=0.1, seed=1).fit(binary)


@pytest.fixture
def persisted(spark):
    """How many DataFrames and RDDs are persisted now, a function; a test compares before and after."""

    def count() -> int:
        return spark.sparkContext._jsc.getPersistentRDDs().size()

    return count
