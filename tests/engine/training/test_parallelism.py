from dataclasses import replace

import pytest

from spark_fm.engine.packing.census import Census
from spark_fm.engine.packing.statistics import Statistics
from spark_fm.engine.training.parallelism import (
    bytes_of_updates,
    decide_partitions,
    decide_rounds,
    fits_in_memory,
)
from spark_fm.engine.training.solver import Parallelism

DATA = Statistics(
    rows=100_000, nonzeros=1_000_000, training_rows=100_000, weight_sum=100_000.0, weight_squares=100_000.0,
    label_mean=0.0, label_variance=1.0, label_min=-1.0, label_max=1.0, weight_max=1.0, weighted=False,
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


def test_only_data_that_fit_are_trained_in_memory():
    assert fits_in_memory(DATA)
    assert not fits_in_memory(replace(DATA, nonzeros=10**9))
    assert not fits_in_memory(replace(DATA, rows=10**9))
