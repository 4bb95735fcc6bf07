import itertools

import numpy as np
import pyarrow as pa
import pytest

from spark_fm.core.fm.scaling import FeatureCounts
from spark_fm.engine.packing import vocabulary as features
from spark_fm.engine.packing.vocabulary import (
    COLUMNS,
    COUNTS,
    Counter,
    counts_of_row,
    counts_row,
    occurring_features,
    split_counts,
    sum_counts,
)
from tests.oracle import block_of

# Of the values 7: [2, 4], 3: [1] and 3: [5], 100: [1].
FIRST = FeatureCounts(np.array([7, 3]), np.array([2.0, 1.0]), np.array([3.0, 1.0]), np.array([2.0, 0.0]))
SECOND = FeatureCounts(np.array([3, 100]), np.array([1.0, 1.0]), np.array([5.0, 1.0]), np.zeros(2))
EXPECTED = {3: (2.0, 3.0, 8.0), 7: (2.0, 3.0, 2.0), 100: (1.0, 1.0, 0.0)}
PACKED_DDL = ", ".join(["source int", *(f"{name} binary" for name in COLUMNS)])
NAMES = ("ids", "counts", "means", "spreads")


def by_id(counted):
    rows = zip(*(getattr(counted, name).tolist() for name in NAMES), strict=True)
    return {i: numbers for i, *numbers in ((row[0], *row[1:]) for row in rows)}


def as_dict(batches):
    found = {}
    for batch in batches:
        assert batch.schema == COUNTS
        for row in batch.to_pylist():
            counted = by_id(counts_of_row(row))
            assert not found.keys() & counted.keys()
            found |= {i: tuple(numbers) for i, numbers in counted.items()}
    return found


def batches():
    rows = [{"source": n} | counts_row(counted) for n, counted in enumerate((FIRST, SECOND))]
    return iter([pa.RecordBatch.from_pylist([row]) for row in rows])


def test_row_of_counts_is_read_as_it_was_written():
    found = counts_of_row(counts_row(FIRST))
    for name in NAMES:
        np.testing.assert_array_equal(getattr(found, name), getattr(FIRST, name))


@pytest.mark.parametrize("shards", [1, 2, 5])
def test_counts_of_source_partitions_add_up(shards):
    split = list(split_counts(batches(), shards))
    for batch in split:
        for row in batch.to_pylist():
            assert (np.frombuffer(row["ids"], np.int64) % shards == row["shard"]).all()
    assert as_dict(sum_counts(iter(split))) == EXPECTED


def test_counts_of_nothing():
    assert list(split_counts(iter([]), 3)) == []
    assert list(sum_counts(iter([]))) == []


def test_counter_counts_blocks_of_a_growing_dictionary():
    counter = Counter()
    for data in ([([3, 7], [1.0, 2.0]), ([7], [4.0])], [([3], [5.0]), ([100], [1.0]), ([], [])]):
        block = block_of(data)
        block.indices[:] = counter.dictionary.encode(block.indices)
        counter.count(block)
    found = counter.result()
    assert found.ids.tolist() == [3, 7, 100]
    assert {i: tuple(numbers) for i, numbers in by_id(found).items()} == EXPECTED


def test_a_row_of_weight_3_counts_as_three_but_for_the_counts():
    data = [([3, 7], [1.0, 2.0]), ([7], [4.0]), ([3], [5.0]), ([7], [9.0])]
    weights = [1.0, 1.0, 3.0, 2.0]
    repeated = [row for row, weight in zip(data, weights, strict=True) for _ in range(int(weight))]

    def counted(*parts):
        counter = Counter()
        for rows, weight in parts:
            block = block_of(rows, weight=weight)
            block.indices[:] = counter.dictionary.encode(block.indices)
            counter.count(block)
        return counter.result()

    found, expected = counted((data[:2], None), (data[2:], weights[2:])), counted((repeated, None))
    both = Counter()
    for part in (counted((data[:2], None)), counted((data[2:], weights[2:]))):
        both.add(counts_of_row(counts_row(part)))
    for one in (found, both.result()):
        assert one.counts.tolist() == [2.0, 3.0]
        assert one.weights.tolist() == expected.counts.tolist() == [4.0, 4.0]
        np.testing.assert_allclose(one.means, expected.means)
        np.testing.assert_allclose(one.spreads, expected.spreads)


def test_counter_has_room_for_many_features():
    counter = Counter()
    ids = np.arange(5000)
    for _ in range(2):
        counter.add(FeatureCounts(ids, np.ones(5000), np.full(5000, 2.0), np.zeros(5000)))
    assert (counter.result().counts == 2.0).all()
    assert (counter.result().means == 2.0).all()
    assert counter.result().spreads.size == 5000


def test_spread_far_from_zero_does_not_cancel():
    x = 1e9 + np.random.default_rng(0).standard_normal(1000)
    counter = Counter()
    for values in (x[:1], x[1:300], x[300:]):
        part = Counter()
        block = block_of([([0], [value]) for value in values], dtype=np.float64)
        block.indices[:] = part.dictionary.encode(block.indices)
        part.count(block)
        counter.add(part.result())
    found = counter.result()
    assert found.counts.tolist() == [1000.0]
    assert found.means[0] == pytest.approx(x.mean(), rel=1e-15)
    assert found.spreads[0] == pytest.approx(((x - x.mean()) ** 2).sum(), rel=1e-6)


def test_features_that_no_training_row_has_stay_without_counts():
    counter = Counter()
    for _ in range(2):
        counter.add(FeatureCounts(np.array([5]), np.zeros(1), np.zeros(1), np.zeros(1)))
    assert by_id(counter.result()) == {5: [0.0, 0.0, 0.0]}


def packed_frame(spark, counted):
    """A frame as packing leaves it, its rows in the order of ``counted``: (source, counts)."""
    rows = [(n, *(bytearray(part) for part in counts_row(one).values())) for n, one in counted]
    return spark.createDataFrame([*rows, (0, *[None] * len(COLUMNS))], PACKED_DDL)


@pytest.mark.parametrize("most", [2, 10**9])
def test_occurring_features_are_those_of_all_source_partitions(spark, most, monkeypatch):
    monkeypatch.setattr(features, "DRIVER_COUNTS", most)
    found = occurring_features(packed_frame(spark, enumerate((FIRST, SECOND))).repartition(2), 2, 4)
    assert found.ids.tolist() == [3, 7, 100]
    assert {i: tuple(numbers) for i, numbers in by_id(found).items()} == EXPECTED


def four_sources():
    random = np.random.default_rng(0)
    return [
        (n, FeatureCounts(np.arange(10), np.full(10, 3.0), random.random(10), random.random(10)))
        for n in range(4)
    ]


def test_sums_of_a_shard_do_not_depend_on_the_order_of_arrival():
    rows = [{"shard": 0, "source": n} | counts_row(one) for n, one in four_sources()]
    there, back = (
        [out.to_pylist() for out in sum_counts(iter([pa.RecordBatch.from_pylist(some, COUNTS)]))]
        for some in (rows, rows[::-1])
    )
    assert there == back


@pytest.mark.parametrize("most", [20, 10**9])
def test_occurring_features_do_not_depend_on_the_order_of_arrival(spark, most, monkeypatch):
    monkeypatch.setattr(features, "DRIVER_COUNTS", most)
    found = set()
    for order in itertools.islice(itertools.permutations(four_sources()), 0, 24, 7):
        counted = occurring_features(packed_frame(spark, order).coalesce(1), 4, 40)
        found.add(tuple(getattr(counted, name).tobytes() for name in NAMES))
    assert len(found) == 1
