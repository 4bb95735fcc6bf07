import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import Row

from spark_fm.engine.reduce import _reduce, reduce_on_executors, shards_of, sum_shard, totals_of
from spark_fm.engine.worker import TOTALS_SHARD, UPDATES, UPDATES_DDL

WIDTH = 3


def update(partition, shard, positions, sums):
    return {
        "partition": partition,
        "shard": shard,
        "positions": np.array(positions, np.int32).tobytes(),
        "sums": np.array(sums, np.float32).tobytes(),
        "totals": None,
    }


def totals(partition, *numbers):
    return {
        "partition": partition,
        "shard": TOTALS_SHARD,
        "positions": None,
        "sums": None,
        "totals": np.array(numbers).tobytes(),
    }


FIRST = update(0, 1, [4, 6], [[1, 2, 3], [4, 5, 6]])
SECOND = update(1, 1, [6, 7], [[10, 20, 30], [7, 8, 9]])
OTHER = update(1, 0, [0], [[5, 5, 5]])
EXPECTED = [[1, 2, 3], [0, 0, 0], [14, 25, 36], [7, 8, 9]]


def test_shard_sums_add_up_at_their_positions():
    pieces = [(u["positions"], u["sums"]) for u in (FIRST, SECOND)]
    np.testing.assert_array_equal(sum_shard(pieces, 4, 4, WIDTH), EXPECTED)


def test_shard_without_updates_is_zero():
    np.testing.assert_array_equal(sum_shard([], 4, 2, WIDTH), np.zeros((2, WIDTH)))


def test_sums_are_in_double_precision():
    big, small = update(0, 0, [0], [[1e8, 0, 0]]), update(1, 0, [0], [[1, 0, 0]])
    pieces = [(u["positions"], u["sums"]) for u in (big, small)]
    assert sum_shard(pieces, 0, 1, WIDTH)[0, 0] == 1e8 + 1


def test_updates_are_sorted_by_shard_and_partition():
    rows = [Row(**u) for u in (SECOND, totals(1, 1.0), OTHER, FIRST)]
    shards = shards_of(rows)
    assert list(shards) == [0, 1]
    assert shards[1] == [(FIRST["positions"], FIRST["sums"]), (SECOND["positions"], SECOND["sums"])]


def test_totals_are_in_the_order_of_the_partitions():
    rows = [Row(**u) for u in (totals(2, 1.0, 2.0), FIRST, totals(0, 3.0, 4.0))]
    found = totals_of(rows)
    assert list(found) == [0, 2]
    assert found[2].tolist() == [1.0, 2.0]


def reduced(*updates):
    batches = [pa.RecordBatch.from_pylist([u], UPDATES) for u in updates]
    return [Row(**r) for b in _reduce(iter(batches), 7 + 1, 4, WIDTH) for r in b.to_pylist()]


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0)])
def test_executors_sum_what_the_driver_would(order):
    updates = [FIRST, SECOND, OTHER, totals(1, 1.0)]
    rows = reduced(*(updates[i] for i in order))
    assert {p: t.tolist() for p, t in totals_of(rows).items()} == {1: [1.0]}
    shards = shards_of(rows)
    assert {s: len(pieces) for s, pieces in shards.items()} == {0: 1, 1: 1}
    np.testing.assert_array_equal(sum_shard(shards[1], 4, 4, WIDTH), EXPECTED)
    np.testing.assert_array_equal(sum_shard(shards[0], 0, 4, WIDTH)[0], [5, 5, 5])


def test_executors_leave_out_rows_that_nobody_touched():
    (row,) = reduced(FIRST)
    assert np.frombuffer(row.positions, np.int32).tolist() == [4, 6]


def test_reduction_as_a_spark_job(spark):
    updates = [FIRST, SECOND, OTHER, totals(0, 1.0), totals(1, 2.0)]
    frame = spark.createDataFrame([tuple(u.values()) for u in updates], UPDATES_DDL).repartition(2)
    rows = reduce_on_executors(frame, 2, 8, 4, WIDTH).collect()
    assert {p: t.tolist() for p, t in totals_of(rows).items()} == {0: [1.0], 1: [2.0]}
    shards = shards_of(rows)
    np.testing.assert_array_equal(sum_shard(shards[1], 4, 4, WIDTH), EXPECTED)
