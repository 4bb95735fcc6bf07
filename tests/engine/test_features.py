import numpy as np
import pyarrow as pa
import pytest

from spark_fm.engine import features
from spark_fm.engine.features import (
    COUNTS,
    Counter,
    FeatureCounts,
    occurring_features,
    split_counts,
    sum_counts,
)
from tests.oracle import block_of

FIRST = FeatureCounts(np.array([7, 3]), np.array([2.0, 1.0]), np.array([20.0, 1.0]))
SECOND = FeatureCounts(np.array([3, 100]), np.array([1.0, 1.0]), np.array([1.0, 1.0]))
EXPECTED = {3: (2.0, 2.0), 7: (2.0, 20.0), 100: (1.0, 1.0)}


def as_dict(batches):
    found = {}
    for batch in batches:
        assert batch.schema == COUNTS
        for row in batch.to_pylist():
            counted = FeatureCounts.from_row(row)
            for i, count, square in zip(counted.ids.tolist(), counted.counts, counted.squares, strict=True):
                assert i not in found
                found[i] = (count, square)
    return found


def batches():
    return iter([pa.RecordBatch.from_pylist([counted.to_row()]) for counted in (FIRST, SECOND)])


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
    for data in ([([3, 7], [1.0, 2.0]), ([7], [4.0])], [([3], [1.0]), ([100], [1.0]), ([], [])]):
        block = block_of(data)
        block.indices[:] = counter.dictionary.encode(block.indices)
        counter.count(block)
    found = counter.result()
    assert found.ids.tolist() == [3, 7, 100]
    assert found.counts.tolist() == [2.0, 2.0, 1.0]
    assert found.squares.tolist() == [2.0, 20.0, 1.0]


def test_counter_has_room_for_many_features():
    counter = Counter()
    ids = np.arange(5000)
    for _ in range(2):
        counter.add(FeatureCounts(ids, np.ones(5000), np.full(5000, 2.0)))
    assert (counter.result().counts == 2.0).all()
    assert counter.result().squares.size == 5000


def test_popular_features_come_first():
    counts = FeatureCounts(np.array([9, 4, 1, 6]), np.array([1.0, 5.0, 1.0, 5.0]), np.arange(4.0))
    found = counts.popular_first()
    assert found.ids.tolist() == [4, 6, 1, 9]
    assert found.squares.tolist() == [1.0, 3.0, 2.0, 0.0]


@pytest.mark.parametrize("value", [1e-29, 1e-6, 1.0, 50.0, 3e38])
def test_inverse_scale_brings_values_to_one(value):
    values = np.float32([value, -value])
    counts = FeatureCounts(np.array([0]), np.array([2.0]), np.array([(values.astype(float) ** 2).sum()]))
    np.testing.assert_allclose(values * counts.inverse_scale[0], [1.0, -1.0], rtol=1e-4)
    assert counts.inverse_scale.dtype == np.float32


def test_inverse_scale_of_what_has_no_values_is_one():
    counts = FeatureCounts(np.array([0]), np.array([0.0]), np.array([0.0]))
    assert counts.inverse_scale.tolist() == [1.0]


@pytest.mark.parametrize("value", [1e-36, 1e-39, 1e-44])
def test_inverse_scale_of_tiny_values_is_bounded(value):
    counts = FeatureCounts(np.array([0]), np.array([1.0]), np.array([value * value]))
    assert counts.inverse_scale == pytest.approx([1e30])


@pytest.mark.parametrize("most", [2, 10**9])
def test_occurring_features_are_those_of_all_source_partitions(spark, most, monkeypatch):
    monkeypatch.setattr(features, "DRIVER_COUNTS", most)
    rows = [tuple(bytearray(part) for part in counted.to_row().values()) for counted in (FIRST, SECOND)]
    packed = spark.createDataFrame(
        [*rows, (None, None, None)], "ids binary, counts binary, squares binary"
    ).repartition(2)
    found = occurring_features(packed, 2, 4)
    assert found.ids.tolist() == [3, 7, 100]
    assert found.counts.tolist() == [2.0, 2.0, 1.0]
    assert found.squares.tolist() == [2.0, 20.0, 1.0]
