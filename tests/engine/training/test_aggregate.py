import numpy as np
import pyarrow as pa
import pytest

from spark_fm.core.fm.losses import SQUARED
from spark_fm.core.fm.settings import Scale, Settings
from spark_fm.core.fm.table import TAIL
from spark_fm.core.solver.adagrad.merge import Coupling, apply_centre, apply_merge, contributions, sums_width
from spark_fm.engine.cluster.execute import collect_batches
from spark_fm.engine.training.aggregate import Updates, _reduce, merged, reduce_on_executors, sum_shard
from spark_fm.engine.training.round_task import TOTALS_SHARD, UPDATES, UPDATES_DDL, Round, updates_batch

WIDTH = 3


def update(partition, shard, positions, sums):
    return {
        "partition": partition,
        "shard": shard,
        "positions": np.array(positions, np.uint16).tobytes(),
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


FIRST = update(0, 1, [0, 2], [[1, 2, 3], [4, 5, 6]])
SECOND = update(1, 1, [2, 3], [[10, 20, 30], [7, 8, 9]])
OTHER = update(1, 0, [0], [[5, 5, 5]])
EXPECTED = [[1, 2, 3], [0, 0, 0], [14, 25, 36], [7, 8, 9]]


def updates_of(*rows):
    return Updates.of(pa.RecordBatch.from_pylist([row], UPDATES) for row in rows)


def test_shard_sums_add_up_at_their_positions():
    pieces = updates_of(FIRST, SECOND).shards[1]
    np.testing.assert_array_equal(sum_shard(pieces, 4, WIDTH), EXPECTED)


def test_shard_without_updates_is_zero():
    np.testing.assert_array_equal(sum_shard([], 2, WIDTH), np.zeros((2, WIDTH)))


def test_sums_are_in_double_precision():
    big, small = update(0, 0, [0], [[1e8, 0, 0]]), update(1, 0, [0], [[1, 0, 0]])
    assert sum_shard(updates_of(big, small).shards[0], 1, WIDTH)[0, 0] == 1e8 + 1


def test_updates_are_sorted_by_shard_and_partition():
    found = updates_of(SECOND, totals(1, 1.0), OTHER, FIRST)
    assert list(found.shards) == [0, 1]
    assert [piece.partition for piece in found.shards[1]] == [0, 1]
    assert [piece.positions.tolist() for piece in found.shards[1]] == [[0, 2], [2, 3]]


def test_totals_are_in_the_order_of_the_partitions():
    found = updates_of(totals(2, 1.0, 2.0), FIRST, totals(0, 3.0, 4.0)).totals
    assert list(found) == [0, 2]
    assert found[2].tolist() == [1.0, 2.0]


def test_batch_of_updates_has_their_bytes():
    batch = updates_batch(3, 1, np.array([0, 2], np.uint16), np.float32([[1, 2, 3], [4, 5, 6]])[:, :3])
    assert batch.to_pylist() == [FIRST | {"partition": 3}]


def reduced(*updates):
    batches = (pa.RecordBatch.from_pylist([u], UPDATES) for u in updates)
    return Updates.of(_reduce(batches, 7 + 1, 4, WIDTH))


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0)])
def test_executors_sum_what_the_driver_would(order):
    updates = [FIRST, SECOND, OTHER, totals(1, 1.0)]
    found = reduced(*(updates[i] for i in order))
    assert {p: t.tolist() for p, t in found.totals.items()} == {1: [1.0]}
    assert {s: len(pieces) for s, pieces in found.shards.items()} == {0: 1, 1: 1}
    np.testing.assert_array_equal(sum_shard(found.shards[1], 4, WIDTH), EXPECTED)
    np.testing.assert_array_equal(sum_shard(found.shards[0], 4, WIDTH)[0], [5, 5, 5])


def test_executors_leave_out_rows_that_nobody_touched():
    (piece,) = reduced(FIRST).shards[1]
    assert piece.positions.tolist() == [0, 2]


@pytest.mark.parametrize("weighted", [False, True])
def test_reduction_as_a_spark_job(spark, weighted):
    orders = Round(
        None, None, None, Settings(SQUARED, factor_size=3), Scale(weighted=weighted), None, 8, 4, 1
    )  # fmt: skip
    width = sums_width(8, weighted)
    rows = [np.arange(width) + 10.0 * n for n in range(3)]
    updates = [
        update(0, 1, [0, 2], rows[:2]), update(1, 1, [2], rows[2:]), totals(0, 1.0), totals(1, 2.0)
    ]  # fmt: skip
    frame = spark.createDataFrame([tuple(u.values()) for u in updates], UPDATES_DDL).repartition(2)
    found = Updates.of(collect_batches(reduce_on_executors(frame, orders)))
    assert {p: t.tolist() for p, t in found.totals.items()} == {0: [1.0], 1: [2.0]}
    assert {s: len(pieces) for s, pieces in found.shards.items()} == {1: 1}
    nothing = np.zeros(width)
    expected = [rows[0], nothing, rows[1] + rows[2], nothing]
    np.testing.assert_array_equal(sum_shard(found.shards[1], 4, width), expected)


@pytest.mark.parametrize("shard_size", [1, 4, 10, 100])
@pytest.mark.parametrize("on_executors", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_merge_by_shards_is_the_merge_of_the_whole(shard_size, on_executors, weighted):
    random = np.random.default_rng(0)
    table = np.ones((10, 8 + TAIL), np.float32)
    # Neither the rests nor, between two rounds, the information are anything.
    table[:, 8:12] = 0.0
    coupling, width = Coupling(0.5, 0.5, 1.0), sums_width(8, weighted)
    batches, sums, centre = [], np.zeros((10, width)), np.zeros(11)
    for partition in range(3):
        after = table.copy()
        moved = np.r_[0:8, 10:15] if weighted else np.r_[0:8, 12:15]
        after[:, moved] += random.random((10, moved.size)).astype(np.float32)
        positions, packed, own = contributions(table, after, coupling, weighted)
        positions = positions.astype(np.uint16)
        centre += own
        for first in range(0, 10, shard_size):
            mine = slice(first, first + shard_size)
            rows = positions[mine] - np.uint16(first)
            batches.append(updates_batch(partition, first // shard_size, rows, packed[mine]))
        sums += sum_shard(Updates.of([updates_batch(0, 0, positions, packed)]).shards[0], 10, width)
    expected = table.copy()
    apply_centre(table, expected, centre, apply_merge(expected, sums, coupling))
    found = Updates.of(_reduce(iter(batches), 10, shard_size, width) if on_executors else batches)
    before = table.copy()
    result = merged(table, found, shard_size, coupling, centre, weighted, threads=2)
    np.testing.assert_allclose(result[:, :8], expected[:, :8], rtol=1e-6)
    np.testing.assert_allclose(result[:, 12:], expected[:, 12:], rtol=1e-6)
    assert (result[:, :8] != 1.0).all()
    np.testing.assert_array_equal(table, before)
