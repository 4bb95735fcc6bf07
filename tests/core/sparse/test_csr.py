import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_fm.core.sparse.block import NO_FLOATS, concatenate
from spark_fm.core.sparse.csr import count_occurrences, first_unsorted
from tests.core.strategies import FEATURES, rows
from tests.oracle import block_of, counts_of


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


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(data=rows(), more=rows(), draw=st.data())
def test_occurrences_are_those_of_the_rows_that_count(dtype, data, more, draw):
    counts, means, spreads = np.zeros(FEATURES), np.zeros(FEATURES), np.zeros(FEATURES)
    met = []
    for part in (data, more):
        flags = draw.draw(st.none() | st.lists(st.booleans(), min_size=len(part), max_size=len(part)))
        block = block_of(part, validation=flags, dtype=dtype)
        count_occurrences(
            block.indptr, block.indices, block.values, block.weight, block.validation, counts, means, spreads,
            NO_FLOATS,
        )  # fmt: skip
        met.append(block)
    expected = counts_of(concatenate(met), np.arange(FEATURES))
    np.testing.assert_array_equal(counts, expected.counts)
    np.testing.assert_allclose(means, expected.means, atol=1e-12)
    np.testing.assert_allclose(spreads, expected.spreads, rtol=1e-9, atol=1e-12)


def test_spread_beside_a_large_mean_is_not_lost():
    x = 1e9 + np.array([0.0, 1.0, 2.0, 5.0])
    block = block_of([([0], [v]) for v in x], dtype=np.float64)
    counts, means, spreads = np.zeros(1), np.zeros(1), np.zeros(1)
    count_occurrences(
        block.indptr, block.indices, block.values, block.weight, block.validation, counts, means, spreads,
        NO_FLOATS,
    )  # fmt: skip
    assert (counts[0], means[0], spreads[0]) == (4.0, 1e9 + 2.0, pytest.approx(14.0))
