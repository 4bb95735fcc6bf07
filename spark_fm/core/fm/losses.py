"""Loss functions: what a raw prediction z costs when the label is y, and all else that depends on which it is.

A loss knows y and z only. The kernel selects it by its ``number``, because numba compiles one machine code
for all of them: the branch per row costs nothing beside the factors of a row's features. A new loss is a number in the
compiled functions here and one object.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spark_fm.core.compiled.compile import compiled

DoubleArray = npt.NDArray[np.float64]
SMALLEST_SHIFT, LARGEST_SHIFT, SHIFTS = 1e-3, 20.0, 16


@compiled
def sigmoid(z: float) -> float:
    """1 / (1 + exp(-z)) without overflow."""
    e = np.exp(-abs(z))
    return float(1.0 / (1.0 + e) if z >= 0 else e / (1.0 + e))


@compiled
def loss_value(loss: int, z: float, y: float) -> float:
    """The loss of one row, by the loss's number."""
    if loss == 0:
        return 0.5 * (z - y) * (z - y)
    return float(np.log1p(np.exp(-abs(z))) + max(z, 0.0) - y * z)


@compiled
def loss_derivative(loss: int, z: float, y: float) -> float:
    """The derivative of the loss of one row in z."""
    if loss == 0:
        return z - y
    return sigmoid(z) - y


@compiled
def largest_curvature(loss: int) -> float:
    """The largest second derivative in z: 1 for squared loss, 1/4 for log-loss."""
    return 1.0 if loss == 0 else 0.25


@compiled
def loss_sum(loss: int, z: DoubleArray, label: DoubleArray, weight: npt.NDArray[np.float32]) -> float:
    """The weighted sum of the losses of many rows; an empty ``weight`` counts as ones."""
    total = 0.0
    for i in range(z.size):
        w = float(weight[i]) if weight.size > 0 else 1.0
        total += w * loss_value(loss, z[i], label[i])
    return total


@compiled
def sigmoids(z: DoubleArray, by: float) -> DoubleArray:
    """The probabilities of raw predictions after a shift."""
    out = np.empty(z.size)
    for i in range(z.size):
        out[i] = sigmoid(z[i] + by)
    return out


def _log_odds(share: DoubleArray) -> DoubleArray:
    inside = np.clip(share, 1e-15, 1.0 - 1e-15)
    odds: DoubleArray = np.log(inside / (1.0 - inside))
    return odds


def _shifts() -> DoubleArray:
    """Shifts of the intercept to try: 0, and on both sides in equal steps of their logarithm."""
    side = np.geomspace(SMALLEST_SHIFT, LARGEST_SHIFT, SHIFTS)
    return np.concatenate([-side[::-1], [0.0], side])


@dataclass(frozen=True)
class LabelScale:
    """The units in which labels are trained: (label - ``mean``) / ``deviation``; training starts at ``intercept``."""

    mean: float = 0.0
    deviation: float = 1.0
    intercept: float = 0.0


@dataclass(frozen=True)
class Loss(ABC):
    """A loss function.

    ==========  =====================================  ===============  ====================
    loss        value                                  derivative in z  prediction
    ==========  =====================================  ===============  ====================
    SQUARED     (z - y)^2 / 2, any real y              z - y            z
    LOGISTIC    log(1 + exp(z)) - y z, y in {0, 1}     sigma(z) - y     P(y=1) = sigma(z)
    ==========  =====================================  ===============  ====================

    Attributes
    ----------
    number : by which the compiled functions know it
    metric : the name of what is reported of it, in the units of the data
    is_binary : whether labels must be 0 or 1
    """

    number: int
    metric: str
    is_binary: bool

    def value(self, z: float, y: float) -> float:
        """The loss of one row."""
        return float(loss_value(self.number, z, y))

    def sum(self, z: DoubleArray, label: DoubleArray, weight: npt.NDArray[np.float32]) -> float:
        """The weighted sum of the losses of many rows; an empty ``weight`` counts as ones."""
        return float(loss_sum(self.number, z, label, weight))

    @abstractmethod
    def label_scale(self, mean: float, variance: float, fit_intercept: bool) -> LabelScale:
        """The units of training for labels of the given (weighted) mean and variance, and the best constant in them."""

    @abstractmethod
    def constant_loss(self, prediction: float) -> float:
        """The mean loss of the best constant raw prediction, in the units of training."""

    @abstractmethod
    def in_data_units(self, loss: float, deviation: float) -> float:
        """What is reported of a mean loss in the units of training, where labels were divided by ``deviation``."""

    @abstractmethod
    def squared_gradients_for_curvature(self, loss: float) -> float:
        """How many times the curvature E[(dloss/dz)^2] is, at this mean loss: what the merge divides by."""

    @abstractmethod
    def predicted(self, z: DoubleArray, weight: DoubleArray) -> DoubleArray:
        """The weighted sum of the predictions after each shift of the intercept that the loss tries; of no rows, 0."""

    @abstractmethod
    def shift(self, predicted: DoubleArray, wanted: float, weight: float) -> float:
        """What to add to the intercept, so that the mean prediction is the labels'.

        Parameters
        ----------
        predicted : the sum of :meth:`predicted` over all rows; wanted, weight : that of the labels, and of the weights
        """

    @abstractmethod
    def is_exact(self, shift: float) -> bool:
        """Whether a shift needs no second look."""


class SquaredLoss(Loss):
    """(z - y)^2 / 2."""

    def label_scale(self, mean: float, variance: float, fit_intercept: bool) -> LabelScale:
        """Labels of mean 0 and variance 1. Without an intercept they are only divided by their root mean square."""
        if fit_intercept:
            deviation, shift = variance**0.5, mean
        else:
            deviation, shift = (variance + mean * mean) ** 0.5, 0.0
        # A constant label leaves only rounding behind: then there is nothing to divide by.
        if deviation <= 1e-9 * abs(mean) or deviation == 0.0:
            deviation = 1.0
        return LabelScale(shift, deviation)

    def constant_loss(self, prediction: float) -> float:
        """1/2: in the units of training labels have the variance 1."""
        return 0.5

    def in_data_units(self, loss: float, deviation: float) -> float:
        """The mean squared error."""
        return loss * (2.0 * deviation**2)

    def squared_gradients_for_curvature(self, loss: float) -> float:
        """The mean squared residual: the curvature is 1."""
        return max(2.0 * loss, 1e-6)

    def predicted(self, z: DoubleArray, weight: DoubleArray) -> DoubleArray:
        """Of no shift: the others are known from it."""
        return np.array([weight @ z])

    def shift(self, predicted: DoubleArray, wanted: float, weight: float) -> float:
        """The mean residual."""
        return (wanted - float(predicted[0])) / weight

    def is_exact(self, shift: float) -> bool:
        """Always."""
        return True


class LogisticLoss(Loss):
    """log(1 + exp(z)) - y z."""

    def label_scale(self, mean: float, variance: float, fit_intercept: bool) -> LabelScale:
        """Labels as they are. The best constant is the log-odds of their mean; a mean of 0 or 1, where these are
        infinite, is moved in by 1e-6.
        """
        if not fit_intercept:
            return LabelScale()
        p = min(max(mean, 1e-6), 1.0 - 1e-6)
        return LabelScale(intercept=float(np.log(p / (1.0 - p))))

    def constant_loss(self, prediction: float) -> float:
        """The entropy of the rate whose log-odds the prediction is."""
        return self.value(prediction, sigmoid(prediction))

    def in_data_units(self, loss: float, deviation: float) -> float:
        """The log-loss, as it is."""
        return loss

    def squared_gradients_for_curvature(self, loss: float) -> float:
        """1: E[(dloss/dz)^2] is the Fisher information, which is the curvature."""
        return 1.0

    def predicted(self, z: DoubleArray, weight: DoubleArray) -> DoubleArray:
        """The sums of the probabilities."""
        return np.array([weight @ sigmoids(z, by) for by in _shifts()])

    def shift(self, predicted: DoubleArray, wanted: float, weight: float) -> float:
        """Interpolated between the shifts that were tried, over the log-odds of the mean, which is almost a straight
        line; where all labels are equal no finite shift is best, and it is 0.
        """
        if not predicted[0] < wanted < predicted[-1]:
            return 0.0
        odds = _log_odds(np.array([wanted / weight]))
        return float(np.interp(odds, _log_odds(predicted / weight), _shifts())[0])

    def is_exact(self, shift: float) -> bool:
        """As long as it is small: it is interpolated."""
        return abs(shift) < 0.1


SQUARED = SquaredLoss(0, "mean squared error", is_binary=False)
LOGISTIC = LogisticLoss(1, "log-loss", is_binary=True)
