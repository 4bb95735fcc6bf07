import numpy as np
import pytest

from spark_fm.core.fm.optimizer_state import OptimizerState

SUMS = np.array([[1.0, 1.0], [1.5, 3.0], [40.0, 7.0]], np.float32)
INVERSE = np.array([1.0, 0.01, 50.0])


def test_training_gets_back_what_it_left():
    state = OptimizerState.of(SUMS, 9.0, INVERSE, 2.5)
    assert state.sums(np.arange(3), INVERSE, 2.5) == pytest.approx(SUMS, rel=1e-6)
    assert state.sum_of_intercept(2.5) == pytest.approx(9.0)


def test_gradients_are_those_of_the_data():
    """The gradient of (z - y)^2 in w and in v by finite differences, in the units of the data and of training."""
    x, y, deviation = np.array([3.0, 0.4]), 2.0, 2.5
    w, v = np.array([0.3, -0.2]), np.array([0.6, 0.5])

    def loss(w, v, x, y):
        return (w @ x + v[0] * v[1] * x[0] * x[1] - y) ** 2

    def slopes(at, x, y, step=1e-6):
        w, v = at
        moved = [np.eye(2)[i] * step for i in range(2)]
        of_w = [(loss(w + d, v, x, y) - loss(w - d, v, x, y)) / (2 * step) for d in moved]
        return np.array([of_w, [(loss(w, v + d, x, y) - loss(w, v - d, x, y)) / (2 * step) for d in moved]]).T

    inverse = np.array([0.5, 4.0])
    training = w / (inverse * deviation), v / (inverse * np.sqrt(deviation))
    squares = 1.0 + slopes(training, x * inverse, y / deviation) ** 2
    state = OptimizerState.of(squares, 1.0, inverse, deviation)
    assert state.roots == pytest.approx(np.abs(slopes((w, v), x, y)), rel=1e-4)
