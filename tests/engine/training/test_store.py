"""The ways to keep chunks: what a round says must not depend on which it is."""

import random
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from pyspark.sql import functions as F

from spark_fm.core.fm.losses import SQUARED
from spark_fm.core.fm.settings import Settings
from spark_fm.core.sparse.block import Block
from spark_fm.engine.cluster.execute import collect
from spark_fm.engine.cluster.worker_process import task
from spark_fm.engine.packing.input_columns import InputColumns
from spark_fm.engine.packing.packed_data import PackedData
from spark_fm.engine.training import store
from spark_fm.engine.training.store import FrameStore, RddStore, dealt_chunks

SETTINGS = Settings(SQUARED)


@pytest.fixture(scope="module")
def packed(spark):
    rows = [([i % 4, 4 + i % 3, 7 + i % 11], float(i)) for i in range(200)]
    frame = spark.createDataFrame(rows, "x array<int>, y double").repartition(3)
    with PackedData.of(frame, InputColumns("x", "y")) as packed:
        yield packed


def blocks_of_rdd(chunks):
    """{(partition, part): blocks}, and that each chunk is alone in the Spark partition of its number."""
    found = {}
    chunk_of = {number: chunk for chunk, number in store._numbers(chunks.places).items()}
    for number, batches in enumerate(chunks.rdd.glom().collect()):
        for row in (row for batch in batches for row in batch.to_pylist()):
            assert chunk_of[number] == (row["partition"], row["part"])
            found.setdefault((row["partition"], row["part"]), []).append(row["data"])
    return found


def blocks_of_frame(chunks):
    found = {}
    for row in sorted(collect(chunks.kept.frame), key=lambda row: row["number"]):
        found.setdefault((row["partition"], row["part"]), []).append(row["data"])
    return found


@pytest.mark.parametrize(("partitions", "parts"), [(1, 1), (2, 3), (5, 1)])
@pytest.mark.parametrize(
    "nonzeros_for_the_vocabulary", [0.0, 1e9], ids=["the vocabulary", "own dictionaries"]
)
def test_chunks_are_the_same_blocks_wherever_they_lie(
    packed, partitions, parts, nonzeros_for_the_vocabulary, monkeypatch
):
    monkeypatch.setattr(store, "NONZEROS_OF_THE_WHOLE_VOCABULARY", nonzeros_for_the_vocabulary)
    monkeypatch.setattr(store, "ROWS_OF_A_VALIDATION_CHUNK", 10)
    settings = replace(SETTINGS, seed=int(nonzeros_for_the_vocabulary > 0))
    with (
        dealt_chunks(packed, partitions, parts, 20, settings) as rdd,
        dealt_chunks(packed, partitions, parts, 20, settings, on_executors=True) as frame,
    ):
        check_same_blocks(rdd, frame, partitions)


@pytest.mark.parametrize("on_executors", [False, True])
def test_bundles_are_cut_into_the_same_chunks(packed, on_executors, monkeypatch):
    monkeypatch.setattr(store, "ROWS_OF_A_VALIDATION_CHUNK", 10)
    monkeypatch.setattr(store, "NONZEROS_READ_TOGETHER", 0)
    found = []
    for together in (1, 2, 3):
        monkeypatch.setattr(store, "parts_together", lambda *_, together=together: together)
        chunks = store._deal(packed, 2, 3, 20, SETTINGS, on_executors)
        assert chunks.places.together == together
        found.append(blocks_of_frame(chunks) if on_executors else blocks_of_rdd(chunks))
        chunks.release()
    assert found[0] == found[1] == found[2]


def test_bundles_are_given_back_when_all_chunks_are_made(packed, monkeypatch):
    monkeypatch.setattr(store, "parts_together", lambda *_: 2)
    monkeypatch.setattr(store, "NONZEROS_READ_TOGETHER", 0)
    chunks = store._deal(packed, 2, 2, 20, SETTINGS, on_executors=False)

    def persisted():
        return [rdd.is_cached for rdd in chunks.persisted]

    def names(chosen):
        found = [
            (row["partition"], row["shard"])
            for batch in chunks.run(name_chunks, None, chosen)
            for row in batch.to_pylist()
        ]
        assert sorted(found) == sorted(chosen)

    places = chunks.places
    names(places.training(0)[:1])
    names(places.training(1) + places.validating())
    assert persisted() == [True, True, True]
    names(places.training(0))
    assert persisted() == [False, True, True]
    # A chunk that is lost is made again.
    chunks.persisted[1].unpersist()
    names(places.all())
    chunks.release()
    assert persisted() == [False, False, False]


def check_same_blocks(rdd, frame, partitions):
    assert (type(rdd), type(frame)) == (RddStore, FrameStore)
    assert rdd.places == frame.places
    assert rdd.places.validation == min(partitions, 2)
    found = blocks_of_rdd(rdd)
    assert found == blocks_of_frame(frame)
    assert found.keys() == set(rdd.places.all())
    held = [Block.from_buffer(b).rows for chunk in rdd.places.validating() for b in found[chunk]]
    assert sum(held) == 20
    labels = Counter(np.concatenate([Block.from_buffer(b).label for bs in found.values() for b in bs]))
    assert labels == Counter(map(float, range(200)))


@task
def name_chunks(batches, orders):
    """Which chunks a task meets, as updates."""
    for batch in batches:
        names = ["partition", "part", "data", "data", "data"]
        arrays = [batch.column(name) for name in names]
        yield batch.from_arrays(arrays, ["partition", "shard", "positions", "sums", "totals"])


@pytest.mark.parametrize(("together", "read_together"), [(1, 0), (2, 0), (2, 2**16)])
@pytest.mark.parametrize("on_executors", [False, True])
def test_function_runs_over_the_chosen_chunks(packed, on_executors, together, read_together, monkeypatch):
    monkeypatch.setattr(store, "parts_together", lambda *_: together)
    monkeypatch.setattr(store, "NONZEROS_READ_TOGETHER", read_together)
    seed = together + (read_together > 0)
    with dealt_chunks(packed, 3, 2, 20, replace(SETTINGS, seed=seed), on_executors) as chunks:
        check_names(chunks)


def check_names(chunks):
    places = chunks.places
    for chosen in (
        places.all(),
        places.training(1),
        places.training(1) + places.validating(),
        places.training(0)[:1],
    ):
        found = [
            (row["partition"], row["shard"])
            for batch in chunks.run(name_chunks, None, chosen)
            for row in batch.to_pylist()
        ]
        assert sorted(found) == sorted(chosen)


@pytest.mark.parametrize("on_executors", [False, True])
def test_input_that_changes_is_told_in_a_sentence(spark, on_executors):
    changing = F.udf(lambda i: random.SystemRandom().random(), "double").asNondeterministic()
    frame = spark.range(100).select(F.array("id").alias("x"), changing("id").alias("y"))
    with PackedData.of(frame, InputColumns("x", "y")) as packed:
        # As where the platform has no caching, or an executor is lost.
        packed.kept.frame.unpersist()
        sentence = "^the input changed between two computations of it: found other labels or features in as many rows"
        with (
            pytest.raises(RuntimeError, match=sentence),
            dealt_chunks(packed, 2, 1, 0, SETTINGS, on_executors) as chunks,
        ):
            chunks.run(name_chunks, None, [(0, 0), (1, 0)])


def test_connect_has_data_frames_only(packed, monkeypatch):
    monkeypatch.setattr(store, "is_connect", lambda spark: True)
    with dealt_chunks(packed, 2, 1, 0, replace(SETTINGS, seed=9)) as chunks:
        assert isinstance(chunks, FrameStore)
        assert not chunks.on_executors
