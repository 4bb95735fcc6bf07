from dataclasses import replace

import numpy as np
import pytest

from spark_fm.core.fm.losses import SQUARED
from spark_fm.core.fm.scaling import FeatureScaling
from spark_fm.core.fm.settings import Scale, Settings
from spark_fm.core.fm.table import padded
from spark_fm.core.fm.weights import ParameterInit, Weights, constant_of, from_centred, to_centred
from spark_fm.core.sparse.block import NO_FLOATS
from tests.core.solver.adagrad.test_step import score
from tests.oracle import Oracle, block_of, rows_of

K = 5
SETTINGS = Settings(SQUARED, factor_size=K)
SCALE = Scale(label_mean=3.0, label_deviation=2.5, weight_mean=1.0)
NONE = FeatureScaling.identity(3)


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


def scaling_of(mean, inverse):
    mean = np.array(mean, float)
    made = FeatureScaling.identity(mean.size)
    return replace(
        made, mean=mean, inverse=np.array(inverse, float), dense=np.flatnonzero(mean).astype(np.int32)
    )


def stepped(parameters, seed, size=0.3):
    """Other parameters, as training would leave them."""
    random, made = np.random.default_rng(seed), touched(parameters)
    made.table[:, :K] += size * random.standard_normal((made.features.size, K)).astype(np.float32)
    made.table[:, -4] += size * random.standard_normal(made.features.size).astype(np.float32)
    return replace(made, intercept=made.intercept + np.array([0.3, 0.0, 0.0]))


def in_units_of_training(scaling, rows):
    return scaling.apply(block_of(rows, features=range(scaling.mean.size), dtype=np.float64))


def trained_z(state, scaling, rows):
    """Predictions in the units of the data of parameters in those of training; ``rows`` have the state's positions."""
    block = in_units_of_training(scaling, rows)
    z = score(state.table, state.intercept[0], block)
    return z * SCALE.label_deviation + SCALE.label_mean


def sizes(model, data, state, scaling, rows):
    """The largest part of each prediction, in both units: what rounding is in proportion to."""
    given = Oracle(model.intercept, model.linear.astype(float), model.factors.astype(float))
    trained = Oracle(state.intercept[0], state.linear.astype(float), state.factors.astype(float))
    local = rows_of(in_units_of_training(scaling, rows))
    return [
        max(
            given.magnitude(model.find(np.array(ids)), np.array(x)),
            trained.magnitude(np.array(places, int), np.array(by)) * SCALE.label_deviation,
        )
        for (ids, x), (places, by, *_) in zip(data, local, strict=True)
    ]


def z_of(model, data):
    rows = [(model.find(np.array(ids, np.int64)).tolist(), x) for ids, x in data]
    return score(model.table, model.intercept, block_of(rows, dtype=np.float64))


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
    assert model.table.shape == (2, padded(factor_size) + 8)
    assert (model.table[:, factor_size:-4] == 0.0).all()
    assert (model.table[:, -3:] == 0.0).all()


def test_fresh_start_follows_the_order_of_the_features():
    start = ParameterInit(SETTINGS, SCALE)
    ascending = start.at(np.array([1, 4, 8]))
    shuffled = start.at(np.array([8, 1, 4]))
    np.testing.assert_array_equal(shuffled.table, ascending.table[[2, 0, 1]])
    assert shuffled.features.tolist() == [8, 1, 4]


def test_own_penalties_are_spread_over_the_occurrences():
    start = ParameterInit(SETTINGS, replace(SCALE, mean_squared_norm=6.0))
    features = np.array([4, 8, 9])
    assert start.at(features, counts=np.array([1.0, 2.0, 12.0])).table[:, -1].tolist() == [6.0, 3.0, 0.5]
    assert start.at(features).table[:, -1].tolist() == [0.0] * 3


SCALINGS = [
    scaling_of([0.0, 0.0, 0.0], [1.0, 1.0, 1.0]),
    scaling_of([0.0, 0.0, 0.0], [0.5, 4.0, 0.1]),
    scaling_of([3.0, 0.0, 0.0], [0.5, 4.0, 0.1]),
    scaling_of([-2.0, 50.0, 0.4], [1.0, 0.1, 3.0]),
    scaling_of([0.0, 1e6, 0.0], [1.0, 10.0, 1.0]),
]
DATA = [
    ([2, 5, 9], [1.0, -0.5, 20.0]),
    ([5], [0.25]),
    ([], []),
    ([2, 9], [3.5, 1.0]),
    ([2, 5, 9], [-1.0, 1e6 + 0.1, 0.5]),
]
FEATURES = np.array([2, 5, 9])
LOCAL = [(np.searchsorted(FEATURES, ids).tolist(), x) for ids, x in DATA]


@pytest.mark.parametrize("scaling", SCALINGS)
def test_model_in_the_units_of_the_data_says_what_the_trained_one_says(scaling):
    start = ParameterInit(SETTINGS, SCALE)
    state = stepped(start.at(FEATURES, scaling), 1)
    model = start.finish(state, scaling)
    expected = trained_z(state, scaling, LOCAL)
    error = np.abs(z_of(model, DATA) - expected)
    assert (error <= 1e-6 * np.array(sizes(model, DATA, state, scaling, LOCAL))).all()
    assert np.ptp(expected) > 1.0


@pytest.mark.parametrize("scaling", SCALINGS)
def test_scores_in_the_units_of_training_are_the_scaled_scores(scaling):
    model = weights([2, 5, 9])
    state = ParameterInit(SETTINGS, SCALE, model).at(FEATURES, scaling)
    error = np.abs(trained_z(state, scaling, LOCAL) - z_of(model, DATA))
    assert (error <= 1e-6 * np.array(sizes(model, DATA, state, scaling, LOCAL))).all()


@pytest.mark.parametrize("scaling", SCALINGS)
def test_start_and_finish_keep_a_model_as_it_was(scaling):
    model = weights([2, 5, 9])
    start = ParameterInit(SETTINGS, SCALE, model)
    state = touched(start.at(FEATURES, scaling))
    back = start.finish(state, scaling)
    np.testing.assert_array_equal(back.features, model.features)
    np.testing.assert_allclose(back.factors, model.factors, rtol=1e-6)
    # A weight is what is left of the pairs with the means.
    pairs = np.abs(scaling.mean).max() * np.abs(model.factors @ model.factors.T).max()
    np.testing.assert_allclose(back.linear, model.linear, atol=1e-6 * max(1.0, pairs))
    error = np.abs(z_of(back, DATA) - z_of(model, DATA))
    assert (error <= 1e-6 * np.array(sizes(model, DATA, state, scaling, LOCAL))).all()


def test_earlier_model_keeps_its_place_when_features_come_in_another_order():
    model, scaling = weights([2, 5, 9]), SCALINGS[3]
    turned = scaling_of(scaling.mean[[2, 0, 1]], scaling.inverse[[2, 0, 1]])
    straight = ParameterInit(SETTINGS, SCALE, model).at(FEATURES, scaling)
    other = ParameterInit(SETTINGS, SCALE, model).at(FEATURES[[2, 0, 1]], turned)
    np.testing.assert_allclose(other.table, straight.table[[2, 0, 1]], rtol=1e-6)
    assert other.intercept[0] == pytest.approx(straight.intercept[0])


def test_units_of_training_and_of_the_data_are_each_others_inverse():
    random = np.random.default_rng(3)
    linear, factors, mean = random.standard_normal(4), random.standard_normal((4, K)), random.normal(0, 9, 4)
    centred, constant = to_centred(linear, factors, mean)
    np.testing.assert_allclose(from_centred(centred, factors, mean, mean @ factors), linear, atol=1e-10)
    at_the_mean = Oracle(0.0, linear, factors).score(np.arange(4), mean)
    assert constant == pytest.approx(at_the_mean)
    assert constant_of(linear, factors, mean, mean @ factors) == pytest.approx(at_the_mean)
    x = random.standard_normal(4)
    expected = Oracle(0.0, linear, factors).score(np.arange(4), x)
    assert Oracle(constant, centred, factors).score(np.arange(4), x - mean) == pytest.approx(expected)


def test_finish_sorts_the_features():
    scaling = scaling_of([0.0] * 3, [2.0, 1.0, 0.5])
    start = ParameterInit(SETTINGS, SCALE)
    state = touched(start.at(np.array([8, 1, 4]), scaling))
    found = start.finish(state, scaling)
    assert found.features.tolist() == [1, 4, 8]
    by = np.array([1.0, 0.5, 2.0])[:, None] * np.sqrt(2.5)
    np.testing.assert_allclose(found.factors, state.factors[[1, 2, 0]] * by, rtol=1e-6)


def test_finish_leaves_out_what_no_step_touched():
    start = ParameterInit(SETTINGS, SCALE)
    state = start.at(np.array([1, 4, 8]))
    state.table[1, -3] = 1.5
    assert start.finish(state, NONE).features.tolist() == [4]


def test_finish_keeps_an_earlier_models_features_that_did_not_occur():
    model = weights([2, 5, 9])
    start = ParameterInit(SETTINGS, SCALE, model)
    found = start.finish(touched(start.at(np.array([5, 7]))), FeatureScaling.identity(2))
    assert found.features.tolist() == [2, 5, 7, 9]
    np.testing.assert_array_equal(found.linear[[0, 3]], model.linear[[0, 2]])
    np.testing.assert_array_equal(found.factors[[0, 3]], model.factors[[0, 2]])


def test_features_that_did_not_occur_say_what_they_said_where_dense_ones_are_at_their_means():
    model = weights([2, 5, 9])
    start, scaling = ParameterInit(SETTINGS, SCALE, model), scaling_of([3.0, 0.0], [0.5, 1.0])
    # Feature 7 is new and sparse, 2 is dense and known; 5 and 9 do not occur.
    state = stepped(start.at(np.array([2, 7]), scaling), 2)
    found = start.finish(state, scaling)
    assert found.features.tolist() == [2, 5, 7, 9]

    def said(model, x):
        without, with_5, with_both = z_of(
            model, [([2], [x]), ([2, 5], [x, 1.0]), ([2, 5, 9], [x, 1.0, -2.0])]
        )
        return np.array([with_5 - without, with_both - without])

    np.testing.assert_allclose(said(found, 3.0), said(model, 3.0), rtol=1e-4)
    assert np.abs(said(found, -3.0) - said(model, -3.0)).max() > 0.1
    # The features that did occur are as they were trained.
    rows = [([0, 1], [4.0, 1.0]), ([0], [-1.0])]
    data = [([2, 7], [4.0, 1.0]), ([2], [-1.0])]
    np.testing.assert_allclose(z_of(found, data), trained_z(state, scaling, rows), rtol=1e-4)


def test_model_that_no_step_has_touched_stays_the_same():
    model, scaling = weights([2, 5, 9]), SCALINGS[3]
    start = ParameterInit(SETTINGS, SCALE, model)
    state = start.at(FEATURES, scaling)
    state.intercept[0] += 2.0
    found = start.finish(state, scaling)
    np.testing.assert_array_equal(found.linear, model.linear)
    np.testing.assert_array_equal(found.factors, model.factors)
    assert found.intercept == pytest.approx(model.intercept + 2.0 * SCALE.label_deviation)


def test_dense_feature_that_no_step_has_touched_says_what_it_said():
    model, scaling = weights([2, 5]), scaling_of([3.0, 0.0, 0.0], [0.5, 1.0, 1.0])
    start = ParameterInit(SETTINGS, SCALE, model)
    state = start.at(FEATURES, scaling)
    # A model that fits already leaves gradients that only a weight of 0 can feel.
    state.table[2, :K], state.table[2, -4] = 0.0, 1e-6
    found = start.finish(state, scaling)
    data = [([2], [3.0]), ([2, 5], [-1.0, 2.0]), ([], [])]
    np.testing.assert_allclose(z_of(found, data), z_of(model, data), rtol=1e-4)


def test_start_gives_fresh_parameters_to_features_that_the_model_does_not_know():
    fresh = ParameterInit(SETTINGS, SCALE).at(np.array([5, 7]))
    warm = ParameterInit(SETTINGS, SCALE, weights([5])).at(np.array([5, 7]))
    np.testing.assert_array_equal(warm.table[1], fresh.table[1])
    assert (warm.table[0] != fresh.table[0]).any()


def test_linear_term_that_is_not_fitted_is_zero():
    start = ParameterInit(replace(SETTINGS, fit_linear=False), SCALE)
    state = touched(start.at(np.array([1])))
    state.table[0, -4] = 0.5
    assert start.finish(state, FeatureScaling.identity(1)).linear.tolist() == [0.0]


def test_intercept_that_is_not_fitted_starts_at_zero_despite_the_model():
    settings = replace(SETTINGS, fit_intercept=False)
    start = ParameterInit(settings, Scale(label_deviation=2.0), weights([1]))
    assert start.at(np.array([1])).intercept[0] == 0.0


def test_weights_without_features_score_the_intercept():
    empty = Weights(np.empty(0, np.int64), NO_FLOATS, np.empty((0, K), np.float32), 1.25)
    assert z_of(empty, [([3, 4], [1.0, 2.0])]).tolist() == [1.25]


def test_the_prior_is_spread_over_the_weights_of_the_rows():
    settings = Settings(SQUARED, factor_size=2)
    alone = ParameterInit(settings, Scale(mean_squared_norm=2.0)).at(
        np.arange(2), counts=np.array([4.0, 8.0])
    )
    # As many rows again, of next to no weight: the mean of the weights is half of that of a usual row.
    scale = Scale(mean_squared_norm=2.0, weight_mean=1.5, usual_weight=3.0, weighted=True)
    light = ParameterInit(settings, scale).at(
        np.arange(2), None, np.array([8.0, 16.0]), np.array([12.0, 24.0])
    )
    np.testing.assert_array_equal(light.feature_penalties, alone.feature_penalties)
    assert scale.effective == 0.5
