"""Shared fixtures: the data that pyspark ships. The Spark session is in the conftest.py beside the package."""

import os
from collections.abc import Iterator
from pathlib import Path

import pyspark
import pytest
from hypothesis import settings
from pyspark.ml.linalg import Vectors
from pyspark.sql import DataFrame, SparkSession

# The first call of a numba function compiles it: no deadline. The same examples every time; to search for new
# ones: HYPOTHESIS_PROFILE=thorough.
settings.register_profile("default", deadline=None, max_examples=60, derandomize=True)
settings.register_profile("thorough", deadline=None, max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

MLLIB_DATA = Path(pyspark.__file__).parent / "data" / "mllib"


def movielens_rows() -> list[tuple[int, int, float]]:
    """(user, item, rating) of the MovieLens sample that pyspark ships."""
    lines = (MLLIB_DATA / "als" / "sample_movielens_ratings.txt").read_text().splitlines()
    fields = (line.split("::") for line in lines)
    return [(int(user), int(item), float(rating)) for user, item, rating, _ in fields]


@pytest.fixture(scope="session")
def ratings(spark: SparkSession) -> Iterator[DataFrame]:
    """The MovieLens sample: features (30 users and 100 items, one-hot), label, and `is_test`, a fifth of the rows."""
    rows = [
        (Vectors.sparse(130, [user, 30 + item], [1.0, 1.0]), rating, i % 5 == 0)
        for i, (user, item, rating) in enumerate(movielens_rows())
    ]
    frame = spark.createDataFrame(rows, ["features", "label", "is_test"]).coalesce(2).persist()
    frame.count()
    yield frame
    frame.unpersist()


@pytest.fixture(scope="session")
def binary(spark: SparkSession) -> Iterator[DataFrame]:
    """pyspark's binary classification sample: 100 rows, 692 features, labels 0 and 1."""
    path = str(MLLIB_DATA / "sample_binary_classification_data.txt")
    frame = spark.read.format("libsvm").option("numFeatures", "692").load(path).persist()
    frame.count()
    yield frame
    frame.unpersist()
