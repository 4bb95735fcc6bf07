from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from spark_fm.core.fm.losses import SQUARED
from spark_fm.core.fm.settings import Scale, Settings
from spark_fm.core.fm.table import TAIL, padded
from spark_fm.core.fm.weights import ParameterInit
from spark_fm.core.solver.in_memory import fit_in_memory
from spark_fm.core.sparse.block import Block
from spark_fm.core.sparse.dictionary import Dictionary
from spark_fm.engine.cluster.broadcast import Shipped
from spark_fm.engine.packing.census import Census, InputChangedError
from spark_fm.engine.training import single_task as memory
from spark_fm.engine.training.single_task import train_all, train_in_one_task
from tests.core.planted import planted_block
from tests.oracle import counts_of

SETTINGS = Settings(SQUARED, factor_size=3, max_epochs=4)
START = ParameterInit(SETTINGS, Scale(3.0, 2.0))
BLOCK = replace(planted_block(300, validation=60), features=np.empty(0, np.int64))
VALUED = replace(BLOCK, values=np.where(BLOCK.indices % 2 == 0, 4.0, 0.5).astype(np.float32))
SCHEMA = pa.schema([("source", pa.int32()), ("number", pa.int32()), ("data", pa.binary())])


def packed(block, pieces=3):
    """The rows as packing leaves them, two blocks for each source partition with a dictionary of its own."""
    rows, dictionary = [], Dictionary()
    for i, part in enumerate(np.array_split(np.arange(block.rows), pieces)):
        source, number = divmod(i, 2)
        dictionary = dictionary if number else Dictionary()
        known, piece = len(dictionary), block.take(part)
        indices = dictionary.encode(piece.indices)
        piece = replace(piece, indices=indices, features=dictionary.features()[known:])
        rows.append({"source": source, "number": number, "data": piece.to_bytes()})
    return rows


def census(rows):
    return sum((Census.of(Block.from_buffer(row["data"])) for row in rows), Census())


def train(rows, counted=None):
    batches = [pa.RecordBatch.from_pylist([row], SCHEMA) for row in rows]
    out = train_all(iter(batches), Shipped(None, START), counted or census(rows), 0.1)
    return [row for batch in out for row in batch.to_pylist()]


def test_task_trains_what_training_in_memory_does():
    dictionary = Dictionary()
    local = replace(BLOCK, indices=dictionary.encode(BLOCK.indices), features=dictionary.features())
    expected = fit_in_memory(local, START, counts_of(local), 0.1)
    (row,) = train(packed(BLOCK))
    np.testing.assert_array_equal(np.frombuffer(row["features"], np.int64), local.features)
    np.testing.assert_array_equal(np.frombuffer(row["table"], np.float32), expected.state.table.ravel())
    assert (np.frombuffer(row["mean"]) == 0.0).all()
    assert np.frombuffer(row["inverse"]).tolist() == [1.0] * local.features.size


def test_order_of_the_blocks_does_not_matter():
    rows = packed(BLOCK, 5)
    assert train(rows) == train(rows[::-1])


def scaling_of(row):
    return [
        np.frombuffer(row[name], kind) for name, kind in [("features", np.int64), ("inverse", np.float64)]
    ]


def test_values_are_scaled_by_the_training_rows():
    (row,) = train(packed(VALUED))
    features, inverse = scaling_of(row)
    # Sparse features keep values up to 1.
    np.testing.assert_allclose(inverse, np.where(features % 2 == 0, 0.25, 1.0))


def test_values_of_validation_rows_do_not_scale():
    loud = replace(
        VALUED, values=np.where(np.repeat(VALUED.validation, 2), 1e6, VALUED.values).astype(np.float32)
    )
    (row,) = train(packed(loud))
    seen = set(loud.indices[: 2 * 240])
    features, inverse = scaling_of(row)
    trained = np.array([f in seen for f in features])
    assert (inverse[trained] >= 0.25).all()


def test_dense_column_is_centred_by_the_training_rows():
    numbers = np.where(BLOCK.validation, 1e6, np.arange(300.0))
    ids = np.concatenate([BLOCK.indices.reshape(-1, 2), np.full((300, 1), 99, np.int32)], axis=1)
    values = np.concatenate([np.ones((300, 2)), numbers[:, None]], axis=1)
    block = replace(
        BLOCK, indptr=np.arange(0, 901, 3, dtype=np.int32), indices=ids.ravel(), values=values.ravel()
    )
    (row,) = train(packed(block))
    (at,) = np.flatnonzero(np.frombuffer(row["features"], np.int64) == 99)
    mean, inverse = np.frombuffer(row["mean"]), np.frombuffer(row["inverse"])
    assert (mean[at], inverse[at]) == (pytest.approx(119.5), pytest.approx(1 / np.arange(240.0).std()))
    assert np.count_nonzero(mean) == 1


def test_model_is_returned_in_chunks(monkeypatch):
    (whole,) = train(packed(VALUED))
    monkeypatch.setattr(memory, "ROWS_A_CHUNK", 10)
    chunks = train(packed(VALUED))
    assert [row["number"] for row in chunks] == list(range(5))
    for name in ("features", "table", "mean", "inverse"):
        assert b"".join(row[name] for row in chunks) == whole[name]


def test_nothing_packed_trains_nothing():
    assert train([]) == []


OTHER_ROWS = {
    "fewer rows": (BLOCK.take(np.arange(299)), "found 299 rows with 598 non-zeros, expected 300 with 600"),
    "none": (BLOCK.take(np.arange(0)), "found 0 rows with 0 non-zeros, expected 300 with 600"),
    "another non-zero": (
        replace(BLOCK, indptr=np.minimum(BLOCK.indptr, 599), indices=BLOCK.indices[:599]),
        "found 300 rows with 599 non-zeros, expected 300 with 600",
    ),
    "another label": (
        replace(BLOCK, label=np.where(np.arange(300) == 7, 1.5, BLOCK.label)),
        "found other labels or features in as many rows",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("block", "sentence"), OTHER_ROWS.values(), ids=OTHER_ROWS)
def test_rows_that_were_not_counted_are_told_in_a_sentence(block, sentence):
    told = f"the input changed between two computations of it: {sentence}; write it to a table"
    with pytest.raises(InputChangedError, match=f"^{told}"):
        train(packed(block, 3) if block.rows else [], Census.of(BLOCK))


def test_two_blocks_of_the_same_place_are_told():
    rows = [row for first in (0, 150) for row in packed(BLOCK.take(np.arange(150) + first))]
    with pytest.raises(InputChangedError, match="found two blocks of the same place"):
        train(rows, census(rows))


@pytest.mark.parametrize("block", [BLOCK, VALUED], ids=["ones", "values"])
def test_outcome_comes_back_from_the_task(spark, block):
    rows = packed(block)
    outcome, scaling, counted = train_in_one_task(
        frame_of(spark, rows), Shipped(None, START), 3, census(rows), 0.1
    )
    (whole,) = train(rows)
    assert outcome.state.factor_size == 3
    assert outcome.state.table.shape == (outcome.state.features.size, padded(3) + TAIL)
    assert outcome.state.intercept.shape == (3,)
    assert len(outcome.history) == 4
    assert outcome.best_epoch == 1 + int(np.argmin([e.validation_loss for e in outcome.history]))
    np.testing.assert_array_equal(outcome.state.table.ravel(), np.frombuffer(whole["table"], np.float32))
    assert scaling.is_identity == (block is BLOCK)
    for name in ("mean", "inverse"):
        np.testing.assert_array_equal(getattr(scaling, name), np.frombuffer(whole[name]))
    assert counted.ids is outcome.state.features
    expected = counts_of(block, np.arange(45)).take(counted.ids)
    for name in ("counts", "means", "spreads"):
        np.testing.assert_allclose(getattr(counted, name), getattr(expected, name))


def frame_of(spark, rows):
    tuples = [(row["source"], row["number"], bytearray(row["data"])) for row in rows]
    return spark.createDataFrame(tuples, "source int, number int, data binary")


def test_input_that_changed_comes_back_from_the_task_as_a_sentence(spark):
    rows = packed(BLOCK)
    with pytest.raises(
        RuntimeError, match=r"^the input changed between two computations of it: found 300 rows"
    ):
        train_in_one_task(frame_of(spark, rows), Shipped(None, START), 3, census(rows[1:]), 0.1)
