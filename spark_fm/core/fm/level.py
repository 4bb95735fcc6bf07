"""The level of the predictions: their mean over the training rows should be the labels'."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spark_fm.core.compiled.compile import compiled
from spark_fm.core.fm.losses import Loss, sigmoid
from spark_fm.core.fm.score import score_rows
from spark_fm.core.sparse.block import Block

DoubleArray = npt.NDArray[np.float64]
SMALLEST_SHIFT, LARGEST_SHIFT, SHIFTS = 1e-3, 20.0, 16
SMALL_SHIFT = 0.1


def _shifts() -> DoubleArray:
    """Shifts of the intercept to try: 0, and on both sides in equal steps of their logarithm."""
    side = np.geomspace(SMALLEST_SHIFT, LARGEST_SHIFT, SHIFTS)
    return np.concatenate([-side[::-1], [0.0], side])


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


@dataclass(frozen=True)
class Level:
    """What some rows say of each shift of the intercept; adds up over rows.

    Attributes
    ----------
    predicted : float64 (shifts,), the weighted sum of the predictions after each shift (of z for SQUARED at 0 only)
    wanted, weight : the weighted sum of the labels, and of the weights
    """

    predicted: DoubleArray
    wanted: float
    weight: float

    @classmethod
    def none(cls, loss: Loss) -> "Level":
        """Of no rows."""
        return cls(np.zeros(1 if loss is Loss.SQUARED else _shifts().size), 0.0, 0.0)

    @classmethod
    def of(
        cls,
        table: npt.NDArray[np.float32],
        intercept: float,
        block: Block,
        rows: npt.NDArray[np.int32],
        loss: Loss,
    ) -> "Level":
        """Of the given rows of a block in the units of training."""
        z = np.empty(rows.size)
        score_rows(table, intercept, block.indptr, block.indices, block.values, rows, z)
        label = block.label[rows]
        weight = block.weight[rows].astype(np.float64) if block.weight.size else np.ones(rows.size)
        if loss is Loss.SQUARED:
            predicted = np.array([weight @ z])
        else:
            predicted = np.array([weight @ sigmoids(z, by) for by in _shifts()])
        return cls(predicted, float(weight @ label), float(weight.sum()))

    def __add__(self, other: "Level") -> "Level":
        return Level(self.predicted + other.predicted, self.wanted + other.wanted, self.weight + other.weight)

    def numbers(self) -> DoubleArray:
        """All of it in one float64 array."""
        return np.concatenate([self.predicted, [self.wanted, self.weight]])

    @classmethod
    def of_numbers(cls, numbers: DoubleArray) -> "Level":
        """The inverse of :meth:`numbers`."""
        return cls(numbers[:-2], float(numbers[-2]), float(numbers[-1]))

    def shift(self, loss: Loss) -> float:
        """What to add to the intercept, so that the mean prediction is the labels'.

        For LOGISTIC it is interpolated between the shifts that were tried, over the log-odds of the mean, which is
        almost a straight line; where all labels are equal no finite shift is best, and it is 0.
        """
        if self.weight == 0.0:
            return 0.0
        if loss is Loss.SQUARED:
            return (self.wanted - float(self.predicted[0])) / self.weight
        if not self.predicted[0] < self.wanted < self.predicted[-1]:
            return 0.0
        wanted = _log_odds(np.array([self.wanted / self.weight]))
        return float(np.interp(wanted, _log_odds(self.predicted / self.weight), _shifts())[0])


def levelled(intercept: DoubleArray, measured: Callable[[DoubleArray], Level], loss: Loss) -> DoubleArray:
    """The intercept, of which the first number is w0, that is best for what is ``measured`` with one."""
    # A shift is interpolated: after a large one a second is exact.
    for _ in range(2):
        shift = measured(intercept).shift(loss)
        intercept = np.concatenate([[intercept[0] + shift], intercept[1:]])
        if loss is Loss.SQUARED or abs(shift) < SMALL_SHIFT:
            break
    return intercept
