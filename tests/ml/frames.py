"""DataFrames that several test files make."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from pyspark.ml.linalg import SparseVector, Vectors
from pyspark.sql import DataFrame, SparkSession

from tests.core.planted import ITEMS, USERS, planted

IDS = "features array<int>, label double"


def planted_frame(
    spark: SparkSession, rows: int, seed: int = 0, binary: bool = False, partitions: int = 2
) -> DataFrame:
    """Rows of a known model: `features` (user and item ids), label; persist it to make it only once."""
    ids, label = planted(rows, seed, binary=binary)
    data = [(row, float(y)) for row, y in zip(ids.tolist(), label, strict=True)]
    return spark.createDataFrame(data, IDS).coalesce(partitions)


def one_hot(ids: Sequence[int], size: int = USERS + ITEMS) -> SparseVector:
    return Vectors.sparse(size, sorted(ids), [1.0] * len(ids))


def unchecked(size: int, indices: list[int], values: list[float]) -> SparseVector:
    """A vector that its constructor would refuse."""
    vector = Vectors.sparse(size, [], [])
    vector.indices, vector.values = np.array(indices, np.int32), np.array(values)
    return vector


def mean_squared_error(scored: DataFrame) -> float:
    rows = scored.select("label", "prediction").collect()
    return float(np.mean([(row.label - row.prediction) ** 2 for row in rows]))


def log_loss(scored: DataFrame) -> float:
    rows = scored.select("label", "probability").collect()
    return float(-np.mean([np.log(row.probability[int(row.label)]) for row in rows]))


def assert_same_weights(found: Any, expected: Any) -> None:
    for name in ("features", "linear", "factors"):
        np.testing.assert_array_equal(getattr(found.weights, name), getattr(expected.weights, name))
    assert found.weights.intercept == expected.weights.intercept
    assert found.numFeatures == expected.numFeatures


def differ(found: Any, expected: Any) -> bool:
    try:
        assert_same_weights(found, expected)
    except AssertionError:
        return True
    return False
