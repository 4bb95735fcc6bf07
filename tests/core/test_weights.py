from dataclasses import replace

import numpy as np
import pytest

from spark_fm.core.block import NO_FLOATS
from spark_fm.core.loss import Loss
from spark_fm.core.settings import Scale, Settings
from spark_fm.core.weights import Start, Weights
from tests.core.test_kernel import score
from tests.oracle import block_of

K = 5
SETTINGS = Settings(Loss.SQUARED, factor_size=K)
SCALE = Scale(label_mean=3.0, label_deviation=2.5, weight_mean=1.0)


def weights(features, seed=0, factor_size=K):
    random = np.random.default_rng(seed)
    return Weights(
        np.array(features, np.int64),
        random.standard_normal(len(features)).astype(np.float32),
        random.standard_normal((len(features), factor_size)).astype(np.float32),
        0.75,
    )


def touched(parameters):
    """As if a step had gone over every feature."""
    table = parameters.table.copy()
    table[:, -3:-1] += 0.5
    return replace(parameters, table=table)


def z_of(model, data):
    rows = [(model.find(np.array(ids, np.int64)).tolist(), x) for ids, x in data]
    return score(model.table, model.intercept, block_of(rows))


def test_find_gives_rows_and_minus_one_for_the_unknown():
    model = weights([2, 5, 9])
    assert model.find(np.array([9, 2, 3, 100, 0, 5])).tolist() == [2, 0, -1, -1, -1, 1]


def test_find_in_an_empty_model_finds_nothing():
    assert weights([]).find(np.array([0, 7])).tolist() == [-1, -1]


@pytest.mark.parametrize("factor_size", [0, 1, 8, 11])
def test_table_has_the_kernels_layout(factor_size):
    model = weights([1, 2], factor_size=factor_size)
    np.testing.assert_array_equal(model.table[:, :factor_size], model.factors)
    np.testing.assert_array_equal(model.table[:, -4], model.linear)
    assert (model.table[:, factor_size:-4] == 0.0).all()


def test_fresh_start_follows_the_order_of_the_features():
    start = Start(SETTINGS, SCALE)
    ascending = start.at(np.array([1, 4, 8]), None)
    shuffled = start.at(np.array([8, 1, 4]), None)
    np.testing.assert_array_equal(shuffled.table, ascending.table[[2, 0, 1]])
    assert shuffled.features.tolist() == [8, 1, 4]


@pytest.mark.parametrize("inverse", [None, np.array([0.5, 4.0, 1.0], np.float32)])
def test_start_and_finish_keep_a_model_as_it_was(inverse):
    model = weights([2, 5, 9])
    start = Start(SETTINGS, SCALE, model)
    back = start.finish(touched(start.at(model.features, inverse)), inverse)
    np.testing.assert_array_equal(back.features, model.features)
    np.testing.assert_allclose(back.linear, model.linear, rtol=1e-5)
    np.testing.assert_allclose(back.factors, model.factors, rtol=1e-5)
    assert back.intercept == pytest.approx(model.intercept)


def test_scores_in_the_units_of_training_are_the_scaled_scores():
    model = weights([2, 5, 9])
    inverse = np.array([0.5, 4.0, 0.1], np.float32)
    state = Start(SETTINGS, SCALE, model).at(model.features, inverse)
    data = [([2, 5, 9], [1.0, -0.5, 20.0]), ([5], [0.25]), ([], [])]
    local = block_of([([[2, 5, 9].index(i) for i in ids], x) for ids, x in data])
    scaled = replace(local, values=local.values * inverse[local.indices])
    z = score(state.table, state.intercept[0], scaled)
    np.testing.assert_allclose(z * 2.5 + 3.0, z_of(model, data), rtol=1e-4)


def test_finish_sorts_the_features():
    inverse = np.array([2.0, 1.0, 0.5], np.float32)
    start = Start(SETTINGS, SCALE)
    state = touched(start.at(np.array([8, 1, 4]), inverse))
    found = start.finish(state, inverse)
    assert found.features.tolist() == [1, 4, 8]
    by = np.array([1.0, 0.5, 2.0])[:, None] * np.sqrt(2.5)
    np.testing.assert_allclose(found.factors, state.factors[[1, 2, 0]] * by, rtol=1e-6)


def test_finish_leaves_out_what_no_step_touched():
    start = Start(SETTINGS, SCALE)
    state = start.at(np.array([1, 4, 8]), None)
    state.table[1, -3] = 1.5
    assert start.finish(state, None).features.tolist() == [4]


def test_finish_keeps_an_earlier_models_features_that_did_not_occur():
    model = weights([2, 5, 9])
    start = Start(SETTINGS, SCALE, model)
    found = start.finish(touched(start.at(np.array([5, 7]), None)), None)
    assert found.features.tolist() == [2, 5, 7, 9]
    np.testing.assert_array_equal(found.linear[[0, 3]], model.linear[[0, 2]])
    np.testing.assert_array_equal(found.factors[[0, 3]], model.factors[[0, 2]])


def test_start_gives_fresh_parameters_to_features_that_the_model_does_not_know():
    fresh = Start(SETTINGS, SCALE).at(np.array([5, 7]), None)
    warm = Start(SETTINGS, SCALE, weights([5])).at(np.array([5, 7]), None)
    np.testing.assert_array_equal(warm.table[1], fresh.table[1])
    assert (warm.table[0] != fresh.table[0]).any()


def test_linear_term_that_is_not_fitted_is_zero():
    start = Start(replace(SETTINGS, fit_linear=False), SCALE)
    state = touched(start.at(np.array([1]), None))
    state.table[0, -4] = 0.5
    assert start.finish(state, None).linear.tolist() == [0.0]


def test_intercept_that_is_not_fitted_starts_at_zero_despite_the_model():
    settings = replace(SETTINGS, fit_intercept=False)
    start = Start(settings, Scale(label_deviation=2.0), weights([1]))
    assert start.at(np.array([1]), None).intercept[0] == 0.0


def test_weights_without_features_score_the_intercept():
    empty = Weights(np.empty(0, np.int64), NO_FLOATS, np.empty((0, K), np.float32), 1.25)
    assert z_of(empty, [([3, 4], [1.0, 2.0])]).tolist() == [1.25]
