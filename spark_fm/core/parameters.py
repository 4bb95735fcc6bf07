"""Parameters of a Factorization Machine together with its optimizer state."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spark_fm.core.simd import LANES

FloatArray = npt.NDArray[np.float32]
LongArray = npt.NDArray[np.int64]


def padded(factor_size: int) -> int:
    """The factor size rounded up to whole SIMD vectors, at least one: K' of :mod:`spark_fm.core.kernel`."""
    return -(-max(factor_size, 1) // LANES) * LANES


@dataclass(frozen=True)
class Parameters:
    """The model while it trains.

    Attributes
    ----------
    features : int64 (m,), ascending
        The ids of the features that occur; only they have parameters.
    table : float32 (m, K' + 4)
        Factors, weight, AdaGrad accumulators and own penalty of each feature, see :mod:`spark_fm.core.kernel`.
    intercept : float64 (2,)
        w0 and its accumulator.
    factor_size : int
        K, the length of a factor vector.
    """

    features: LongArray
    table: FloatArray
    intercept: npt.NDArray[np.float64]
    factor_size: int

    @property
    def linear(self) -> FloatArray:
        """The weights w: float32 (m,)."""
        return self.table[:, -4]

    @property
    def factors(self) -> FloatArray:
        """The factor vectors V: float32 (m, K)."""
        return self.table[:, : self.factor_size]

    def is_finite(self) -> bool:
        """Whether every number is finite."""
        return bool(np.isfinite(self.intercept).all() and np.isfinite(self.table).all())


def initial_parameters(
    features: LongArray, factor_size: int, intercept: float, init_std: float, seed: int
) -> Parameters:
    """Parameters to start from: weights 0, factors N(0, init_std^2), accumulators 1, no penalties of their own.

    The factors depend on the seed and the sorted ids only, so on no partitioning.
    """
    table = np.zeros((features.size, padded(factor_size) + 4), np.float32)
    random = np.random.default_rng([seed, 0x5EED])
    table[:, :factor_size] = random.standard_normal((features.size, factor_size), np.float32)
    table[:, :factor_size] *= np.float32(init_std)
    table[:, -3:-1] = 1.0
    return Parameters(features, table, np.array([intercept, 1.0]), factor_size)
