from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_fm.core.fm.scaling import FeatureCounts, FeatureScaling, evenness
from spark_fm.core.sparse.block import NO_FLOATS
from spark_fm.core.sparse.csr import count_occurrences
from tests.oracle import block_of, counts_of, rows_of


def rows_with(columns):
    """Rows of a dense matrix, its zeros left out."""
    data = [(np.flatnonzero(row).tolist(), row[row != 0.0].tolist()) for row in columns]
    return block_of(data, features=range(columns.shape[1]), dtype=np.float64)


def counted(block):
    counts, means, spreads = (np.zeros(block.features.size) for _ in range(3))
    count_occurrences(
        block.indptr, block.indices, block.values, block.weight, block.validation, counts, means, spreads,
        NO_FLOATS,
    )  # fmt: skip
    return FeatureCounts(block.features, counts, means, spreads)


def scaling_of(block, centred=True):
    return FeatureScaling.of(counted(block), block.rows, centred)


def matrix(block):
    """A block's rows as they are stored: a place without an entry is not a number."""
    dense = np.full((block.rows, block.features.size), np.nan)
    for r, (ids, values, *_) in enumerate(rows_of(block)):
        dense[r, list(ids)] = values
    return dense


def column(values, rows=10):
    """A single feature with these values in the first rows and zeros in the others."""
    return rows_with(np.array([*values, *[0.0] * (rows - len(values))])[:, None])


def test_dense_column_is_centred_and_scaled_to_unit_variance():
    x = np.random.default_rng(0).normal(50.0, 7.0, (200, 2))
    block = rows_with(x)
    scaling = scaling_of(block)
    assert scaling.dense.tolist() == [0, 1]
    np.testing.assert_allclose(scaling.mean, x.mean(axis=0))
    np.testing.assert_allclose(scaling.inverse, 1.0 / x.std(axis=0))
    found = matrix(scaling.apply(block))
    np.testing.assert_allclose(found, (x - x.mean(axis=0)) / x.std(axis=0), atol=1e-5)


def test_zeros_of_a_dense_column_are_values_too():
    x = np.array([3.0, 0.0, 4.0, 5.0, 7.0, 1.0, 2.0, 9.0, 8.0, 6.0])
    block = column(x)
    assert block.nonzeros == 9
    applied = scaling_of(block).apply(block)
    assert applied.nonzeros == 10
    np.testing.assert_allclose(matrix(applied)[:, 0], (x - x.mean()) / x.std(), rtol=1e-6)


@pytest.mark.parametrize(("filled", "dense"), [(8, False), (9, True), (10, True)])
def test_column_with_a_value_in_more_than_four_fifths_of_the_rows_is_dense(filled, dense):
    block = column(np.linspace(0.1, 0.9, filled))
    scaling = scaling_of(block)
    assert scaling.dense.size == dense
    assert (scaling.mean[0] != 0.0) == dense
    assert (scaling_of(block, centred=False).mean == 0.0).all()


def test_sparse_column_keeps_its_values_unless_they_are_large():
    small, large = [0.5, -0.25, 1.0], [10.0, -20.0, 20.0]
    block = rows_with(np.array([[*small, *[0.0] * 7], [*large, *[0.0] * 7]]).T)
    scaling = scaling_of(block)
    assert scaling.mean.tolist() == [0.0, 0.0]
    assert scaling.inverse == pytest.approx([1.0, 1.0 / np.sqrt(300.0)])
    found = matrix(scaling.apply(block))
    np.testing.assert_allclose(found[:3, 0], small)
    np.testing.assert_allclose(found[:3, 1], np.array(large) / np.sqrt(300.0), rtol=1e-6)
    assert np.isnan(found[3:]).all()


@pytest.mark.parametrize("value", [7.0, -3.0, 1e-4, 1e9])
@pytest.mark.parametrize("filled", [9, 10])
def test_constant_is_not_centred(value, filled):
    block = column([value] * filled)
    scaling = scaling_of(block)
    assert (scaling.dense.size, scaling.mean[0]) == (0, 0.0)
    assert scaling.inverse[0] == pytest.approx(1.0 / abs(value))
    np.testing.assert_allclose(matrix(scaling.apply(block))[:filled, 0], np.sign(value), rtol=1e-6)


def test_rounding_of_a_constant_is_no_spread():
    block = column(0.1 + np.array([0.0, 1e-17, -1e-17, 2e-17] * 3)[:10] + 1e-16)
    values = 1e6 / 3 * (1.0 + 1e-16 * np.arange(10))
    assert scaling_of(block).dense.size == scaling_of(column(values)).dense.size == 0


def test_dense_column_that_is_not_centred_has_a_root_mean_square_of_one():
    x = np.array([3.0, 0.1, 4.0, 5.0, 7.0, 1.0, 2.0, 9.0, 8.0, 6.0])
    for by in (1.0, 1e-3):
        block = column(by * x)
        scaling = scaling_of(block, centred=False)
        assert scaling.dense.size == 0
        found = matrix(scaling.apply(block))[:, 0]
        assert (found**2).mean() == pytest.approx(1.0)
        np.testing.assert_allclose(found / found[0], x / x[0], rtol=1e-5)


def test_ones_stay_as_they_are():
    block = block_of([([0, 1], [1.0, 1.0]), ([0, 2], [1.0, 1.0])], features=[3, 4, 5])
    scaling = scaling_of(block)
    assert scaling.is_identity
    applied = scaling.apply(block)
    assert applied.values is NO_FLOATS or applied.values.size == 0
    assert scaling.squared_norm == 2.0


def test_values_that_become_ones_stay_out_of_memory():
    block = column([7.0] * 10)
    assert not scaling_of(block).is_identity
    assert scaling_of(block).apply(block).values.size == 0


def test_identity_only_makes_values_shorter():
    block = rows_with(np.array([[0.1, 5.0], [0.0, 2.0]]))
    applied = FeatureScaling.identity(2).apply(block)
    assert applied.values.dtype == np.float32
    np.testing.assert_array_equal(applied.values, block.values.astype(np.float32))
    np.testing.assert_array_equal(applied.indices, block.indices)


@st.composite
def columns(draw):
    values = st.sampled_from([0.0, 1e-30, -1e-30, 1e-8, 0.5, 1.0, -2.0, 1e6, 1e30, -1e30])
    kinds = {"any": values, "constant": st.just(draw(values)), "most": st.floats(1.0, 5.0)}
    rows = draw(st.integers(1, 12))
    made = [draw(st.lists(kinds[draw(st.sampled_from(sorted(kinds)))], min_size=rows, max_size=rows))
            for _ in range(draw(st.integers(1, 4)))]  # fmt: skip
    return np.array(made, np.float64).T


@given(columns(), st.booleans())
def test_values_of_any_size_stay_finite_and_have_the_energy(x, centred):
    block = rows_with(x)
    scaling = scaling_of(block, centred)
    assert np.isfinite(scaling.mean).all()
    assert np.isfinite(scaling.inverse).all()
    found = matrix(scaling.apply(block))
    np.testing.assert_array_equal(
        np.isnan(found), (x == 0.0) & ~np.isin(np.arange(x.shape[1]), scaling.dense)
    )
    assert np.abs(found[~np.isnan(found)]).max(initial=0.0) <= np.sqrt(x.shape[0]) * 1.0001
    assert scaling.squared_norm == pytest.approx(np.nansum(found**2) / x.shape[0], rel=1e-4, abs=1e-30)


def test_large_mean_beside_a_small_spread_stays_precise():
    spread = np.random.default_rng(1).standard_normal((500, 1))
    block = rows_with(1e9 + spread)
    found = matrix(scaling_of(block).apply(block))
    # Numbers of 1e9 have 2^-23 between them in double precision, 64 in single precision.
    np.testing.assert_allclose(found, (spread - spread.mean()) / spread.std(), atol=2e-5)


def test_feature_without_a_row_is_as_it_is():
    counted = FeatureCounts(np.array([5]), np.zeros(1), np.zeros(1), np.zeros(1))
    scaling = FeatureScaling.of(counted, 3, True)
    assert (scaling.mean[0], scaling.inverse[0], scaling.dense.size, scaling.squared_norm) == (
        0.0,
        1.0,
        0,
        0.0,
    )


def test_usual_row_is_shorter_than_the_mean_where_few_are_very_long():
    def of(lengths):
        return evenness(len(lengths), sum(lengths), np.sqrt(lengths).sum())

    assert of([7] * 10) == pytest.approx(1.0)
    assert of([1] * 99 + [9901]) == pytest.approx(((99 + np.sqrt(9901)) / 100) ** 2 / 100)
    assert evenness(3, 0, 0.0) == 1.0


def test_energy_is_that_of_a_usual_row():
    block = block_of([([0], [1.0]), ([0, 1], [1.0, 1.0])], features=[0, 1])
    assert FeatureScaling.of(counted(block), 2, True, evenness=0.5).squared_norm == 0.75


def test_applying_leaves_the_block_as_it_is():
    block = rows_with(np.random.default_rng(2).random((9, 2)) * 30.0)
    values, indices = block.values.copy(), block.indices.copy()
    applied = scaling_of(block).apply(block)
    np.testing.assert_array_equal(block.values, values)
    np.testing.assert_array_equal(block.indices, indices)
    assert (applied.values != values).all()


def test_popular_features_come_first():
    counts = FeatureCounts(
        np.array([7, 3, 9, 1]), np.array([2.0, 5.0, 5.0, 1.0]), np.arange(4.0), 10.0 * np.arange(4.0)
    )
    found = counts.popular_first()
    assert found.ids.tolist() == [3, 9, 7, 1]
    assert found.counts.tolist() == [5.0, 5.0, 2.0, 1.0]
    assert found.means.tolist() == [1.0, 2.0, 0.0, 3.0]
    assert found.spreads.tolist() == [10.0, 20.0, 0.0, 30.0]


def test_rows_of_next_to_no_weight_move_no_centre():
    rows = np.array([[1.0], [2.0], [4.0], [900.0], [0.0]])
    light = replace(rows_with(rows), weight=np.array([1.0, 1.0, 2.0, 1e-9, 1e-9], np.float32))
    found = FeatureScaling.of(counts_of(light), light.training_weight, True)
    expected = scaling_of(rows_with(np.array([[1.0], [2.0], [4.0], [4.0]])))
    np.testing.assert_allclose(found.mean, expected.mean, rtol=1e-5)
    np.testing.assert_allclose(found.inverse, expected.inverse, rtol=1e-3)
    assert found.squared_norm == pytest.approx(expected.squared_norm, rel=1e-5)
