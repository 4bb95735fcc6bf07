import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from spark_fm.core.rounded import Rounded

K = 16


def table(seed, rows=7):
    random = np.random.default_rng(seed)
    made = random.standard_normal((rows, K + 4)).astype(np.float32)
    made[:, :K] *= 10.0 ** random.integers(-44, 20, (rows, 1))
    return made


@given(st.integers(0, 2**32))
def test_factors_are_rounded_by_less_than_a_part_in_65000_of_the_largest(seed):
    exact = table(seed)
    found = Rounded.of(exact).table(exact[:, -1], None)
    factors = exact[:, :K].astype(np.float64)
    allowed = np.abs(factors).max(axis=1, keepdims=True) / 65_000
    # Below the range of float32 there are no smaller steps.
    smallest = 32767 * float(np.finfo(np.float32).smallest_subnormal)
    assert (np.abs(found[:, :K] - factors) <= np.maximum(allowed, smallest)).all()


@given(st.integers(0, 2**32))
def test_weights_accumulators_and_penalties_are_as_they_were(seed):
    exact = table(seed)
    found = Rounded.of(exact).table(exact[:, -1], None)
    np.testing.assert_array_equal(found[:, K:], exact[:, K:])


def test_factors_of_zero_stay_zero():
    found = Rounded.of(np.zeros((3, K + 4), np.float32)).table(np.zeros(3, np.float32), None)
    np.testing.assert_array_equal(found, 0.0)


def test_some_rows_are_those_of_the_whole():
    exact = table(1)
    rounded, own = Rounded.of(exact), exact[:, -1]
    rows = np.array([0, 2, 3, 6], np.int32)
    np.testing.assert_array_equal(rounded.table(own, rows), rounded.table(own, None)[rows])


def test_rounding_changes_nothing_the_second_time():
    exact = table(2)
    once = Rounded.of(exact).table(exact[:, -1], None)
    np.testing.assert_allclose(Rounded.of(once).table(exact[:, -1], None), once, rtol=1e-6)
