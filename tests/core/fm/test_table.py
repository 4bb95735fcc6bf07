import numpy as np
import pytest

from spark_fm.core.fm import table as table_module
from spark_fm.core.fm.table import TAIL, aligned_table, initial_parameters, padded


@pytest.mark.parametrize(
    ("factor_size", "expected"), [(0, 8), (1, 8), (7, 8), (8, 8), (9, 16), (16, 16), (17, 24)]
)
def test_padding_is_to_whole_vectors(factor_size, expected):
    assert padded(factor_size) == expected


@pytest.mark.parametrize("factor_size", [0, 3, 8, 13])
def test_initial_parameters(factor_size):
    made = initial_parameters(np.arange(4000, dtype=np.int64), factor_size, 1.5, 0.2, seed=3)
    assert made.table.dtype == np.float32
    assert made.intercept.tolist() == [1.5, 1.0, 0.0]
    assert made.intercept.dtype == np.float64
    assert (made.linear == 0.0).all()
    assert (made.table[:, -3:-1] == 1.0).all()
    assert made.table.shape == (4000, padded(factor_size) + TAIL)
    assert (made.table[:, factor_size:-3] == 0.0).all()
    assert (made.table[:, -1] == 0.0).all()
    assert made.factors.shape == (4000, factor_size)
    if factor_size:
        assert made.factors.std() == pytest.approx(0.2, rel=0.05)
        assert made.factors.mean() == pytest.approx(0.0, abs=0.02)


def test_initial_parameters_depend_on_the_seed():
    def table(seed):
        return initial_parameters(np.arange(5, dtype=np.int64), 4, 0.0, 0.1, seed).table

    np.testing.assert_array_equal(table(1), table(1))
    assert (table(1) != table(2)).any()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_is_finite_sees_every_part(bad):
    def parameters():
        return initial_parameters(np.arange(3, dtype=np.int64), 4, 0.0, 0.1, 0)

    assert parameters().is_finite()
    for column in (0, 3, -8, -7, -6, -5, -4, -3, -2):
        made = parameters()
        made.table[1, column] = bad
        assert not made.is_finite()
    for number in range(3):
        made = parameters()
        made.intercept[number] = bad
        assert not made.is_finite()


@pytest.mark.parametrize("factor_size", [0, 8, 13])
@pytest.mark.parametrize("rows", [0, 1, 77])
def test_table_begins_with_a_cache_line(factor_size, rows):
    for _ in range(5):
        table = aligned_table(rows, factor_size)
        assert table.shape == (rows, padded(factor_size) + TAIL)
        assert table.dtype == np.float32
        assert table.ctypes.data % 64 == 0 or not rows
        table[:] = 1.0


def test_factors_are_drawn_in_the_order_of_the_ids_whatever_the_order_of_the_features(monkeypatch):
    monkeypatch.setattr(table_module, "ROWS_AT_A_TIME", 64)
    ascending = np.arange(0, 3000, 3, dtype=np.int64)
    mixed = np.random.default_rng(1).permutation(ascending)
    expected = np.random.default_rng([7, 0x5EED]).standard_normal((1000, 5), np.float32) * np.float32(0.1)
    for features in (ascending, mixed):
        made = initial_parameters(features, 5, 0.25, 0.1, 7)
        np.testing.assert_array_equal(made.factors, expected[features // 3])
        assert (made.accumulators == 1.0).all()
        assert (made.linear == 0.0).all()


@pytest.mark.parametrize("rows", [0, 1, 63, 64, 65, 1000])
def test_every_row_is_visited_once(rows, monkeypatch):
    monkeypatch.setattr(table_module, "ROWS_AT_A_TIME", 64)
    seen = np.zeros(rows, int)

    def visit(some):
        seen[some] += 1

    table_module.over_rows(rows, visit)
    assert (seen == 1).all()


def test_what_fails_in_a_thread_fails(monkeypatch):
    monkeypatch.setattr(table_module, "ROWS_AT_A_TIME", 10)

    def fail(some):
        raise ValueError(str(some))

    with pytest.raises(ValueError, match="slice"):
        table_module.over_rows(100, fail)
