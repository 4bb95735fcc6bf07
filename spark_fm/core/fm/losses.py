"""Loss functions: what a raw prediction z costs when the label is y.

A loss knows y and z only. Kernels select it by its number, because numba compiles one machine code
for all of them: the branch per row costs nothing beside the factors of a row's features.
"""

from enum import IntEnum

import numpy as np
import numpy.typing as npt

from spark_fm.core.compiled.compile import compiled


class Loss(IntEnum):
    """The losses that the kernel knows.

    ========  =====================================  ===============  ====================
    loss      value                                  derivative in z  prediction
    ========  =====================================  ===============  ====================
    SQUARED   (z - y)^2 / 2, any real y              z - y            z
    LOGISTIC  log(1 + exp(z)) - y z, y in {0, 1}     sigma(z) - y     P(y=1) = sigma(z)
    ========  =====================================  ===============  ====================
    """

    SQUARED = 0
    LOGISTIC = 1


@compiled
def sigmoid(z: float) -> float:
    """1 / (1 + exp(-z)) without overflow."""
    e = np.exp(-abs(z))
    return float(1.0 / (1.0 + e) if z >= 0 else e / (1.0 + e))


@compiled
def loss_value(loss: int, z: float, y: float) -> float:
    """The loss of one row (see :class:`Loss`)."""
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
    """The largest second derivative in z: 1 for SQUARED, 1/4 for LOGISTIC."""
    return 1.0 if loss == 0 else 0.25


@compiled
def loss_sum(
    loss: int,
    z: npt.NDArray[np.float64],
    label: npt.NDArray[np.float64],
    weight: npt.NDArray[np.float32],
) -> float:
    """The weighted sum of the losses of many rows; an empty ``weight`` counts as ones."""
    total = 0.0
    for i in range(z.size):
        w = float(weight[i]) if weight.size > 0 else 1.0
        total += w * loss_value(loss, z[i], label[i])
    return total


def constant_loss(loss: Loss, prediction: float) -> float:
    """The mean loss of the best constant raw prediction, in the units of training: where labels have the variance 1 for
    SQUARED, and the rate whose log-odds the prediction is for LOGISTIC.
    """
    if loss is Loss.SQUARED:
        return 0.5
    return float(loss_value(int(loss), prediction, sigmoid(prediction)))


def best_constant(loss: Loss, label_mean: float) -> float:
    """The raw prediction that minimises the loss when nothing but the label's mean is known.

    The mean itself for SQUARED, its log-odds for LOGISTIC; a mean of 0 or 1, where the log-odds are
    infinite, is moved in by 1e-6.
    """
    if loss is Loss.SQUARED:
        return label_mean
    p = min(max(label_mean, 1e-6), 1.0 - 1e-6)
    return float(np.log(p / (1.0 - p)))
