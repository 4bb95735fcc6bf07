import re
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_fm.engine.packing.arrow import BadInputError, Sparse, read_features, unit_length
from tests.engine.batches import dense, id_lists, sparse, vectors

finite = st.one_of(st.sampled_from([0.0, -0.0, 1.0, 1e-300, 1e38, -1e38]), st.floats(-1e30, 1e30))


def rows_of(found: Sparse):
    """Rows as {id: value}."""
    values = found.values if found.values.size else np.ones(found.ids.size)
    parts = [slice(a, b) for a, b in zip(found.indptr[:-1], found.indptr[1:], strict=True)]
    return [dict(zip(found.ids[p].tolist(), values[p].tolist(), strict=True)) for p in parts]


@st.composite
def vector_rows(draw, size=6):
    """(Arrow row, {id: value} without zeros): dense and sparse mixed, explicit zeros among them."""
    values = draw(st.lists(finite, min_size=size, max_size=size))
    if draw(st.booleans()):
        return dense(*values), {i: x for i, x in enumerate(values) if x != 0.0}
    ids = sorted(draw(st.sets(st.integers(0, size - 1))))
    row = sparse(size, ids, [values[i] for i in ids])
    return row, {i: values[i] for i in ids if values[i] != 0.0}


@given(st.lists(vector_rows(), min_size=1, max_size=8))
def test_vectors_of_both_kinds_become_their_nonzeros(rows):
    found = read_features(vectors(*(row for row, _ in rows)), "vector", "x")
    assert rows_of(found) == [expected for _, expected in rows]
    assert found.size == 6
    assert found.indptr[-1] == found.ids.size


@given(st.lists(vector_rows(), min_size=1, max_size=8), st.data())
def test_sliced_vectors_are_the_rows_of_the_slice(rows, data):
    start = data.draw(st.integers(0, len(rows) - 1))
    length = data.draw(st.integers(1, len(rows) - start))
    array = vectors(*(row for row, _ in rows)).slice(start, length)
    assert rows_of(read_features(array, "vector", "x")) == [e for _, e in rows[start : start + length]]


@given(st.lists(st.sets(st.integers(0, 2**62)).map(list), min_size=1, max_size=8), st.data())
def test_ids_become_ascending_features(rows, data):
    start = data.draw(st.integers(0, len(rows) - 1))
    length = data.draw(st.integers(1, len(rows) - start))
    found = read_features(id_lists(*rows).slice(start, length), "ids", "x")
    assert rows_of(found) == [dict.fromkeys(sorted(ids), 1.0) for ids in rows[start : start + length]]
    assert found.values.size == 0
    assert found.size == -1


@pytest.mark.parametrize("kind", [pa.int16(), pa.int32(), pa.int64()])
def test_ids_of_every_width_are_read(kind):
    assert rows_of(read_features(id_lists([3, 1], [], kind=kind), "ids", "x")) == [{1: 1.0, 3: 1.0}, {}]


def test_repeated_ids_count_as_often_as_they_occur():
    found = read_features(id_lists([5, 2, 5], [], [7, 7, 7], [1, 2]), "ids", "x")
    assert rows_of(found) == [{2: 1.0, 5: 2.0}, {}, {7: 3.0}, {1: 1.0, 2: 1.0}]


@given(st.lists(st.lists(st.integers(0, 6), max_size=9), max_size=6))
def test_ids_are_counted_whatever_their_order(lists):
    found = read_features(id_lists(*lists), "ids", "x")
    assert rows_of(found) == [dict(Counter(ids)) for ids in lists]


@pytest.mark.parametrize("kind", [pa.float32(), pa.float64()])
def test_arrays_of_numbers_are_dense_vectors(kind):
    array = pa.array([[0.0, 2.5, 1.0], [1.0, 0.0, -3.0]], pa.list_(kind))
    found = read_features(array, "dense", "x")
    assert (found.size, rows_of(found)) == (3, [{1: 2.5, 2: 1.0}, {0: 1.0, 2: -3.0}])


@pytest.mark.parametrize(
    "array", [vectors(sparse(4, [1, 3], [1.0, 1.0]), dense(1.0, 0.0, 0.0, 1.0)), vectors(dense(0.0, 0.0))]
)
def test_ones_take_no_memory(array):
    assert read_features(array, "vector", "x").values.size == 0


def test_vectors_without_any_value_keep_their_size():
    found = read_features(vectors(sparse(7, [], []), sparse(7, [2], [0.0])), "vector", "x")
    assert (found.size, found.indptr.tolist(), found.ids.size) == (7, [0, 0, 0], 0)


def test_no_rows_are_no_rows():
    assert read_features(vectors(), "vector", "x").indptr.tolist() == [0]
    assert read_features(id_lists(), "ids", "x").indptr.tolist() == [0]


BIG = 3.5e38
BAD = {
    "null vector": (
        vectors(sparse(3, [0], [1.0]), None),
        "vector",
        "column 'x': row 1 is null, expected features",
    ),
    "null ids": (id_lists([1], None), "ids", "column 'x': row 1 is null, expected features"),
    "null id": (
        id_lists([1], [2, None]),
        "ids",
        "column 'x': row 1 has a null id, expected integers >= 0",
    ),
    "null value": (
        vectors(dense(1.0, 2.0), dense(1.0, None)),
        "vector",
        "column 'x': row 1 has a null value, expected numbers",
    ),
    "NaN": (
        vectors(sparse(9, [3], [1.0]), sparse(9, [4, 7], [1.0, float("nan")])),
        "vector",
        "column 'x': row 1 has the value nan at index 7, expected a finite number of at most 3.4e+38",
    ),
    "infinity": (
        vectors(dense(1.0, float("-inf"))),
        "vector",
        "column 'x': row 0 has the value -inf at index 1, expected a finite number of at most 3.4e+38",
    ),
    "too large for float32": (
        vectors(dense(BIG)),
        "vector",
        "column 'x': row 0 has the value 3.5e+38 at index 0, expected a finite number of at most 3.4e+38",
    ),
    "unsorted": (
        vectors(sparse(9, [1], [1.0]), sparse(9, [5, 2], [1.0, 1.0])),
        "vector",
        "column 'x': row 1 has the unsorted index 2 among its indices [5, 2], "
        "expected ascending indices without duplicates",
    ),
    "duplicate index": (
        vectors(sparse(9, [2, 2, 3], [1.0, 1.0, 1.0])),
        "vector",
        "column 'x': row 0 has the duplicate index 2 among its indices [2, 2, 3], "
        "expected ascending indices without duplicates",
    ),
    "null in an array": (
        pa.array([[1.0, 2.0], [1.0, None]]),
        "dense",
        "column 'x': row 1 has a null value, expected numbers",
    ),
    "NaN in an array": (
        pa.array([[1.0, float("nan")]]),
        "dense",
        "column 'x': row 0 has the value nan at index 1, expected a finite number of at most 3.4e+38",
    ),
    "arrays of two sizes": (
        pa.array([[1.0, 2.0], [1.0]]),
        "dense",
        "column 'x': vectors of different sizes: row 0 has 2, row 1 has 1, expected one size",
    ),
    "negative index": (
        vectors(sparse(9, [-3, 2], [1.0, 1.0])),
        "vector",
        "column 'x': row 0 has the negative index -3 among its indices [-3, 2], expected >= 0",
    ),
    "negative id": (
        id_lists([4, -1]),
        "ids",
        "column 'x': row 0 has the negative index -1 among its ids [4, -1], expected >= 0",
    ),
    "index beyond the size": (
        vectors(sparse(3, [1, 3], [1.0, 1.0])),
        "vector",
        "column 'x': row 0 has the index 3 among its indices [1, 3], expected less than the vector's size 3",
    ),
    "two sizes": (
        vectors(sparse(3, [1], [1.0]), dense(1.0, 2.0, 3.0), dense(1.0)),
        "vector",
        "column 'x': vectors of different sizes: row 0 has 3, row 2 has 1, expected one size",
    ),
    "more indices than values": (
        vectors(sparse(3, [0, 1], [1.0])),
        "vector",
        "column 'x': row 0 has 2 indices and 1 values, expected as many of one as of the other",
    ),
}


@pytest.mark.parametrize(("array", "kind", "sentence"), BAD.values(), ids=BAD.keys())
def test_bad_features_are_told_in_a_sentence(array, kind, sentence):
    with pytest.raises(BadInputError, match=f"^{re.escape(sentence)}$"):
        read_features(array, kind, "x")


def test_long_rows_are_shown_by_their_beginning():
    with pytest.raises(BadInputError, match=re.escape("[0, 1, 2, 3, 4, 5, 6, 7, ...]")):
        read_features(id_lists([*range(20), -1]), "ids", "x")


def test_bad_row_of_a_slice_is_counted_within_the_slice():
    array = vectors(*[dense(1.0)] * 3, dense(float("nan"))).slice(2)
    with pytest.raises(BadInputError, match="row 1 has the value nan"):
        read_features(array, "vector", "x")


def test_ascending_indices_need_not_ascend_across_rows():
    found = read_features(
        vectors(sparse(9, [7, 8], [1.0, 1.0]), sparse(9, [0, 8], [1.0, 1.0])), "vector", "x"
    )
    assert found.ids.tolist() == [7, 8, 0, 8]


@given(st.lists(vector_rows(), min_size=1, max_size=8))
def test_unit_length(rows):
    found = rows_of(unit_length(read_features(vectors(*(row for row, _ in rows)), "vector", "x")))
    for scaled, (_, before) in zip(found, rows, strict=True):
        assert scaled.keys() == before.keys()
        if before:
            assert sum(x * x for x in scaled.values()) == pytest.approx(1.0)
            largest = max(before, key=lambda i: abs(before[i]))
            for i, x in before.items():
                assert scaled[i] / scaled[largest] == pytest.approx(x / before[largest])


def test_unit_length_of_ids():
    assert rows_of(unit_length(read_features(id_lists([3, 5, 7, 9], []), "ids", "x"))) == [
        pytest.approx(dict.fromkeys([3, 5, 7, 9], 0.5)),
        {},
    ]


PAIRS = pa.struct([("ids", pa.list_(pa.int64())), ("values", pa.list_(pa.float64()))])


def pairs(*rows):
    return pa.array([row and {"ids": row[0], "values": row[1]} for row in rows], PAIRS)


@given(
    st.lists(st.lists(st.tuples(st.integers(0, 9), st.integers(-3, 3)), max_size=6), min_size=1, max_size=6),
    st.data(),
)
def test_pairs_add_up_and_zeros_are_left_out(rows, data):
    start = data.draw(st.integers(0, len(rows) - 1))
    array = pairs(*(([i for i, _ in row], [x for _, x in row]) for row in rows)).slice(start)
    expected = []
    for row in rows[start:]:
        sums = Counter()
        for i, x in row:
            sums[i] += x
        expected.append({i: float(sums[i]) for i in sorted(sums) if sums[i]})
    found = read_features(array, "pairs", "x")
    assert rows_of(found) == expected
    assert found.size == -1


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        (None, "row 1 is null, expected features"),
        ((None, [1.0]), "row 1 has null for ids, expected an array"),
        (([1], None), "row 1 has null for values, expected an array"),
        (([1, 2], [1.0]), "row 1 has 2 ids and 1 values, expected as many of one as of the other"),
        (([1, None], [1.0, 2.0]), "row 1 has a null id, expected integers >= 0"),
        (([1, -2], [1.0, 2.0]), "row 1 has the negative index -2 among its ids [1, -2], expected >= 0"),
        (([1, 2], [1.0, None]), "row 1 has a null value, expected numbers"),
        (
            ([1, 2], [1.0, float("nan")]),
            "row 1 has the value nan at index 2, expected a finite number of at most 3.4e+38",
        ),
        (
            ([2, 1], [1.0, float("inf")]),
            "row 1 has the value inf at index 1, expected a finite number of at most 3.4e+38",
        ),
    ],
)
def test_pairs_that_are_none_are_refused(row, sentence):
    with pytest.raises(BadInputError, match=f"^{re.escape(f'column {chr(39)}x{chr(39)}: {sentence}')}$"):
        read_features(pairs(([0], [1.0]), row), "pairs", "x")


def test_pairs_stay_what_they_were():
    array = pairs(([2, 1, 2], [1.0, 2.0, 3.0]))
    read_features(array, "pairs", "x")
    assert array.to_pylist() == [{"ids": [2, 1, 2], "values": [1.0, 2.0, 3.0]}]
