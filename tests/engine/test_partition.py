from collections import Counter
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyspark.sql import functions as F

from spark_fm.core.block import Block
from spark_fm.engine import partition
from spark_fm.engine.partition import DEALT, UNITS, Deal, Union, deal, join, partition_keys
from spark_fm.engine.transport import Shipped
from tests.oracle import block_of, rows_of


def with_all_features(block):
    """A block whose indices are ids, as packing leaves it when it meets them in ascending order."""
    return replace(block, features=np.arange(50))


def packed(*blocks, source=0):
    """Arrow batches as packing leaves them: only the first block of a source adds features."""
    blocks = [b if n == 0 else replace(b, features=np.empty(0, np.int64)) for n, b in enumerate(blocks)]
    return [
        pa.RecordBatch.from_pylist(
            [{"source": source, "number": n, "data": b.to_bytes()}],
            pa.schema([("source", pa.int32()), ("number", pa.int32()), ("data", pa.binary())]),
        )
        for n, b in enumerate(blocks)
    ]


@st.composite
def many_blocks(draw):
    """Blocks whose rows can be told apart by their labels; some with values, weights or validation rows."""
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    with_validation = draw(st.booleans())
    made, label = [], 0
    for rows in draw(st.lists(st.integers(1, 40), min_size=1, max_size=4)):
        data = []
        for _ in range(rows):
            ids = sorted(random.choice(50, random.integers(0, 5), replace=False).tolist())
            data.append((ids, random.choice([1.0, 2.0], len(ids)).tolist()))
        made.append(
            with_all_features(
                block_of(
                    data,
                    list(range(label, label + rows)),
                    random.choice([0.5, 2.0], rows).tolist() if draw(st.booleans()) else None,
                    (random.random(rows) < 0.3).tolist() if with_validation else None,
                )
            )
        )
        label += rows
    return made


def dealt(blocks, partitions, parts, held_out=0.0, seed=0):
    keys = list(range(100, 100 + partitions * parts))
    orders = Deal(keys, parts, held_out, seed, Shipped(None, Union("test run", np.arange(50))))
    rows = [r for b in deal(iter(packed(*blocks)), orders) for r in b.to_pylist()]
    assert all(row["key"] == keys[row["partition"] * parts + row["part"]] for row in rows)
    return rows


def units_of(rows, own_dictionaries=True):
    """Dealt rows, sorted as Spark sorts them, joined: {(partition, part): [Block, ...]}."""
    rows = sorted(rows, key=lambda r: (r["partition"], r["part"], r["source"], r["number"]))
    batches = [pa.RecordBatch.from_pylist([row], DEALT) for row in rows]
    units = {}
    for batch in join(iter(batches), own_dictionaries):
        assert batch.schema == UNITS
        for row in batch.to_pylist():
            unit = units.setdefault((row["partition"], row["part"]), [])
            assert row["number"] == len(unit)
            unit.append(Block.from_buffer(row["data"]))
    return units


def global_rows(blocks):
    """The rows of a unit's blocks with the positions in the union that their indices stand for."""
    features, found = blocks[0].features, []
    assert (np.diff(features) > 0).all()
    assert all(block.features.size == 0 for block in blocks[1:])
    if not features.size:
        features = np.arange(50)
    for block in blocks:
        for ids, *rest in rows_of(block):
            found.append((tuple(int(features[i]) for i in ids), *rest))
    return found


@given(many_blocks(), st.integers(1, 5), st.integers(1, 3), st.integers(0, 99), st.booleans())
def test_every_row_is_in_one_unit_exactly_once(blocks, partitions, parts, seed, own):
    units = units_of(dealt(blocks, partitions, parts, seed=seed), own)
    found = [row for unit in units.values() for row in global_rows(unit)]
    expected = [row for block in blocks for row in rows_of(block)]
    assert Counter(found) == Counter(expected)


@given(many_blocks(), st.integers(1, 4), st.integers(1, 3))
def test_validation_rows_are_in_part_zero_only(blocks, partitions, parts):
    for (_, part), unit in units_of(dealt(blocks, partitions, parts)).items():
        held = sum(row[-1] for row in global_rows(unit))
        assert part == 0 or held == 0


@given(many_blocks(), st.integers(1, 4), st.integers(1, 3))
def test_units_have_nearly_the_same_number_of_rows(blocks, partitions, parts):
    counts = Counter()
    for row in dealt(blocks, partitions, parts):
        counts[row["partition"], row["part"]] += sum(
            not r[-1] for r in rows_of(Block.from_buffer(row["data"]))
        )
    sizes = [counts[p, q] for p in range(partitions) for q in range(parts)]
    assert max(sizes) - min(sizes) <= 1


@given(many_blocks(), st.sampled_from([0.1, 0.3, 0.5]))
def test_held_out_rows_are_the_fraction_of_all_where_there_are_no_validation_rows(blocks, fraction):
    whole = [row for block in blocks for row in rows_of(block)]
    units = units_of(dealt(blocks, 2, 2, held_out=fraction))
    found = [row for unit in units.values() for row in global_rows(unit)]
    assert Counter(row[:-1] for row in found) == Counter(row[:-1] for row in whole)
    before, after = sum(row[-1] for row in whole), sum(row[-1] for row in found)
    assert after == (before if before else round(fraction * len(whole)))


def test_dealing_is_random_and_repeats_itself():
    blocks = [with_all_features(block_of([([i % 7], [1.0]) for i in range(100)], list(range(100))))]

    def labels(seed):
        return {
            key: [r[2] for r in global_rows(unit)]
            for key, unit in units_of(dealt(blocks, 3, 2, seed=seed)).items()
        }

    assert labels(1) == labels(1)
    assert labels(1) != labels(2)
    first = labels(1)[0, 0]
    assert max(first) - min(first) > 40, "a unit gets rows from everywhere"


def test_large_sources_are_dealt_piece_by_piece(monkeypatch):
    monkeypatch.setattr(partition, "ROWS_TO_DEAL", 50)
    blocks = [
        with_all_features(block_of([([i], [1.0])] * 20, list(range(20 * i, 20 * i + 20)))) for i in range(7)
    ]
    rows = dealt(blocks, 2, 1)
    assert len({row["number"] for row in rows}) == 3
    labels = [r[2] for unit in units_of(rows).values() for r in global_rows(unit)]
    assert sorted(labels) == list(range(140))


@pytest.mark.parametrize("own", [True, False])
def test_large_units_are_several_blocks_with_one_dictionary(monkeypatch, own):
    monkeypatch.setattr(partition, "ROWS_TO_DEAL", 50)
    monkeypatch.setattr(partition, "ROWS_A_BLOCK", 40)
    blocks = [
        with_all_features(block_of([([i, i + 1], [1.0, 1.0])] * 20, [float(i)] * 20)) for i in range(10)
    ]
    units = units_of(dealt(blocks, 1, 1), own)
    (unit,) = units.values()
    assert len(unit) > 2
    assert Counter(global_rows(unit)) == Counter(row for block in blocks for row in rows_of(block))
    assert unit[0].features.size == (11 if own else 0)


def test_indices_become_positions_in_the_union_whatever_the_source():
    """Two source partitions have met the same ids in different order."""
    first = replace(block_of([([0, 1], [1.0, 1.0])]), features=np.array([2**40, 7]))
    second = replace(block_of([([0], [1.0])], [5.0]), features=np.array([7]))
    union = Union("other run", np.array([7, 2**40]))
    batches = packed(first, source=0) + packed(second, source=1)
    orders = Deal([100], 1, 0.0, 0, Shipped(None, union))
    rows = [row for batch in deal(iter(batches), orders) for row in batch.to_pylist()]
    assert [row["source"] for row in rows] == [0, 1]
    assert [Block.from_buffer(row["data"]).indices.tolist() for row in rows] == [[1, 0], [0]]


def test_nothing_dealt_is_nothing():
    assert dealt([], 3, 2) == []
    assert list(join(iter([]), True)) == list(join(iter([]), False)) == []


@pytest.mark.parametrize("partitions", [1, 2, 3, 7])
def test_keys_send_each_partition_to_a_task_of_its_own(spark, partitions):
    keys = partition_keys(spark, partitions)
    assert len(keys) == partitions
    frame = spark.createDataFrame([(key, p) for p, key in enumerate(keys)], "key long, p int")
    found = frame.repartition(partitions, "key").select("p", F.spark_partition_id().alias("task")).collect()
    assert {row.p: row.task for row in found} == {p: p for p in range(partitions)}
