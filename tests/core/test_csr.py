import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_fm.core.csr import count_occurrences, first_unsorted
from tests.core.strategies import FEATURES, rows
from tests.oracle import block_of, rows_of


@pytest.mark.parametrize(
    ("lists", "expected"),
    [
        ([], -1),
        ([[], [5], [3]], -1),
        ([[1, 2], [1, 2]], -1),
        ([[1, 2], [2, 2]], 3),
        ([[1, 2], [], [3, 9, 4]], 4),
        ([[2, 1], [2, 1]], 1),
    ],
)
def test_first_unsorted(lists, expected):
    indptr = np.cumsum([0] + [len(row) for row in lists])
    assert first_unsorted(indptr, np.array([i for row in lists for i in row], np.int64)) == expected


@given(rows(), st.data())
def test_occurrences_are_those_of_the_rows_that_count(data, draw):
    flags = draw.draw(st.none() | st.lists(st.booleans(), min_size=len(data), max_size=len(data)))
    block = block_of(data, validation=flags)
    counts, squares = np.ones(FEATURES), np.zeros(FEATURES)
    count_occurrences(block.indptr, block.indices, block.values, block.validation, counts, squares)
    expected, of_squares = np.ones(FEATURES), np.zeros(FEATURES)
    for ids, values, *_, held in rows_of(block):
        for i, x in zip(ids, values, strict=True):
            expected[i] += not held
            of_squares[i] += 0.0 if held else float(np.float32(x)) ** 2
    np.testing.assert_array_equal(counts, expected)
    np.testing.assert_allclose(squares, of_squares)
