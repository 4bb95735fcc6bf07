import numpy as np
import pytest
from pyspark.ml.linalg import Vectors

from spark_fm.core.loss import Loss
from spark_fm.core.settings import Scale, Settings
from spark_fm.engine.dataset import PackedData
from spark_fm.engine.request import Columns

ROWS = [([i % 4, 4 + i % 3], float(i), 1.0 + i % 2, i % 5 == 0) for i in range(20)]


@pytest.fixture(scope="module")
def frame(spark):
    return spark.createDataFrame(ROWS, "x array<int>, y double, c double, held boolean")


def test_statistics_are_those_of_the_training_rows(frame):
    with PackedData.of(frame, Columns("x", "y", "c", "held")) as packed:
        found = packed.statistics
    training = [row for row in ROWS if not row[3]]
    y, c = np.array([row[1] for row in training]), np.array([row[2] for row in training])
    assert (found.rows, found.training_rows, found.validation_rows) == (20, 16, 4)
    assert (found.nonzeros, found.active) == (40, 2.0)
    assert found.weight_sum == c.sum()
    assert found.label_mean == pytest.approx(np.average(y, weights=c))
    assert found.label_variance == pytest.approx(np.average((y - found.label_mean) ** 2, weights=c))
    assert (found.label_min, found.label_max) == (1.0, 19.0)
    assert (found.num_features, found.has_values) == (7, False)
    assert packed.kind == "ids"


def test_variance_of_labels_far_from_zero_does_not_cancel(spark):
    frame = spark.createDataFrame([([0], 1e9 + i % 2) for i in range(40)], "x array<int>, y double")
    with PackedData.of(frame.repartition(3), Columns("x", "y")) as packed:
        assert packed.statistics.label_variance == pytest.approx(0.25)


def test_size_of_vectors_is_the_number_of_features(spark):
    frame = spark.createDataFrame([(Vectors.sparse(1000, [3], [2.0]), 1.0)], ["x", "y"])
    with PackedData.of(frame, Columns("x", "y")) as packed:
        assert packed.statistics.num_features == 1000
        assert packed.statistics.has_values
        assert packed.kind == "vector"


def test_scale_is_that_of_the_statistics(frame):
    with PackedData.of(frame, Columns("x", "y", "c")) as packed:
        found = packed.statistics.scale(Settings(Loss.SQUARED))
        assert found == Scale.of(
            Settings(Loss.SQUARED), 1.5, packed.statistics.label_mean, packed.statistics.label_variance, 2.0
        )


def test_units_are_made_once_for_each_division_and_seed(frame, persisted_count):
    before = persisted_count()
    with PackedData.of(frame, Columns("x", "y")) as packed:
        first = packed.units(2, 2, 0.1, seed=1)
        second, third = packed.units(2, 2, 0.1, seed=2), packed.units(3, 2, 0.1, seed=1)
        assert packed.units(2, 2, 0.1, seed=1) is first
        assert len({id(first), id(second), id(third)}) == 3
        assert [units.rdd.count() for units in (first, second, third)] == [4, 4, 6]
        assert persisted_count() == before + 4
    assert persisted_count() == before


def test_release_can_be_repeated(frame, persisted_count):
    before = persisted_count()
    packed = PackedData.of(frame, Columns("x", "y"))
    packed.units(2, 1, 0.0, seed=0).rdd.count()
    assert persisted_count() == before + 2
    packed.release()
    packed.release()
    assert persisted_count() == before


@pytest.fixture
def persisted_count(spark):
    return lambda: spark.sparkContext._jsc.getPersistentRDDs().size()
