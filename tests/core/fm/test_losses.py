import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_fm.core.fm.losses import (
    LOGISTIC,
    SQUARED,
    largest_curvature,
    loss_derivative,
    loss_value,
    sigmoid,
)
from tests import oracle

scores = st.floats(-700.0, 700.0)
LOSSES = [SQUARED, LOGISTIC]


@pytest.mark.parametrize("loss", LOSSES)
@given(z=scores, y=st.sampled_from([0.0, 1.0]))
def test_value_is_that_of_the_formula(loss, z, y):
    assert loss_value(loss.number, z, y) == pytest.approx(oracle.value(loss, z, y), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("loss", LOSSES)
@given(z=st.floats(-30.0, 30.0), y=st.sampled_from([0.0, 1.0]))
def test_derivative_is_that_of_finite_differences(loss, z, y):
    h = 1e-5
    slope = (loss_value(loss.number, z + h, y) - loss_value(loss.number, z - h, y)) / (2 * h)
    assert loss_derivative(loss.number, z, y) == pytest.approx(slope, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize(("z", "expected"), [(0.0, 0.5), (1e4, 1.0), (-1e4, 0.0), (1.0, 0.7310585786)])
def test_sigmoid_does_not_overflow(z, expected):
    assert sigmoid(z) == pytest.approx(expected)


@pytest.mark.parametrize("y", [0.0, 1.0])
def test_logistic_loss_of_certain_scores_is_finite(y):
    wrong = 1e4 if y == 0.0 else -1e4
    assert loss_value(LOGISTIC.number, wrong, y) == pytest.approx(1e4)
    assert loss_value(LOGISTIC.number, -wrong, y) == 0.0


@pytest.mark.parametrize("loss", LOSSES)
def test_largest_curvature_is_the_steepest_rise_of_the_derivative(loss):
    z = np.linspace(-5.0, 5.0, 2001)
    slopes = np.diff([loss_derivative(loss.number, x, 0.0) for x in z]) / np.diff(z)
    assert largest_curvature(loss.number) == pytest.approx(slopes.max(), rel=1e-4)


def test_sum_weights_each_row():
    z, y = np.array([1.0, 2.0, 3.0]), np.array([0.0, 0.0, 5.0])
    assert SQUARED.sum(z, y, np.empty(0, np.float32)) == pytest.approx(0.5 + 2.0 + 2.0)
    assert SQUARED.sum(z, y, np.array([2.0, 0.0, 1.0], np.float32)) == pytest.approx(1.0 + 2.0)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("labels", [[0.0, 1.0], [1.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]])
def test_training_starts_where_the_best_constant_has_no_slope(loss, labels):
    scale = loss.label_scale(float(np.mean(labels)), float(np.var(labels)), fit_intercept=True)
    scaled = (np.array(labels) - scale.mean) / scale.deviation
    slopes = [loss_derivative(loss.number, scale.intercept, y) for y in scaled]
    assert sum(slopes) == pytest.approx(0.0, abs=1e-12)
    losses = [loss.value(scale.intercept, y) for y in scaled]
    assert loss.constant_loss(scale.intercept) == pytest.approx(np.mean(losses))


@pytest.mark.parametrize(("mean", "sign"), [(0.0, -1.0), (1.0, 1.0)])
def test_best_constant_of_a_single_class_is_finite(mean, sign):
    z = LOGISTIC.label_scale(mean, 0.0, fit_intercept=True).intercept
    assert np.isfinite(z)
    assert z * sign > 10.0


def test_loss_of_the_best_constant():
    assert SQUARED.constant_loss(0.0) == 0.5
    assert LOGISTIC.constant_loss(0.0) == pytest.approx(np.log(2.0))
    rate = 1.0 / (1.0 + np.exp(3.0))
    entropy = -rate * np.log(rate) - (1.0 - rate) * np.log(1.0 - rate)
    assert LOGISTIC.constant_loss(-3.0) == pytest.approx(entropy)


def test_losses_are_reported_in_the_units_of_the_data():
    assert SQUARED.in_data_units(0.5, 3.0) == 9.0
    assert LOGISTIC.in_data_units(0.5, 1.0) == 0.5


@pytest.mark.parametrize("loss", LOSSES)
def test_squared_gradients_are_so_many_times_the_curvature(loss):
    """At the best constant, over many labels: E[g^2] = scale * E[second derivative]."""
    y = (np.arange(1000) < 300).astype(float)
    scale = loss.label_scale(float(y.mean()), float(y.var()), fit_intercept=True)
    y, z, h = (y - scale.mean) / scale.deviation, scale.intercept, 1e-4
    gradients = np.array([loss_derivative(loss.number, z, label) for label in y])
    ahead = np.array([loss_derivative(loss.number, z + h, label) for label in y])
    curvature = float(np.mean((ahead - gradients) / h))
    mean_loss = float(np.mean([loss.value(z, label) for label in y]))
    found = loss.squared_gradients_for_curvature(mean_loss)
    assert np.mean(gradients**2) == pytest.approx(found * curvature, rel=1e-3)
