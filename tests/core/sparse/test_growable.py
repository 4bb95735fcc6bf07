import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from spark_fm.core.sparse.growable import GrowableArray


@given(st.lists(st.integers(0, 20), max_size=12))
def test_view_is_what_was_appended(sizes):
    random = np.random.default_rng(0)
    growing, expected = GrowableArray(np.empty((0, 3), np.float32)), np.empty((0, 3), np.float32)
    for size in sizes:
        rows = random.random((size, 3)).astype(np.float32)
        growing.append(rows)
        expected = np.concatenate([expected, rows])
        np.testing.assert_array_equal(growing.view, expected)
    assert growing.view.dtype == np.float32


def test_writes_to_the_view_stay():
    growing = GrowableArray(np.empty(0, np.int64))
    growing.append(np.array([1, 2, 3]))
    growing.view[1] = 7
    growing.append(np.arange(100))
    assert growing.view[:4].tolist() == [1, 7, 3, 0]


def test_what_was_appended_is_copied():
    rows = np.ones((2, 2))
    growing = GrowableArray(rows[:0])
    growing.append(rows)
    growing.view[:] = 5.0
    assert (rows == 1.0).all()
