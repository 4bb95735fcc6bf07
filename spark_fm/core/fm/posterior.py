"""Some samples of a model's posterior, and what they say of a prediction's uncertainty."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from spark_fm.core.fm.score import score_rows
from spark_fm.core.fm.weights import Weights

FloatArray = npt.NDArray[np.float32]
DoubleArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Posterior:
    """Samples of the parameters of some features.

    Attributes
    ----------
    samples : float32 (m, S, K + 1), w and v of each feature in each sample
    intercepts : float64 (S,), w0
    variances : float64 (S,), of the label of a row around its score
    """

    samples: FloatArray
    intercepts: DoubleArray
    variances: DoubleArray

    @classmethod
    def of(cls, sampled: list[Weights], variances: DoubleArray) -> "Posterior":
        """From at least one sample; all have the same features."""
        theta = [np.concatenate([one.linear[:, None], one.factors], axis=1) for one in sampled]
        return cls(np.stack(theta, axis=1), np.array([one.intercept for one in sampled]), variances)

    @cached_property
    def _tables(self) -> list[FloatArray]:
        ids = np.arange(self.samples.shape[0])
        return [
            Weights(ids, self.samples[:, s, 0], self.samples[:, s, 1:], 0.0).table
            for s in range(self.intercepts.size)
        ]

    def deviations(
        self, indptr: IntArray, indices: IntArray, values: FloatArray | DoubleArray
    ) -> DoubleArray:
        """The standard deviation of the label of each row, float64 (rows,): sqrt(Var(z) + E(1 / alpha)).

        ``indices`` are positions of the features, -1 for others, which add nothing.
        """
        rows = indptr.size - 1
        order, z = np.arange(rows, dtype=np.int32), np.empty(rows)
        mean, squares = np.zeros(rows), np.zeros(rows)
        for number, table in enumerate(self._tables, 1):
            score_rows(table, float(self.intercepts[number - 1]), indptr, indices, values, order, z)
            moved = z - mean
            mean += moved / number
            squares += moved * (z - mean)
        return np.asarray(np.sqrt(squares / max(len(self._tables) - 1, 1) + self.variances.mean()))
