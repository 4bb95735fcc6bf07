"""The level of the predictions: their mean over the training rows should be the labels'."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spark_fm.core.fm.losses import Loss
from spark_fm.core.fm.score import score_rows
from spark_fm.core.sparse.block import Block

DoubleArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Level:
    """What some rows say of each shift of the intercept; adds up over rows.

    Attributes
    ----------
    predicted : float64 (shifts,), the weighted sum of the predictions after each shift that the loss tries
    wanted, weight : the weighted sum of the labels, and of the weights
    """

    predicted: DoubleArray
    wanted: float
    weight: float

    @classmethod
    def none(cls, loss: Loss) -> "Level":
        """Of no rows."""
        return cls(loss.predicted(np.empty(0), np.empty(0)), 0.0, 0.0)

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
        return cls(loss.predicted(z, weight), float(weight @ label), float(weight.sum()))

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
        """What to add to the intercept, so that the mean prediction is the labels'; 0 where no row has a weight."""
        return loss.shift(self.predicted, self.wanted, self.weight) if self.weight else 0.0


def levelled(intercept: DoubleArray, measured: Callable[[DoubleArray], Level], loss: Loss) -> DoubleArray:
    """The intercept, of which the first number is w0, that is best for what is ``measured`` with one."""
    # A shift may be approximate: after a large one a second is exact.
    for _ in range(2):
        shift = measured(intercept).shift(loss)
        intercept = np.concatenate([[intercept[0] + shift], intercept[1:]])
        if loss.is_exact(shift):
            break
    return intercept
