"""The average of Factorization Machines is a Factorization Machine, with as many factors as all of them have.

(1/S) sum_s <v_i^s, v_j^s> = <u_i, u_j> with u_i = (v_i^1, ..., v_i^S) / sqrt(S). Of U only the directions are kept
that matter to the rows: the eigenvectors of U^T diag(n) U with the largest eigenvalues, n_i being how often feature i
occurs.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
DoubleArray = npt.NDArray[np.float64]

ROWS_AT_ONCE = 65_536


def compressed(factors: FloatArray, counts: DoubleArray, rank: int) -> FloatArray:
    """Factors, float32 (m, K), in at most so many columns; <u_i, u_j> is kept best where i and j are frequent."""
    columns = factors.shape[1]
    if columns <= rank:
        return factors
    gram = np.zeros((columns, columns))
    for first in range(0, factors.shape[0], ROWS_AT_ONCE):
        some = factors[first : first + ROWS_AT_ONCE]
        weighted = some * counts[first : first + ROWS_AT_ONCE, None].astype(np.float32)
        gram += weighted.T @ some
    directions = np.linalg.eigh(gram)[1][:, ::-1][:, :rank]
    return factors @ directions.astype(np.float32)


@dataclass
class Average:
    """The running mean of samples; ``rank`` columns are kept between them, a multiple of the final size.

    Attributes
    ----------
    counts : float64 (m,), how often each feature occurs
    """

    counts: DoubleArray
    rank: int
    samples: int = 0
    intercept: float = 0.0
    linear: DoubleArray = field(init=False)
    _kept: FloatArray = field(init=False)
    _waiting: list[FloatArray] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.linear = np.zeros(self.counts.size)
        self._kept = np.empty((self.counts.size, 0), np.float32)

    def state(self) -> tuple[list[float], dict[str, npt.NDArray[Any]]]:
        """All that was added, as numbers and arrays: see :meth:`restore`."""
        arrays = {f"waiting-{i}": one for i, one in enumerate(self._waiting)}
        return [self.samples, self.intercept], arrays | {"linear": self.linear, "kept": self._kept}

    def restore(self, numbers: list[float], arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Become what :meth:`state` told of."""
        self.samples, self.intercept = int(numbers[0]), numbers[1]
        self.linear, self._kept = arrays["linear"].copy(), arrays["kept"]
        names = (f"waiting-{i}" for i in range(len(arrays)))
        self._waiting = [arrays[name] for name in names if name in arrays]

    def add(self, theta: DoubleArray, intercept: float) -> None:
        """One more sample: float64 (m, K + 1), w and v."""
        self.samples += 1
        self.intercept += intercept
        self.linear += theta[:, 0]
        self._waiting.append(theta[:, 1:].astype(np.float32))
        if sum(one.shape[1] for one in self._waiting) >= self.rank:
            self._keep()

    def _keep(self) -> None:
        whole = np.concatenate([self._kept, *self._waiting], axis=1)
        self._waiting.clear()
        self._kept = compressed(whole, self.counts, self.rank)

    def result(self, factor_size: int) -> tuple[FloatArray, FloatArray, float]:
        """Weights, float32 (m,), factors, float32 (m, factor_size), and the intercept of the mean."""
        self._keep()
        factors = np.zeros((self.counts.size, factor_size), np.float32)
        made = compressed(self._kept, self.counts, factor_size) / np.float32(np.sqrt(self.samples))
        factors[:, : made.shape[1]] = made
        return (self.linear / self.samples).astype(np.float32), factors, self.intercept / self.samples
