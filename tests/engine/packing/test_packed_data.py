from dataclasses import replace

import numpy as np
import pytest
from pyspark.ml.linalg import Vectors
from pyspark.sql import functions as F

from spark_fm.core.fm.losses import SQUARED
from spark_fm.core.fm.settings import Scale, Settings
from spark_fm.core.sparse.block import Block
from spark_fm.engine.cluster.execute import collect
from spark_fm.engine.packing.census import Census
from spark_fm.engine.packing.input_columns import InputColumns
from spark_fm.engine.packing.packed_data import PackedData

SETTINGS = Settings(SQUARED)
ROWS = [([i % 4, 4 + i % 3], float(i), 1.0 + i % 2, i % 5 == 0) for i in range(20)]


@pytest.fixture(scope="module")
def frame(spark):
    return spark.createDataFrame(ROWS, "x array<int>, y double, c double, held boolean")


def test_statistics_are_those_of_the_training_rows(frame):
    with PackedData.of(frame, InputColumns("x", "y", "c", "held")) as packed:
        found = packed.statistics
    training = [row for row in ROWS if not row[3]]
    y, c = np.array([row[1] for row in training]), np.array([row[2] for row in training])
    assert (found.rows, found.training_rows, found.validation_rows) == (20, 16, 4)
    assert (found.nonzeros, found.evenness) == (40, pytest.approx(1.0))
    assert found.weight_sum == c.sum()
    assert found.effective == pytest.approx(c.sum() ** 2 / (16 * (c**2).sum()))
    assert found.label_mean == pytest.approx(np.average(y, weights=c))
    assert found.label_variance == pytest.approx(np.average((y - found.label_mean) ** 2, weights=c))
    assert (found.label_min, found.label_max) == (1.0, 19.0)
    assert (found.num_features, found.weighted) == (7, True)
    assert (found.census.rows, found.census.nonzeros) == (20, 40)
    assert packed.kind == "ids"


def test_variance_of_labels_far_from_zero_does_not_cancel(spark):
    frame = spark.createDataFrame([([0], 1e9 + i % 2) for i in range(40)], "x array<int>, y double")
    with PackedData.of(frame.repartition(3), InputColumns("x", "y")) as packed:
        assert packed.statistics.label_variance == pytest.approx(0.25)


def test_size_of_vectors_is_the_number_of_features(spark):
    frame = spark.createDataFrame([(Vectors.sparse(1000, [3], [2.0]), 1.0)], ["x", "y"])
    with PackedData.of(frame, InputColumns("x", "y")) as packed:
        assert packed.statistics.num_features == 1000
        assert packed.kind == "vector"


def test_scale_is_that_of_the_statistics(frame):
    with PackedData.of(frame, InputColumns("x", "y", "c")) as packed:
        statistics = packed.statistics
    assert statistics.scale(SETTINGS, 2.0) == Scale.of(
        SETTINGS, 1.5, statistics.label_mean, statistics.label_variance, 2.0, weighted=True,
        usual_weight=5.0 / 3.0,
    )  # fmt: skip


@pytest.mark.parametrize(("weights", "weighted"), [((2.0, 2.0), False), ((2.0, 3.0), True)])
def test_rows_are_weighted_where_the_weights_of_training_rows_differ(spark, weights, weighted):
    rows = [([0], 1.0, weights[0], False), ([1], 2.0, weights[1], False), ([2], 3.0, 9.0, True)]
    frame = spark.createDataFrame(rows, "x array<int>, y double, c double, held boolean")
    with PackedData.of(frame, InputColumns("x", "y", "c", "held")) as packed:
        assert packed.statistics.weighted == weighted


def test_census_is_that_of_each_source_partition(spark):
    frame = spark.range(0, 6, 1, 3).select(F.sequence(F.lit(0), "id").alias("x"), F.col("id").alias("y"))
    with PackedData.of(frame, InputColumns("x", "y")) as packed:
        sources = packed.statistics.sources
    assert {n: (census.rows, census.nonzeros) for n, census in sources.items()} == {
        0: (2, 3),
        1: (2, 7),
        2: (2, 11),
    }
    assert len({census.fingerprint for census in sources.values()}) == 3


def test_census_of_a_label_of_minus_zero_is_what_its_block_has(spark):
    frame = spark.createDataFrame([([0], -0.0), ([1], 1.0)], "x array<int>, y double").coalesce(1)
    with PackedData.of(frame, InputColumns("x", "y")) as packed:
        (data,) = [row["data"] for row in collect(packed.blocks) if row["data"]]
        assert packed.statistics.census == Census.of(Block.from_buffer(data))


def test_rows_of_weight_zero_are_as_if_absent(spark):
    absent = [(Vectors.sparse(9, [3, 8], [7.0, 7.0]), float(100 * i), 0.0, i % 2 == 0) for i in range(7)]
    present = [(Vectors.sparse(5, [i % 4], [1.5 + i]), float(i), 1.0 + i % 2, i % 5 == 0) for i in range(20)]
    rows = [row for i, row in enumerate(present) for row in (row, *absent[i : i + 1])]
    frame = spark.createDataFrame(rows, ["x", "y", "c", "held"]).coalesce(2)
    found = []
    for some in (frame, frame.where("c > 0")):
        with PackedData.of(some, InputColumns("x", "y", "c", "held")) as packed:
            found.append(
                (
                    packed.statistics,
                    packed.features,
                    sorted(row["data"] for row in collect(packed.blocks) if row["data"]),
                )
            )
    (statistics, features, blocks), (expected, expected_features, expected_blocks) = found
    assert statistics == expected
    assert (statistics.rows, statistics.num_features) == (20, 5)
    assert blocks == expected_blocks
    for name in ("ids", "counts", "means", "spreads"):
        np.testing.assert_array_equal(getattr(features, name), getattr(expected_features, name))


def test_rows_that_are_all_of_weight_zero_are_refused(spark):
    frame = spark.createDataFrame([([0], 1.0, 0.0)] * 3, "x array<int>, y double, c double")
    with pytest.raises(
        ValueError, match=r"^weightCol: column 'c' is 0 in all 3 rows, expected a positive weight$"
    ):
        PackedData.of(frame, InputColumns("x", "y", "c"))


@pytest.mark.parametrize("centres", [True, False])
def test_scaling_is_that_of_the_training_rows(spark, centres):
    x = [2.0, 4.0, 6.0, 9.0, 1e6]
    frame = spark.createDataFrame(
        [(Vectors.dense(value), 1.0, i == 4) for i, value in enumerate(x)], ["x", "y", "held"]
    )
    with PackedData.of(frame, InputColumns("x", "y", validation="held")) as packed:
        found = packed.scaling(replace(SETTINGS, fit_intercept=centres))
    training = np.array(x[:4])
    by = training.std() if centres else np.sqrt((training**2).mean())
    np.testing.assert_allclose(found.mean, [training.mean() if centres else 0.0])
    np.testing.assert_allclose(found.inverse, [1.0 / by])


class Made:
    released = 0

    def release(self):
        self.released += 1


def test_what_is_made_of_the_blocks_is_made_once_for_each_key(frame):
    with PackedData.of(frame, InputColumns("x", "y")) as packed:
        with (
            packed.lease("a", Made) as first,
            packed.lease("a", Made) as again,
            packed.lease("b", Made) as other,
        ):
            assert first is again is not other
        with packed.lease("a", Made) as later:
            assert later is first
        assert (first.released, other.released) == (0, 0)
    assert (first.released, other.released) == (1, 1)


def test_what_no_fit_uses_goes_when_another_is_made(frame):
    with PackedData.of(frame, InputColumns("x", "y")) as packed:
        with packed.lease("a", Made) as idle:
            pass
        with packed.lease("b", Made) as used, packed.lease("c", Made):
            assert (idle.released, used.released) == (1, 0)
        with packed.lease("a", Made) as anew:
            assert anew is not idle


def test_release_can_be_repeated(frame, persisted_count):
    before = persisted_count()
    packed = PackedData.of(frame, InputColumns("x", "y"))
    with packed.lease("a", Made) as made:
        pass
    assert persisted_count() == before + 1
    packed.release()
    packed.release()
    assert persisted_count() == before
    assert made.released == 1


@pytest.fixture
def persisted_count(spark):
    return lambda: spark.sparkContext._jsc.getPersistentRDDs().size()
