"""The ways to keep units: what a round says must not depend on which it is."""

from collections import Counter

import numpy as np
import pytest

from spark_fm.core.block import Block
from spark_fm.engine import dataset
from spark_fm.engine.dataset import PackedData
from spark_fm.engine.jobs import collect
from spark_fm.engine.request import Columns
from spark_fm.engine.units import FrameUnits, RddUnits


@pytest.fixture(scope="module")
def packed(spark):
    rows = [([i % 4, 4 + i % 3, 7 + i % 11], float(i)) for i in range(200)]
    frame = spark.createDataFrame(rows, "x array<int>, y double").repartition(3)
    with PackedData.of(frame, Columns("x", "y")) as packed:
        yield packed


def blocks_of_rdd(units):
    """{(partition, part): blocks}, and that each unit is alone in the Spark partition of its number."""
    found = {}
    for number, batches in enumerate(units.rdd.glom().collect()):
        for row in (row for batch in batches for row in batch.to_pylist()):
            assert number == row["partition"] * units.parts + row["part"]
            found.setdefault((row["partition"], row["part"]), []).append(row["data"])
    return found


def blocks_of_frame(units):
    found = {}
    for row in sorted(collect(units.frame), key=lambda row: row["number"]):
        found.setdefault((row["partition"], row["part"]), []).append(row["data"])
    return found


@pytest.mark.parametrize(("partitions", "parts"), [(1, 1), (2, 3), (5, 1)])
@pytest.mark.parametrize("nonzeros_for_the_union", [0.0, 1e9], ids=["the union", "own dictionaries"])
def test_units_are_the_same_blocks_wherever_they_lie(
    packed, partitions, parts, nonzeros_for_the_union, monkeypatch
):
    monkeypatch.setattr(dataset, "NONZEROS_OF_THE_WHOLE_UNION", nonzeros_for_the_union)
    seed = int(nonzeros_for_the_union > 0)
    rdd = packed.units(partitions, parts, 0.1, seed)
    frame = packed.units(partitions, parts, 0.1, seed, on_executors=True)
    assert (type(rdd), type(frame)) == (RddUnits, FrameUnits)
    found = blocks_of_rdd(rdd)
    assert found == blocks_of_frame(frame)
    assert len(found) == partitions * parts
    labels = Counter(np.concatenate([Block.from_buffer(b).label for bs in found.values() for b in bs]))
    assert labels == Counter(map(float, range(200)))


def test_connect_has_data_frames_only(packed, monkeypatch):
    monkeypatch.setattr(dataset, "is_connect", lambda spark: True)
    units = packed.units(2, 1, 0.0, seed=9)
    assert isinstance(units, FrameUnits)
    assert not units.on_executors
