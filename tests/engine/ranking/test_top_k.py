"""The tasks of a ranking, without Spark: blocks of any size, and items that lie in a file, change nothing."""

import numpy as np
import pyarrow as pa
import pytest

from spark_fm.core.fm.weights import Weights
from spark_fm.engine.cluster.broadcast import Shipped
from spark_fm.engine.packing.arrow import BadInputError
from spark_fm.engine.ranking import catalogue, top_k, vectors
from spark_fm.engine.ranking.catalogue import Catalogue
from spark_fm.engine.ranking.top_k import Ranking
from spark_fm.engine.ranking.vectors import Side, Splitter, binary_rows, matrix_of
from tests.engine.batches import id_lists

CONTEXTS, ITEMS, K = 30, 200, 4
CONTEXT = Side("context", "user", "features", "ids")
ITEM = Side("item", "item", "features", "ids")


def splitter():
    random = np.random.default_rng(0)
    ids = np.arange(CONTEXTS + ITEMS)
    return Splitter(
        Weights(ids, random.normal(size=ids.size).astype(np.float32),
                random.normal(size=(ids.size, K)).astype(np.float32), 0.5),
        ids.size,
    )  # fmt: skip


def asked(k=5):
    return Ranking(CONTEXT, ITEM, k, K + 2, probability=False)


def batches_of(keys, first_feature, rows):
    """Batches (key, features) of so many rows."""
    table = pa.RecordBatch.from_arrays(
        [pa.array(keys), id_lists(*([first_feature + i] for i in range(len(keys))))], ["key", "features"]
    )
    return [table.slice(start, rows) for start in range(0, len(keys), rows)]


def stream(rows, left_out=None, keys=None):
    """What a task receives: packets of items, then contexts, in batches of so many rows."""
    shipped = Shipped(None, splitter())
    keys = [f"{i:03}" for i in range(ITEMS)] if keys is None else keys
    of_items = list(vectors._vectors(iter(batches_of(keys, CONTEXTS, rows)), shipped, ITEM, "packets"))
    of_contexts = list(
        vectors._vectors(iter(batches_of(list(range(CONTEXTS)), 0, rows)), shipped, CONTEXT, "rows")
    )
    excluded_type = pa.list_(pa.string())
    for batch in of_items:
        n = batch.num_rows
        columns = [
            pa.nulls(n, pa.int64()),
            pa.nulls(n, excluded_type),
            pa.array([top_k.ITEM] * n, pa.int32()),
        ]
        yield with_columns(batch, columns)
    for batch in of_contexts:
        n = batch.num_rows
        lists = [(left_out or {}).get(key) for key in batch.column("keys").to_pylist()]
        arrays = [
            pa.nulls(n, pa.list_(pa.string())),
            *(batch.column(i) for i in (1, 2, 3, 4)),
            batch.column("keys"),
        ]
        made = pa.RecordBatch.from_arrays(
            arrays, ["keys", "vectors", "features", "details", "error", "context"]
        )
        columns = [pa.array(lists, excluded_type), pa.array([top_k.CONTEXT] * n, pa.int32())]
        yield with_columns(made, columns, ["excluded", "side"])


def with_columns(batch, columns, names=("context", "excluded", "side")):
    order = ["side", "keys", "context", "vectors", "features", "details", "excluded", "error"]
    found = dict(zip(batch.schema.names, batch.columns, strict=True)) | dict(zip(names, columns, strict=True))
    return pa.RecordBatch.from_arrays([found[name] for name in order], order)


def ranked(batches, k=5):
    rows = [row for batch in top_k._rank(iter(batches), asked(k), None) for row in batch.to_pylist()]
    assert [row["error"] for row in rows if row["error"]] == []
    return {row["context"]: [(one["item"], one["rating"]) for one in row["recommendations"]] for row in rows}


def brute_force(k=5, left_out=None):
    weights, found = splitter().weights, {}
    v = weights.factors.astype(np.float64)
    for c in range(CONTEXTS):
        z = {
            f"{i:03}": 0.5
            + float(weights.linear[c])
            + float(weights.linear[CONTEXTS + i])
            + v[c] @ v[CONTEXTS + i]
            for i in range(ITEMS)
        }
        kept = [key for key in z if key not in ((left_out or {}).get(c) or [])]
        found[c] = [(key, pytest.approx(z[key])) for key in sorted(kept, key=z.get, reverse=True)[:k]]
    return found


@pytest.mark.parametrize("rows", [1, 7, 64, 1000])
@pytest.mark.parametrize("packet", [1, 100, 8192])
def test_sizes_of_batches_and_packets_change_nothing(rows, packet, monkeypatch):
    monkeypatch.setattr(vectors, "BYTES_A_PACKET", packet)
    assert ranked(stream(rows)) == brute_force()


def test_few_ratings_at_once_change_nothing(monkeypatch):
    monkeypatch.setattr(top_k, "MOST_RATINGS_AT_ONCE", 15)
    assert ranked(stream(100)) == brute_force()


def test_items_in_a_file_change_nothing(monkeypatch, tmp_path):
    monkeypatch.setattr(catalogue, "MOST_IN_MEMORY", 1000)
    monkeypatch.setenv("SPARK_LOCAL_DIRS", f"{tmp_path},/nowhere")
    made = []
    before = catalogue.TemporaryFile
    monkeypatch.setattr(
        catalogue, "TemporaryFile", lambda **options: made.append(options) or before(**options)
    )
    assert ranked(stream(20)) == brute_force()
    assert len(made) == 9
    assert made[0] == {"dir": str(tmp_path)}
    assert list(tmp_path.iterdir()) == []


def test_left_out_by_key():
    left_out = {0: [f"{i:03}" for i in range(ITEMS - 1)], 3: ["007", "unknown", "007"], 4: [], 5: None}
    found = ranked(stream(11, left_out))
    assert found == brute_force(left_out=left_out)
    assert len(found[0]) == 1


@pytest.mark.parametrize(("rows", "at"), [(1000, 5), (20, 19), (20, 100)])
def test_an_item_that_is_there_twice_is_told_also_across_batches(rows, at):
    keys = [f"{i:03}" for i in range(ITEMS)]
    keys[at + 1] = keys[at]
    found = [
        row for batch in top_k._rank(stream(rows, keys=keys), asked(), None) for row in batch.to_pylist()
    ]
    assert [row["error"] for row in found] == [
        f"items: found the key '{at:03}' twice, expected each item once"
    ]


def test_integers_are_found_among_larger_ones():
    made = Catalogue(2, pa.int32())
    packets = pa.RecordBatch.from_arrays(
        [
            pa.array([[3, 5], [9]], pa.list_(pa.int32())),
            binary_rows(np.zeros((3, 2)), 2),
            pa.nulls(2, pa.binary()),
            pa.nulls(2, pa.binary()),
        ],
        ["keys", "vectors", "features", "details"],
    )
    made.add(packets)
    lists = pa.array([[9, 2**40, 3], None, [5, 5]], pa.list_(pa.int64()))
    found = made.excluded(lists)
    assert found.indptr.tolist() == [0, 2, 2, 4]
    assert found.positions.tolist() == [0, 2, 1, 1]
    sliced = made.excluded(lists.slice(1))
    assert sliced.indptr.tolist() == [0, 0, 2]


@pytest.mark.parametrize("rows_a_value", [1, 2, 5])
def test_matrices_travel_as_bytes(rows_a_value):
    matrix = np.arange(15.0).reshape(5, 3)
    values = binary_rows(matrix, rows_a_value)
    np.testing.assert_array_equal(matrix_of(values, 3), matrix)
    np.testing.assert_array_equal(matrix_of(values.slice(1), 3), matrix[rows_a_value:])
    assert matrix_of(values.slice(len(values)), 3).shape == (0, 3)


def test_the_first_bad_row_ends_it():
    bad = pa.RecordBatch.from_arrays([pa.array([1]), id_lists([-1])], ["key", "features"])
    found = list(vectors._vectors(iter([bad, bad]), Shipped(None, splitter()), CONTEXT, "rows"))
    assert [batch.to_pylist() for batch in found] == [
        [
            {
                "keys": None,
                "vectors": None,
                "features": None,
                "details": None,
                "error": "contexts: column 'features': row 0 has the negative index -1 among its ids [-1], "
                "expected >= 0",
            }
        ]
    ]
    with pytest.raises(BadInputError, match="items: column 'features'"):
        vectors._split_batch(bad, Shipped(None, splitter()), ITEM)
