import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_fm.core.fm.losses import (
    Loss,
    best_constant,
    constant_loss,
    largest_curvature,
    loss_derivative,
    loss_sum,
    loss_value,
    sigmoid,
)
from tests import oracle

scores = st.floats(-700.0, 700.0)
LOSSES = list(Loss)


@pytest.mark.parametrize("loss", LOSSES)
@given(z=scores, y=st.sampled_from([0.0, 1.0]))
def test_value_is_that_of_the_formula(loss, z, y):
    assert loss_value(int(loss), z, y) == pytest.approx(oracle.value(loss, z, y), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("loss", LOSSES)
@given(z=st.floats(-30.0, 30.0), y=st.sampled_from([0.0, 1.0]))
def test_derivative_is_that_of_finite_differences(loss, z, y):
    h = 1e-5
    slope = (loss_value(int(loss), z + h, y) - loss_value(int(loss), z - h, y)) / (2 * h)
    assert loss_derivative(int(loss), z, y) == pytest.approx(slope, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize(("z", "expected"), [(0.0, 0.5), (1e4, 1.0), (-1e4, 0.0), (1.0, 0.7310585786)])
def test_sigmoid_does_not_overflow(z, expected):
    assert sigmoid(z) == pytest.approx(expected)


@pytest.mark.parametrize("y", [0.0, 1.0])
def test_logistic_loss_of_certain_scores_is_finite(y):
    wrong = 1e4 if y == 0.0 else -1e4
    assert loss_value(int(Loss.LOGISTIC), wrong, y) == pytest.approx(1e4)
    assert loss_value(int(Loss.LOGISTIC), -wrong, y) == 0.0


@pytest.mark.parametrize("loss", LOSSES)
def test_largest_curvature_is_the_steepest_rise_of_the_derivative(loss):
    z = np.linspace(-5.0, 5.0, 2001)
    slopes = np.diff([loss_derivative(int(loss), x, 0.0) for x in z]) / np.diff(z)
    assert largest_curvature(int(loss)) == pytest.approx(slopes.max(), rel=1e-4)


def test_sum_weights_each_row():
    z, y = np.array([1.0, 2.0, 3.0]), np.array([0.0, 0.0, 5.0])
    assert loss_sum(0, z, y, np.empty(0, np.float32)) == pytest.approx(0.5 + 2.0 + 2.0)
    assert loss_sum(0, z, y, np.array([2.0, 0.0, 1.0], np.float32)) == pytest.approx(1.0 + 2.0)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("labels", [[0.0, 1.0], [1.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]])
def test_best_constant_has_no_slope(loss, labels):
    z = best_constant(loss, float(np.mean(labels)))
    assert sum(loss_derivative(int(loss), z, y) for y in labels) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize(("mean", "sign"), [(0.0, -1.0), (1.0, 1.0)])
def test_best_constant_of_a_single_class_is_finite(mean, sign):
    z = best_constant(Loss.LOGISTIC, mean)
    assert np.isfinite(z)
    assert z * sign > 10.0


def test_loss_of_the_best_constant():
    assert constant_loss(Loss.SQUARED, 0.0) == 0.5
    assert constant_loss(Loss.LOGISTIC, 0.0) == pytest.approx(np.log(2.0))
    rate = 1.0 / (1.0 + np.exp(3.0))
    entropy = -rate * np.log(rate) - (1.0 - rate) * np.log(1.0 - rate)
    assert constant_loss(Loss.LOGISTIC, -3.0) == pytest.approx(entropy)
