import numpy as np
import pyarrow as pa
import pytest

from spark_fm.core.block import Block
from spark_fm.engine.features import (
    COUNTS,
    FeatureCounts,
    count_block,
    count_features,
    occurring_features,
    sum_counts,
)
from spark_fm.engine.partition import UNITS, UNITS_DDL
from tests.engine.test_partition import dealt, units_of
from tests.oracle import block_of

BLOCKS = [
    block_of([([3, 7], [1.0, 2.0]), ([7], [4.0])]),
    block_of([([100], [1.0]), ([3], [1.0]), ([], [])]),
]
EXPECTED = {3: (2.0, 2.0), 7: (2.0, 20.0), 100: (1.0, 1.0)}


def unit_batches(partitions=2, parts=2):
    for (p, q), unit in units_of(dealt(BLOCKS, partitions, parts)).items():
        rows = [{"partition": p, "part": q, "number": n, "data": b.to_bytes()} for n, b in enumerate(unit)]
        yield pa.RecordBatch.from_pylist(rows, UNITS)


def as_dict(batches):
    found = {}
    for batch in batches:
        assert batch.schema == COUNTS
        for row in batch.to_pylist():
            ids, counts, squares = (
                np.frombuffer(row[name], kind)
                for name, kind in [("ids", np.int64), ("counts", float), ("squares", float)]
            )
            for i, count, square in zip(ids.tolist(), counts, squares, strict=True):
                assert i not in found
                found[i] = (count, square)
    return found


@pytest.mark.parametrize("shards", [1, 2, 5])
def test_counts_and_squares_of_units(shards):
    assert as_dict(count_features(unit_batches(), shards)) == EXPECTED


@pytest.mark.parametrize("partitions", [1, 2])
def test_units_of_several_blocks_are_counted_whole(monkeypatch, partitions):
    monkeypatch.setattr("spark_fm.engine.partition.ROWS_TO_DEAL", 1)
    monkeypatch.setattr("spark_fm.engine.partition.ROWS_A_BLOCK", 1)
    batches = list(unit_batches(partitions, 1))
    assert sum(batch.num_rows for batch in batches) > partitions
    assert as_dict(count_features(iter(batches), 2)) == EXPECTED


def test_shards_are_ids_modulo_their_number():
    for batch in count_features(unit_batches(), 3):
        for row in batch.to_pylist():
            assert (np.frombuffer(row["ids"], np.int64) % 3 == row["shard"]).all()


def test_counts_of_partitions_add_up():
    counted = list(count_features(unit_batches(), 2)) + list(count_features(unit_batches(), 2))
    assert as_dict(sum_counts(iter(counted))) == {i: (2 * c, 2 * s) for i, (c, s) in EXPECTED.items()}


def test_counts_of_nothing():
    assert list(count_features(iter([]), 3)) == []
    assert list(sum_counts(iter([]))) == []


def test_counts_of_one_block():
    counts = count_block(block_of([([0, 1], [1.0, 2.0]), ([1], [4.0])], features=[3, 7]), np.array([3, 7]))
    assert (counts.ids.tolist(), counts.counts.tolist()) == ([3, 7], [1.0, 2.0])
    assert counts.squares.tolist() == [1.0, 20.0]


def test_counts_of_one_block_of_ones():
    counts = count_block(block_of([([0, 1], [1.0, 1.0]), ([1], [1.0])], features=[3, 7]), np.array([3, 7]))
    assert counts.squares.tolist() == counts.counts.tolist() == [1.0, 2.0]


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


def test_occurring_features_are_counted_on_the_executors(spark):
    rows = [tuple(r.values()) for b in unit_batches() for r in b.to_pylist()]
    units = spark.createDataFrame([(p, q, n, bytearray(d)) for p, q, n, d in rows], UNITS_DDL).repartition(2)
    # Blocks of a unit must stay together and in order; here each unit is one block.
    assert all(Block.from_buffer(d).features.size for *_, d in rows if Block.from_buffer(d).nonzeros)
    counts = occurring_features(units, 2)
    assert counts.ids.tolist() == [3, 7, 100]
    assert counts.counts.tolist() == [2.0, 2.0, 1.0]
    assert counts.squares.tolist() == [2.0, 20.0, 1.0]
