from dataclasses import replace

import numpy as np
import pytest

from spark_fm import FMRegressor
from spark_fm.core.fm.losses import LOGISTIC, SQUARED
from spark_fm.core.fm.settings import Scale, Settings
from spark_fm.core.solver.plan import Epoch
from spark_fm.engine.packing.census import Census
from spark_fm.engine.packing.statistics import Statistics
from spark_fm.engine.training.fit import (
    Parallelism,
    _in_memory,
    bytes_of_updates,
    decide_partitions,
    decide_rounds,
    in_data_units,
)

DATA = Statistics(
    rows=100_000, nonzeros=1_000_000, training_rows=100_000, weight_sum=100_000.0, weight_squares=100_000.0,
    label_mean=0.0, label_variance=1.0, label_min=-1.0, label_max=1.0, weighted=False,
    num_features=1000, features=1000, evenness=1.0,
    sources={source: Census(12_500, 125_000, 0) for source in range(8)},
)  # fmt: skip


def test_partitions_grow_with_the_work_up_to_the_parallelism():
    found = [
        decide_partitions(replace(DATA, nonzeros=n), 8, most=16) for n in (0, 10**6, 10**8, 10**9, 10**12)
    ]
    assert found[0] == found[1] == 1
    assert found == sorted(found)
    assert found[-1] == 16
    assert decide_partitions(replace(DATA, nonzeros=10**12), 8, most=1) == 1


def test_partitions_grow_with_the_factor_size():
    data = replace(DATA, nonzeros=3 * 10**7)
    assert decide_partitions(data, 64, most=64) > decide_partitions(data, 8, most=64)


@pytest.mark.parametrize("partitions", [1, 2, 8, 64, 1000, 10**6])
def test_rounds_leave_each_partition_a_hundred_rows_a_round(partitions):
    rounds = decide_rounds(DATA.training_rows, partitions)
    assert 1 <= rounds <= 24
    assert rounds == 1 or DATA.training_rows / partitions / rounds >= 100


def test_rounds_are_more_than_one_where_there_are_rows():
    assert decide_rounds(DATA.training_rows, 1) == 1
    assert [decide_rounds(rows, 8) for rows in (0, 800, 1599, 1600, 6399, 6400)] == [1, 1, 1, 2, 7, 8]
    assert decide_rounds(10**6, 8) == decide_rounds(10**9, 8) == 8


def test_rounds_are_more_where_partitions_have_few_rows_or_uneven_weights():
    assert [decide_rounds(2 * rows, 2) for rows in (50_000, 25_000, 10_000)] == [8, 16, 24]
    assert [decide_rounds(2 * 10**5, 2, effective) for effective in (1.0, 0.25, 0.1)] == [8, 16, 24]
    # But the parts of many partitions would have too few rows.
    assert decide_rounds(64 * 10_000, 64) == 10
    assert decide_rounds(64 * 5_000, 64) == 8


def test_bytes_of_updates_are_those_of_the_features_that_each_task_meets():
    parallelism = Parallelism(8, 4, 0.0)
    assert bytes_of_updates(1000, 10**9, parallelism, 16, False) == 8 * 1000 * (4 * 4 + 16 + 2)
    assert bytes_of_updates(10**6, 3200, parallelism, 16, False) == 8 * 100 * (4 * 4 + 16 + 2)
    assert bytes_of_updates(1000, 10**9, parallelism, 1, False) == 8 * 1000 * (4 * 4 + 8 + 2)
    assert bytes_of_updates(1000, 10**9, parallelism, 16, True) == 8 * 1000 * (6 * 4 + 16 + 2)


@pytest.mark.parametrize("weighted", [False, True])
def test_model_is_the_same_where_the_executors_sum(spark, monkeypatch, weighted):
    rows = [
        ([i % 7, 7 + i % 5, 12 + i % 3], float(i % 7 + i % 5), 1.0 + weighted * (i % 2)) for i in range(600)
    ]
    frame = spark.createDataFrame(rows, "features array<int>, label double, c double")
    estimator = FMRegressor(factorSize=3, numPartitions=3, maxIter=3, seed=1, weightCol="c")
    on_driver = estimator.fit(frame).weights
    monkeypatch.setattr("spark_fm.engine.cluster.driver_limits.MOST_TO_COLLECT", 0)
    monkeypatch.setattr("spark_fm.engine.training.rounds.SHARD_ROWS", 4)
    on_executors = estimator.fit(frame).weights
    np.testing.assert_allclose(on_executors.factors, on_driver.factors, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(on_executors.linear, on_driver.linear, rtol=1e-3, atol=1e-5)
    assert on_executors.intercept == pytest.approx(on_driver.intercept, rel=1e-4)


def test_only_data_that_fit_are_trained_in_memory():
    assert _in_memory(DATA)
    assert not _in_memory(replace(DATA, nonzeros=10**9))
    assert not _in_memory(replace(DATA, rows=10**9))


def test_squared_losses_become_mean_squared_errors():
    epoch = Epoch(3, 0.5, 0.25, {"job": 1.0})
    found = in_data_units(epoch, Settings(SQUARED), Scale(label_deviation=3.0))
    assert (found.number, found.training_loss, found.validation_loss) == (3, 9.0, 4.5)
    assert found.seconds == {"job": 1.0}


def test_log_losses_stay():
    found = in_data_units(Epoch(1, 0.5, 0.25, {}), Settings(LOGISTIC), Scale())
    assert (found.training_loss, found.validation_loss) == (0.5, 0.25)
