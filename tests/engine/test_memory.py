from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from spark_fm.core.dictionary import Dictionary
from spark_fm.core.fit import fit_in_memory
from spark_fm.core.loss import Loss
from spark_fm.core.settings import Scale, Settings
from spark_fm.core.weights import Start
from spark_fm.engine import memory
from spark_fm.engine.memory import train_all, train_in_one_task
from spark_fm.engine.transport import Shipped
from tests.core.planted import planted_block

SETTINGS = Settings(Loss.SQUARED, factor_size=3, max_epochs=4)
START = Start(SETTINGS, Scale(3.0, 2.0))
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


def train(rows, has_values=False):
    batches = [pa.RecordBatch.from_pylist([row], SCHEMA) for row in rows]
    out = train_all(iter(batches), Shipped(None, START), has_values, 0.1)
    return [row for batch in out for row in batch.to_pylist()]


def test_task_trains_what_training_in_memory_does():
    dictionary = Dictionary()
    local = replace(BLOCK, indices=dictionary.encode(BLOCK.indices), features=dictionary.features())
    counts = np.bincount(local.indices[: 2 * 240], minlength=local.features.size).astype(float)
    expected = fit_in_memory(local, START, None, 0.1, counts)
    (row,) = train(packed(BLOCK))
    np.testing.assert_array_equal(np.frombuffer(row["features"], np.int64), local.features)
    np.testing.assert_array_equal(np.frombuffer(row["table"], np.float32), expected.state.table.ravel())
    assert row["inverse_scale"] == b""


def test_order_of_the_blocks_does_not_matter():
    rows = packed(BLOCK, 5)
    assert train(rows) == train(rows[::-1])


def test_values_are_scaled_by_the_training_rows():
    (row,) = train(packed(VALUED), has_values=True)
    features = np.frombuffer(row["features"], np.int64)
    inverse = np.frombuffer(row["inverse_scale"], np.float32)
    np.testing.assert_allclose(inverse, np.where(features % 2 == 0, 0.25, 2.0))


def test_values_of_validation_rows_do_not_scale():
    loud = replace(
        VALUED, values=np.where(np.repeat(VALUED.validation, 2), 1e6, VALUED.values).astype(np.float32)
    )
    (row,) = train(packed(loud), has_values=True)
    seen = set(loud.indices[: 2 * 240])
    features = np.frombuffer(row["features"], np.int64)
    inverse = np.frombuffer(row["inverse_scale"], np.float32)
    trained = np.array([f in seen for f in features])
    assert (inverse[trained] >= 0.25).all()


def test_model_is_returned_in_chunks(monkeypatch):
    (whole,) = train(packed(VALUED), has_values=True)
    monkeypatch.setattr(memory, "ROWS_A_CHUNK", 10)
    chunks = train(packed(VALUED), has_values=True)
    assert [row["number"] for row in chunks] == list(range(5))
    for name in ("features", "table", "inverse_scale"):
        assert b"".join(row[name] for row in chunks) == whole[name]


def test_nothing_packed_trains_nothing():
    assert train([]) == []


@pytest.mark.parametrize("block", [BLOCK, VALUED], ids=["ones", "values"])
def test_outcome_comes_back_from_the_task(spark, block):
    rows = packed(block)
    frame = spark.createDataFrame(
        [(r["source"], r["number"], bytearray(r["data"])) for r in rows],
        "source int, number int, data binary",
    )
    has_values = block is VALUED
    outcome, inverse = train_in_one_task(frame, Shipped(None, START), 3, has_values, 0.1)
    (whole,) = train(rows, has_values)
    assert outcome.state.factor_size == 3
    assert outcome.state.table.shape == (outcome.state.features.size, 12)
    assert len(outcome.history) == 4
    assert outcome.best_epoch == 1 + int(np.argmin([e.validation_loss for e in outcome.history]))
    assert (inverse is None) == (not has_values)
    np.testing.assert_array_equal(outcome.state.table.ravel(), np.frombuffer(whole["table"], np.float32))
