"""Parameters of a Factorization Machine together with its optimizer state."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spark_fm.core.compiled.simd import LANES

FloatArray = npt.NDArray[np.float32]
LongArray = npt.NDArray[np.int64]


# What a row of the table has besides the factors: the rests of both accumulators, a pass's information where rows
# have weights (of w and of v), then the weight, its accumulator, that of the factors, and the own penalty.
TAIL = 8
BYTES_A_LINE = 64
CACHE_LINE = BYTES_A_LINE // 4  # float32 values in a line of the processor's cache


def aligned_table(rows: int, factor_size: int) -> FloatArray:
    """An uninitialised table, float32 (rows, K' + 8), that begins with a cache line of the processor."""
    width = padded(factor_size) + TAIL
    memory = np.empty(rows * width * 4 + BYTES_A_LINE, np.uint8)
    first = -memory.ctypes.data % BYTES_A_LINE
    return memory[first : first + rows * width * 4].view(np.float32).reshape(rows, width)


def padded(factor_size: int) -> int:
    """K', the factor size rounded up to whole SIMD vectors, at least one."""
    return -(-max(factor_size, 1) // LANES) * LANES


@dataclass(frozen=True)
class Parameters:
    """The model while it trains.

    Attributes
    ----------
    features : int64 (m,), ascending
        The ids of the features that occur; only they have parameters.
    table : float32 (m, K' + 8)
        Factors, weight, AdaGrad accumulators and own penalty of each feature, see
        :mod:`spark_fm.core.solver.adagrad.step`.
    intercept : float64 (3,)
        w0, its accumulator and its information.
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
    table = aligned_table(features.size, factor_size)
    table[:] = 0.0
    random = np.random.default_rng([seed, 0x5EED])
    table[:, :factor_size] = random.standard_normal((features.size, factor_size), np.float32)
    table[:, :factor_size] *= np.float32(init_std)
    table[:, -3:-1] = 1.0
    return Parameters(features, table, np.array([intercept, 1.0, 0.0]), factor_size)
