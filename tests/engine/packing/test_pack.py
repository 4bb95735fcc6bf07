import re
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from spark_fm.core.sparse.block import Block
from spark_fm.core.sparse.dictionary import Dictionary
from spark_fm.engine.packing import pack as packing
from spark_fm.engine.packing.arrow import BadInputError
from spark_fm.engine.packing.input_columns import InputColumns
from spark_fm.engine.packing.pack import COUNTS_ROW, PACKED, pack, pack_batch
from spark_fm.engine.packing.vocabulary import counts_of_row
from tests.engine.batches import batch, dense, id_lists, sparse, vectors
from tests.oracle import rows_of

COLUMNS = InputColumns("x", "y", "c", "held")
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


@pytest.mark.parametrize(("value", "dtype"), [(0.5, np.float32), (0.1, np.float64), (1e9 + 1, np.float64)])
def test_values_stay_as_they_are_where_float32_would_round(value, dtype):
    block, _ = pack_batch(batch(vectors(dense(value), dense(2.0))), COLUMNS, "vector", Dictionary())
    assert (block.values.dtype, block.values.tolist()) == (dtype, [value, 2.0])


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
    """(the rows with blocks, the last row of the source)."""
    rows = []
    for out in pack(iter(batches), columns, kind, "run"):
        assert out.schema == PACKED
        rows += out.to_pylist()
    return [row for row in rows if row["number"] != COUNTS_ROW], rows[-1] if rows else None


def test_last_row_has_the_features_that_occur_in_training_rows():
    first = batch(ROWS, validation=[True, False, False])
    _, last = packed(first, first)
    assert (last["number"], last["features"], last["data"]) == (COUNTS_ROW, 3, None)
    assert (last["vector_size"], last["largest_id"], last["absent_rows"]) == (3, 2, 0)
    counted = counts_of_row(last)
    assert counted.ids.tolist() == [0, 2, 1]
    assert counted.counts.tolist() == [0.0, 0.0, 2.0]
    assert counted.means.tolist() == [0.0, 0.0, 0.5]
    assert counted.spreads.tolist() == [0.0, 0.0, 0.0]


def test_ids_have_no_size():
    _, last = packed(batch(id_lists([5], [2**40, 2**41], [7])), kind="ids")
    assert (last["vector_size"], last["largest_id"]) == (-1, 2**41)


def test_pack_gives_a_row_with_statistics_for_each_block(monkeypatch):
    monkeypatch.setattr(packing, "ROWS_A_BLOCK", 3)
    first = batch(ROWS, [1.0, 2.0, 4.0], [1.0, 2.0, 1.0], [False, False, True], source=5)
    rows, _ = packed(first, batch(ROWS.slice(0, 0)), batch(ROWS.slice(2), [7.0], source=5))
    assert [(row["source"], row["number"]) for row in rows] == [(5, 0), (5, 1)]
    found = rows[0]
    assert found["error"] is None
    assert (found["rows"], found["training_rows"], found["nonzeros"]) == (3, 2, 3)
    assert found["roots"] == pytest.approx(2**0.5 + 1.0)
    # Sums are over the training rows.
    assert (found["weight_sum"], found["weight_squares"], found["label_sum"]) == (3.0, 5.0, 5.0)
    assert (found["weight_min"], found["weight_max"]) == (1.0, 2.0)
    assert found["label_spread"] == pytest.approx((1 - 5 / 3) ** 2 + 2 * (2 - 5 / 3) ** 2)
    assert (found["label_min"], found["label_max"]) == (1.0, 2.0)
    block = Block.from_buffer(found["data"])
    assert (block.rows, block.fingerprint) == (3, found["fingerprint"])
    assert (rows[1]["rows"], rows[1]["label_sum"]) == (1, 7.0)


def rows_to_cut(values=(1.0, 1.0), weights=(1.0, 1.0), held=(False, False)):
    """100 rows with up to three non-zeros; what the last 30 have may be other than what the first 70 have."""
    random = np.random.default_rng(0)
    late = (np.arange(100) >= 70).astype(int)
    ids = [sorted(random.choice(30, random.integers(0, 4), replace=False).tolist()) for _ in late]
    features = [sparse(30, row, [values[n]] * len(row)) for row, n in zip(ids, late, strict=True)]
    weight, validation = [weights[n] for n in late], [held[n] for n in late]
    return vectors(*features), random.standard_normal(100), weight, validation


def cut(columns, size):
    pieces = [[column[first : first + size] for column in columns] for first in range(0, 100, size)]
    return [batch(*piece) for piece in pieces]


@pytest.mark.parametrize("limit", [{"ROWS_A_BLOCK": 16}, {"NONZEROS_A_BLOCK": 23}, {}], ids=str)
@pytest.mark.parametrize(
    "late",
    [
        {"values": (0.1, 0.1)},
        {"values": (1.0, 2.0)},
        {"values": (0.5, 0.1)},
        {"weights": (1.0, 2.0)},
        {"held": (False, True)},
    ],
    ids=["nothing", "values", "long values", "weights", "validation"],
)
def test_blocks_do_not_depend_on_how_spark_cuts_batches(monkeypatch, limit, late):
    for name, value in limit.items():
        monkeypatch.setattr(packing, name, value)
    columns = rows_to_cut(**late)
    expected = packed(*cut(columns, 1))
    assert len(expected[0]) > 1 or not limit
    for size in (7, 10_000):
        assert packed(*cut(columns, size)) == expected


def test_blocks_are_full_and_have_the_rows_in_order(monkeypatch):
    monkeypatch.setattr(packing, "ROWS_A_BLOCK", 16)
    columns = rows_to_cut()
    rows, _ = packed(*cut(columns, 7))
    assert [row["rows"] for row in rows] == [16] * 6 + [4]
    labels = np.concatenate([Block.from_buffer(row["data"]).label for row in rows])
    np.testing.assert_array_equal(labels, columns[1])


def test_block_ends_with_the_row_that_fills_it(monkeypatch):
    monkeypatch.setattr(packing, "NONZEROS_A_BLOCK", 4)
    lengths = [1, 2, 1, 5, 3, 3, 0]
    rows, _ = packed(batch(id_lists(*(range(n) for n in lengths))), kind="ids")
    assert [(row["rows"], row["nonzeros"]) for row in rows] == [(3, 4), (1, 5), (2, 6), (1, 0)]


def test_each_block_adds_the_features_that_it_is_first_to_have(monkeypatch):
    monkeypatch.setattr(packing, "ROWS_A_BLOCK", 2)
    rows, last = packed(batch(id_lists([9], [4, 9], [4], [2, 9], [7])), kind="ids")
    blocks = [Block.from_buffer(row["data"]) for row in rows]
    assert [block.features.tolist() for block in blocks] == [[9, 4], [2], [7]]
    assert counts_of_row(last).ids.tolist() == [9, 4, 2, 7]
    assert [block.indices.tolist() for block in blocks] == [[0, 1, 0], [1, 2, 0], [3]]


def test_pack_stops_at_the_first_error_and_says_where_it_is():
    rows, _ = packed(batch(ONE, source=3), batch(ONE, [0.0, NAN, 0.0], source=3), batch(ONE, source=3))
    (row,) = rows
    assert row["error"] == (
        "column 'y': in partition 3, row 4 has the label nan, expected a finite number of at most 3.4e+38"
    )
    assert (row["source"], row["data"]) == (3, None)


@pytest.mark.parametrize("size", [1, 2, 5])
@pytest.mark.parametrize(
    ("bad", "sentence"),
    [
        ({"label": INF}, "column 'y': in partition 0, row 4 has the label inf, expected"),
        ({"weight": -1.0}, "column 'c': in partition 0, row 4 has the weight -1, expected >= 0"),
        ({"features": dense(NAN)}, "column 'x': in partition 0, row 4 has"),
    ],
    ids=["label", "weight", "features"],
)
def test_rows_are_counted_in_their_partition_whatever_the_batches(size, bad, sentence):
    features, label, weight = [dense(1.0)] * 5, [0.0] * 5, [1.0, 0.0, 0.0, 1.0, 1.0]
    for name, value in bad.items():
        {"features": features, "label": label, "weight": weight}[name][4] = value
    batches = [
        batch(vectors(*features[at : at + size]), label[at : at + size], weight[at : at + size])
        for at in range(0, 5, size)
    ]
    assert packed(*batches)[0][-1]["error"].startswith(sentence)


def test_vectors_of_two_sizes_in_two_batches_are_told_in_a_sentence():
    _, last = packed(batch(vectors(dense(1.0, 2.0))), batch(vectors(dense(1.0))))
    assert last["error"] == "column 'x': vectors of different sizes: 1 and 2, expected one size"


def test_rows_of_weight_zero_are_as_if_absent():
    kept = vectors(dense(1.0, 2.0), dense(0.0, 3.0))
    absent = [sparse(9, [8], [4.0]), sparse(2, None, None), dense(INF)]
    mixed = vectors(absent[0], dense(1.0, 2.0), absent[1], absent[2], dense(0.0, 3.0))
    rows, last = packed(
        batch(mixed, [NAN, 1.0, None, 3.0, 2.0], [0.0, 1.0, 0.0, 0.0, 0.5], [None, False, None, True, False])
    )
    expected, expected_last = packed(batch(kept, [1.0, 2.0], [1.0, 0.5]))
    assert rows == expected
    assert last == expected_last | {"absent_rows": 3}


def test_source_of_absent_rows_only_says_how_many_they_are():
    rows, last = packed(batch(ONE, weight=[0.0] * 3), batch(ONE, weight=[0.0] * 3))
    assert rows == []
    assert (last["absent_rows"], last["features"], last["vector_size"], last["ids"]) == (6, 0, -1, None)


def test_pack_of_nothing_is_nothing():
    assert packed() == ([], None)
    assert packed(batch(ROWS.slice(0, 0))) == ([], None)


def test_rows_of_validation_only_have_no_label_statistics():
    ((row,), _) = packed(batch(ONE, [1.0, 2.0, 3.0], validation=[True] * 3))
    assert (row["training_rows"], row["weight_sum"], row["label_sum"]) == (0, 0.0, 0.0)
    assert (row["label_min"], row["label_max"]) == (INF, -INF)


def test_pack_does_not_hide_other_errors():
    with pytest.raises(KeyError):
        packed(pa.RecordBatch.from_arrays([ROWS], ["features"]))
