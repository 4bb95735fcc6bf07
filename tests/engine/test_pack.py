import re
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from spark_fm.core.block import Block
from spark_fm.core.dictionary import Dictionary
from spark_fm.engine.arrow import BadInputError
from spark_fm.engine.features import FeatureCounts
from spark_fm.engine.pack import COUNTS_ROW, pack, pack_batch
from spark_fm.engine.request import Columns
from tests.engine.batches import batch, dense, id_lists, sparse, vectors
from tests.oracle import rows_of

COLUMNS = Columns("x", "y", "c", "held")
BINARY = replace(COLUMNS, binary=True)
ROWS = vectors(sparse(3, [0, 2], [1.0, 2.0]), sparse(3, [], []), dense(0.0, 0.5, 0.0))


def test_batch_becomes_a_block():
    block, _ = pack_batch(
        batch(ROWS, [1.0, 2.0, 3.0], [1.0, 0.5, 2.0], [True, False, False]), COLUMNS, "vector", Dictionary()
    )
    assert rows_of(block) == [
        ((0, 1), (1.0, 2.0), 1.0, 1.0, True),
        ((), (), 2.0, 0.5, False),
        ((2,), (0.5,), 3.0, 2.0, False),
    ]
    assert block.features.tolist() == [0, 2, 1]


def test_what_is_the_same_in_all_rows_takes_no_memory():
    block, _ = pack_batch(batch(vectors(dense(1.0, 0.0), dense(1.0, 1.0))), COLUMNS, "vector", Dictionary())
    assert (block.values.size, block.weight.size, block.validation.size) == (0, 0, 0)
    assert block.indices.dtype == np.int32


def test_blocks_add_to_one_dictionary():
    dictionary = Dictionary()
    first, _ = pack_batch(batch(id_lists([2**40], [5])), COLUMNS, "ids", dictionary)
    second, _ = pack_batch(batch(id_lists([5, 6], [2**40])), COLUMNS, "ids", dictionary)
    assert (first.indices.tolist(), first.features.tolist()) == ([0, 1], [2**40, 5])
    assert (second.indices.tolist(), second.features.tolist()) == ([1, 2, 0], [6])


def test_normalized_rows_have_unit_length():
    block, _ = pack_batch(
        batch(vectors(dense(3.0, 4.0), dense(0.0, 0.0))),
        replace(COLUMNS, normalize=True),
        "vector",
        Dictionary(),
    )
    assert rows_of(block)[0][1] == pytest.approx((0.6, 0.8))
    assert rows_of(block)[1][1] == ()


ONE = vectors(dense(1.0), dense(1.0), dense(1.0))
NAN, INF = float("nan"), float("inf")
BAD = {
    "null label": (batch(ONE, [0.0, None, 1.0]), COLUMNS, "column 'y': row 1 is null, expected a label"),
    "NaN label": (
        batch(ONE, [0.0, 1.0, NAN]),
        COLUMNS,
        "column 'y': row 2 has the label nan, expected a finite number of at most 3.4e+38",
    ),
    "infinite label": (
        batch(ONE, [-INF, 1.0, 1.0]),
        COLUMNS,
        "column 'y': row 0 has the label -inf, expected a finite number of at most 3.4e+38",
    ),
    "label too large for float32": (
        batch(ONE, [0.0, 1e39, 1.0]),
        COLUMNS,
        "column 'y': row 1 has the label 1e+39, expected a finite number of at most 3.4e+38",
    ),
    "label of three classes": (
        batch(ONE, [0.0, 1.0, 2.0]),
        BINARY,
        "column 'y': row 2 has the label 2, expected 0 or 1",
    ),
    "label of -1": (
        batch(ONE, [1.0, -1.0, 1.0]),
        BINARY,
        "column 'y': row 1 has the label -1, expected 0 or 1; for labels -1 and 1 use (col('y') + 1) / 2",
    ),
    "null weight": (
        batch(ONE, weight=[1.0, None, 1.0]),
        COLUMNS,
        "column 'c': row 1 is null, expected a weight",
    ),
    "NaN weight": (
        batch(ONE, weight=[NAN, 1.0, 1.0]),
        COLUMNS,
        "column 'c': row 0 has the weight nan, expected a finite number of at most 3.4e+38",
    ),
    "infinite weight": (
        batch(ONE, weight=[1.0, INF, 1.0]),
        COLUMNS,
        "column 'c': row 1 has the weight inf, expected a finite number of at most 3.4e+38",
    ),
    "negative weight": (
        batch(ONE, weight=[1.0, -0.5, 1.0]),
        COLUMNS,
        "column 'c': row 1 has the weight -0.5, expected >= 0",
    ),
    "null validation": (
        batch(ONE, validation=[True, False, None]),
        COLUMNS,
        "column 'held': row 2 is null, expected true or false",
    ),
}


@pytest.mark.parametrize(("data", "columns", "sentence"), BAD.values(), ids=BAD.keys())
def test_bad_rows_are_told_in_a_sentence(data, columns, sentence):
    with pytest.raises(BadInputError, match=f"^{re.escape(sentence)}$"):
        pack_batch(data, columns, "vector", Dictionary())


def packed(*batches, columns=COLUMNS, kind="vector"):
    """The rows with blocks; what comes last, the features that occur, is looked at below."""
    rows = [row for out in pack(iter(batches), columns, kind) for row in out.to_pylist()]
    return [row for row in rows if row["number"] != COUNTS_ROW]


def test_last_row_has_the_features_that_occur_in_training_rows():
    first = batch(ROWS, validation=[True, False, False])
    *_, last = (row for out in pack(iter([first, first]), COLUMNS, "vector") for row in out.to_pylist())
    assert (last["number"], last["features"], last["data"]) == (COUNTS_ROW, 3, None)
    counted = FeatureCounts.from_row(last)
    assert counted.ids.tolist() == [0, 2, 1]
    assert counted.counts.tolist() == [0.0, 0.0, 2.0]
    assert counted.squares.tolist() == [0.0, 0.0, 0.5]


def test_pack_gives_a_row_with_statistics_for_each_batch():
    first = batch(ROWS, [1.0, 2.0, 4.0], [1.0, 2.0, 1.0], [False, False, True])
    rows = packed(first, batch(ROWS.slice(0, 0)), batch(ROWS.slice(2), [7.0]))
    assert [row["number"] for row in rows] == [0, 1]
    found = rows[0]
    assert found["error"] is None
    assert (found["rows"], found["training_rows"], found["nonzeros"]) == (3, 2, 3)
    # Sums are over the training rows.
    assert (found["weight_sum"], found["label_sum"]) == (3.0, 5.0)
    assert found["label_spread"] == pytest.approx((1 - 5 / 3) ** 2 + 2 * (2 - 5 / 3) ** 2)
    assert (found["label_min"], found["label_max"]) == (1.0, 2.0)
    assert (found["vector_size"], found["largest_id"], found["has_values"]) == (3, 2, True)
    assert Block.from_buffer(found["data"]).rows == 3
    assert (rows[1]["rows"], rows[1]["label_sum"], rows[1]["largest_id"]) == (1, 7.0, 1)


def test_pack_stops_at_the_first_error_and_says_where_it_is():
    rows = packed(batch(ONE), batch(ONE, [0.0, NAN, 0.0]), batch(ONE))
    assert [row["error"] is None for row in rows] == [True, False]
    assert rows[1]["error"] == (
        "column 'y': in partition 0, batch 1, row 1 has the label nan, "
        "expected a finite number of at most 3.4e+38"
    )
    assert rows[1]["data"] is None


def test_pack_of_nothing_is_nothing():
    assert packed() == []
    assert packed(batch(ROWS.slice(0, 0))) == []


def test_rows_of_validation_only_have_no_label_statistics():
    (row,) = packed(batch(ONE, [1.0, 2.0, 3.0], validation=[True] * 3))
    assert (row["training_rows"], row["weight_sum"], row["label_sum"]) == (0, 0.0, 0.0)
    assert (row["label_min"], row["label_max"]) == (INF, -INF)


def test_pack_does_not_hide_other_errors():
    with pytest.raises(KeyError):
        packed(pa.RecordBatch.from_arrays([ROWS], ["features"]))
