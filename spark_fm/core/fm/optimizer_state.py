"""What AdaGrad remembers of a trained model, in the units of the data, so that later training can go on with it."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
DoubleArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class OptimizerState:
    """Roots of the sums of squared gradients (J. Duchi et al., JMLR 2011), without the 1 that each sum begins with.

    Attributes
    ----------
    roots : float32 (m, 2), of each feature's weight and of its factors, in the order of a model's features
    intercept : of w0
    """

    roots: FloatArray
    intercept: float

    @classmethod
    def of(
        cls, sums: FloatArray, intercept: float, inverse: DoubleArray, deviation: float
    ) -> "OptimizerState":
        """Of the sums of training, float32 (m, 2), in whose units values are multiplied by ``inverse``, labels divided
        by ``deviation``.
        """
        roots = np.sqrt(np.maximum(sums.astype(np.float64) - 1.0, 0.0)) * _units(inverse, deviation)
        return cls(roots.astype(np.float32), float(np.sqrt(max(intercept - 1.0, 0.0)) * deviation))

    def sums(self, rows: npt.NDArray[np.intp], inverse: DoubleArray, deviation: float) -> FloatArray:
        """The sums of training of some rows, the inverse of :meth:`of`: float32 (rows, 2)."""
        made: FloatArray = (1.0 + (self.roots[rows] / _units(inverse, deviation)) ** 2).astype(np.float32)
        return made

    def sum_of_intercept(self, deviation: float) -> float:
        """The same of w0."""
        return 1.0 + (self.intercept / deviation) ** 2


def _units(inverse: DoubleArray, deviation: float) -> DoubleArray:
    """By what gradients of training are multiplied: float64 (m, 2).

    The loss is divided by deviation^2, a weight of training is w / (inverse deviation), a factor v / (inverse
    sqrt(deviation)).
    """
    units: DoubleArray = np.stack([deviation / inverse, deviation**1.5 / inverse], axis=1)
    return units
