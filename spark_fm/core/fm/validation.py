"""By what validation rows judge parameters: the loss, or another metric; smaller is better."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from spark_fm.core.fm.losses import Loss
from spark_fm.core.fm.measure import Totals
from spark_fm.core.fm.score import score_rows
from spark_fm.core.sparse.block import Block

BINS = 4096
LARGEST_SCORE = 16.0
IntArray = npt.NDArray[np.int32]
FloatArray = npt.NDArray[np.float32]
DoubleArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ValidationMetric(ABC):
    """A metric that is made of sums over rows, so that chunks of them can be measured side by side."""

    needs_both_labels: ClassVar[bool] = False

    @abstractmethod
    def sums(self, z: DoubleArray, label: DoubleArray, weight: FloatArray, loss: Loss) -> DoubleArray:
        """What rows say, which adds up over rows.

        Parameters
        ----------
        z, label : float64 (n,), raw predictions and labels in the units of training
        weight : float32 (n,); an empty one counts as ones
        """

    @abstractmethod
    def totals(self, sums: DoubleArray) -> Totals:
        """The metric of all rows as the mean of totals; not a number where it is not defined. No sums: of no rows."""

    @abstractmethod
    def in_data_units(self, value: float, loss: Loss, deviation: float) -> float:
        """What is reported of a value in the units of training, where labels were divided by ``deviation``."""

    def measure(
        self, table: FloatArray, intercept: float, block: Block, rows: IntArray, loss: Loss
    ) -> DoubleArray:
        """The sums of given parameters on some rows of a block."""
        z = np.empty(rows.size)
        indices = np.asarray(block.indices, np.int32)
        score_rows(table, intercept, block.indptr, indices, block.values, rows, z)
        return self.sums(
            z, block.label[rows], block.weight[rows] if block.weight.size else block.weight, loss
        )


def _sum(weight: FloatArray, rows: int) -> float:
    return float(weight.sum(dtype=np.float64)) if weight.size else float(rows)


class _Mean(ValidationMetric):
    """The weighted mean of what single rows have; its sums are that of it, the weights, and the number of rows."""

    def totals(self, sums: DoubleArray) -> Totals:
        return Totals(float(sums[0]), float(sums[1]), int(sums[2])) if sums.size else Totals()


class MeanLoss(_Mean):
    """The loss itself."""

    def sums(self, z: DoubleArray, label: DoubleArray, weight: FloatArray, loss: Loss) -> DoubleArray:
        """The sum of the losses."""
        return np.array([loss.sum(z, label, weight), _sum(weight, z.size), z.size])

    def in_data_units(self, value: float, loss: Loss, deviation: float) -> float:
        """What is reported of the loss."""
        return loss.in_data_units(value, deviation)


class RootMeanSquaredError(MeanLoss):
    """Judges as the squared error does; its root is reported."""

    def in_data_units(self, value: float, loss: Loss, deviation: float) -> float:
        """sqrt(mean (z - y)^2)."""
        return float(loss.in_data_units(value, deviation) ** 0.5)


class MeanAbsoluteError(_Mean):
    """mean |z - y|."""

    def sums(self, z: DoubleArray, label: DoubleArray, weight: FloatArray, loss: Loss) -> DoubleArray:
        """The sum of the errors."""
        error = np.abs(z - label)
        return np.array([weight @ error if weight.size else error.sum(), _sum(weight, z.size), z.size])

    def in_data_units(self, value: float, loss: Loss, deviation: float) -> float:
        """Labels were divided by the deviation, and so was the error."""
        return value * deviation


class AreaAboveROC(ValidationMetric):
    """1 - AUC: how often a row of label 1 has a smaller score than one of label 0.

    Scores count as tied where both are in one of 4096 equal bins of [-16, 16], 0.008 wide, or both beyond one of the
    ends. With several folds it is the mean of theirs; a fold of one label has no part in it.
    """

    needs_both_labels: ClassVar[bool] = True

    def sums(self, z: DoubleArray, label: DoubleArray, weight: FloatArray, loss: Loss) -> DoubleArray:
        """The number of rows, and by bin the weights of those of label 1, then of label 0."""
        place = np.clip((z + LARGEST_SCORE) * (BINS / (2.0 * LARGEST_SCORE)), 0, BINS - 1)
        bins = np.nan_to_num(place).astype(np.int64)
        ones = weight if weight.size else np.ones(z.size)
        by_label = [np.bincount(bins, ones * of, BINS) for of in (label, 1.0 - label)]
        return np.concatenate([[z.size], *by_label])

    def totals(self, sums: DoubleArray) -> Totals:
        """Weighted as the rows are."""
        if not sums.size:
            return Totals()
        rows, (positive, negative) = int(sums[0]), sums[1:].reshape(2, BINS)
        pairs, weight = positive.sum() * negative.sum(), float(sums[1:].sum())
        if not pairs:
            return Totals(0.0, 0.0, rows)
        below = np.cumsum(positive) - positive / 2.0
        return Totals(float(negative @ below / pairs) * weight, weight, rows)

    def in_data_units(self, value: float, loss: Loss, deviation: float) -> float:
        """As it is."""
        return value


LOSS = MeanLoss()
OF_LABELS: dict[bool, dict[str, ValidationMetric]] = {
    False: {"loss": LOSS, "rmse": RootMeanSquaredError(), "mae": MeanAbsoluteError()},
    True: {"loss": LOSS, "logLoss": LOSS, "areaUnderROC": AreaAboveROC()},
}
NAMES = tuple(dict.fromkeys(name for metrics in OF_LABELS.values() for name in metrics))


def metric_of(name: str, loss: Loss) -> ValidationMetric:
    """The metric of a name, for labels of the loss.

    Raises
    ------
    ValueError
        When it is not one for such labels.
    """
    metrics = OF_LABELS[loss.is_binary]
    if name not in metrics:
        raise ValueError(f"validationMetric: found {name!r}, expected one of: {', '.join(metrics)}")
    return metrics[name]
