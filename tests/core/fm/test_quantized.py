import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from spark_fm.core.fm.quantized import QuantizedTable
from spark_fm.core.fm.table import TAIL

K = 16


def restored(rounded, own, rows=None):
    found = np.full((own.size if rows is None else rows.size, K + TAIL), np.nan, np.float32)
    rounded.restore(own, rows, found)
    return found


def table(seed, rows=7):
    random = np.random.default_rng(seed)
    made = random.standard_normal((rows, K + TAIL)).astype(np.float32)
    made[:, :K] *= 10.0 ** random.integers(-44, 20, (rows, 1))
    return made


@given(st.integers(0, 2**32))
def test_factors_are_rounded_by_less_than_a_part_in_65000_of_the_largest(seed):
    exact = table(seed)
    found = restored(QuantizedTable.of(exact), exact[:, -1])
    factors = exact[:, :K].astype(np.float64)
    allowed = np.abs(factors).max(axis=1, keepdims=True) / 65_000
    # Below the range of float32 there are no smaller steps.
    smallest = 32767 * float(np.finfo(np.float32).smallest_subnormal)
    assert (np.abs(found[:, :K] - factors) <= allowed + smallest).all()


@given(st.integers(0, 2**32))
def test_weights_accumulators_and_penalties_are_as_they_were(seed):
    exact = table(seed)
    found = restored(QuantizedTable.of(exact), exact[:, -1])
    np.testing.assert_array_equal(found[:, -4:], exact[:, -4:])


def test_rests_and_information_begin_anew():
    exact = table(3)
    assert (exact[:, K:-4] != 0.0).all()
    assert (restored(QuantizedTable.of(exact), exact[:, -1])[:, K:-4] == 0.0).all()


def test_factors_of_zero_stay_zero():
    found = restored(QuantizedTable.of(np.zeros((3, K + TAIL), np.float32)), np.zeros(3, np.float32))
    np.testing.assert_array_equal(found, 0.0)


def test_some_rows_are_those_of_the_whole():
    exact = table(1)
    rounded, own = QuantizedTable.of(exact), exact[:, -1]
    rows = np.array([0, 2, 3, 6], np.int32)
    np.testing.assert_array_equal(restored(rounded, own, rows), restored(rounded, own)[rows])


def test_rounding_changes_nothing_the_second_time():
    exact = table(2)
    once = restored(QuantizedTable.of(exact), exact[:, -1])
    np.testing.assert_allclose(restored(QuantizedTable.of(once), exact[:, -1]), once, rtol=1e-6)
