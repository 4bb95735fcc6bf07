import numpy as np
import pytest

from spark_fm.core.fm.losses import LOGISTIC, SQUARED
from spark_fm.core.fm.settings import Prior, Scale, Settings, spread

REGRESSION = Settings(SQUARED)
CLASSIFICATION = Settings(LOGISTIC)


def test_regression_shifts_by_the_mean_and_divides_by_the_deviation():
    scale = Scale.of(REGRESSION, 2.0, 3.5, 4.0)
    assert scale == Scale(label_mean=3.5, label_deviation=2.0, weight_mean=2.0, intercept=0.0)


def test_regression_without_intercept_only_divides():
    settings = Settings(SQUARED, fit_intercept=False)
    scale = Scale.of(settings, 1.0, 3.0, 16.0)
    assert scale == Scale(label_mean=0.0, label_deviation=5.0, weight_mean=1.0, intercept=0.0)


@pytest.mark.parametrize(("mean", "variance"), [(0.0, 0.0), (5.0, 0.0), (1e9, 1e-6), (-3.0, 1e-24)])
def test_constant_label_is_not_divided(mean, variance):
    scale = Scale.of(REGRESSION, 1.0, mean, variance)
    assert (scale.label_mean, scale.label_deviation) == (mean, 1.0)


def test_classification_keeps_labels_and_starts_at_the_log_odds():
    scale = Scale.of(CLASSIFICATION, 1.5, 0.2, 0.16)
    assert (scale.label_mean, scale.label_deviation, scale.weight_mean) == (0.0, 1.0, 1.5)
    assert scale.intercept == pytest.approx(np.log(0.25))


def test_classification_without_intercept_starts_at_zero():
    settings = Settings(LOGISTIC, fit_intercept=False)
    assert Scale.of(settings, 1.0, 0.2, 0.16).intercept == 0.0


def test_prior_is_of_constant_strength_unless_it_adapts():
    settings = Settings(LOGISTIC, reg_prior=0.6)
    assert settings.prior(judged=True) == settings.prior(judged=False) == Prior(0.6, 0.6)
    assert not settings.prior(judged=True).changes


def test_adaptive_prior_begins_weak_where_validation_rows_judge():
    settings = Settings(LOGISTIC, reg_prior=0.6, adapt_prior=True)
    prior = settings.prior(judged=True)
    assert prior.first < settings.prior(judged=False).first < prior.later == 0.6
    assert prior.changes
    assert not settings.prior(judged=False).changes


def test_prior_changes_after_its_epochs():
    prior = Prior(1.0, 2.0, 3)
    assert [prior.at(epochs) for epochs in (0.0, 2.9, 3.0, 7.0)] == [1.0, 1.0, 2.0, 2.0]
    assert Prior(1.0, 2.0).at(1e9) == 1.0


def test_penalty_is_spread_over_a_features_occurrences():
    found = spread(np.array([0.0, 1.0, 4.0]), 8.0)
    assert found.dtype == np.float32
    assert found.tolist() == [8.0, 8.0, 2.0]


def test_largest_penalty_takes_a_factor_to_zero_in_one_step():
    settings = Settings(LOGISTIC, factor_size=8)
    # The gradient l v moves v by step * l * v when its accumulator is one.
    assert 0.5 * settings.largest_penalty(0.5) * settings.prior_of_factors == 1.0


@pytest.mark.parametrize("settings", [REGRESSION, CLASSIFICATION])
def test_scale_knows_how_long_rows_are_and_whether_they_have_weights(settings):
    assert Scale.of(settings, 1.0, 0.5, 0.25, 7.0, weighted=True).weighted
    assert not Scale.of(settings, 1.0, 0.5, 0.25).weighted
    assert Scale.of(settings, 1.0, 0.5, 0.25, 7.0).mean_squared_norm == 7.0


@pytest.mark.parametrize(
    ("intercept", "linear", "expected"), [(True, True, True), (False, True, False), (True, False, False)]
)
def test_centring_needs_an_intercept_and_weights(intercept, linear, expected):
    assert Settings(SQUARED, fit_intercept=intercept, fit_linear=linear).centres == expected
