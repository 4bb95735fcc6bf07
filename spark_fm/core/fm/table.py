"""Parameters of a Factorization Machine together with its optimizer state."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from spark_fm.core.compiled.compile import compiled
from spark_fm.core.compiled.simd import LANES

FloatArray = npt.NDArray[np.float32]
LongArray = npt.NDArray[np.int64]

TAIL = 8  # columns besides the factors
BYTES_A_LINE = 64
ROWS_AT_A_TIME = 2**18
CACHE_LINE = BYTES_A_LINE // 4  # float32 values in a line of the processor's cache


def aligned_table(rows: int, factor_size: int) -> FloatArray:
    """An uninitialised table, float32 (rows, K' + 8), that begins with a cache line of the processor."""
    columns = columns_of(factor_size)
    memory = np.empty(rows * columns * 4 + BYTES_A_LINE, np.uint8)
    first = -memory.ctypes.data % BYTES_A_LINE
    return memory[first : first + rows * columns * 4].view(np.float32).reshape(rows, columns)


def padded(factor_size: int) -> int:
    """K', the factor size rounded up to whole SIMD vectors, at least one."""
    return -(-max(factor_size, 1) // LANES) * LANES


def columns_of(factor_size: int) -> int:
    """How many columns the table has: K' + 8."""
    return padded(factor_size) + TAIL


class TableLayout(NamedTuple):
    """The columns of a table: the K' ``factors`` first, then one of each of the others.

    Attributes
    ----------
    factors : K'
    linear_rest, factors_rest : what rounding the accumulators to float32 has left over
    linear_information, factors_information : where rows have weights, a pass's sum of squared gradients, each divided
        by its row's weight; else 0
    linear : the weight w
    linear_accumulator, factors_accumulator : AdaGrad's sums of squared gradients
    feature_penalty : the feature's own L2 penalty per visit
    """

    factors: int
    linear_rest: int
    factors_rest: int
    linear_information: int
    factors_information: int
    linear: int
    linear_accumulator: int
    factors_accumulator: int
    feature_penalty: int


@compiled
def layout_of(table: FloatArray) -> TableLayout:
    """Where what lies in a table, float32 (features, K' + 8)."""
    K = table.shape[1] - TAIL
    return TableLayout(K, K, K + 1, K + 2, K + 3, K + 4, K + 5, K + 6, K + 7)


@dataclass(frozen=True)
class Parameters:
    """The model while it trains.

    Attributes
    ----------
    features : int64 (m,), ascending
        The ids of the features that occur; only they have parameters.
    table : float32 (m, K' + 8)
        Factors, weight, AdaGrad accumulators and own penalty of each feature, see :class:`TableLayout`.
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
        return self.table[:, layout_of(self.table).linear]

    @property
    def feature_penalties(self) -> FloatArray:
        """Each feature's own L2 penalty per visit: float32 (m,)."""
        return self.table[:, layout_of(self.table).feature_penalty]

    @property
    def accumulators(self) -> FloatArray:
        """AdaGrad's sums of squared gradients of the weights and of the factors: float32 (m, 2)."""
        at = layout_of(self.table)
        return self.table[:, at.linear_accumulator : at.factors_accumulator + 1]

    @property
    def factors(self) -> FloatArray:
        """The factor vectors V: float32 (m, K)."""
        return self.table[:, : self.factor_size]

    def is_finite(self) -> bool:
        """Whether every number is finite."""
        return bool(np.isfinite(self.intercept).all() and np.isfinite(self.table).all())


def over_rows(rows: int, function: Callable[[slice], None]) -> None:
    """Call a function for some rows at a time, in as many threads as the machine has cores."""
    slices = [slice(first, min(first + ROWS_AT_A_TIME, rows)) for first in range(0, rows, ROWS_AT_A_TIME)]
    if len(slices) < 2:
        for some in slices:
            function(some)
        return
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        list(pool.map(function, slices))


def initial_parameters(
    features: LongArray, factor_size: int, intercept: float, init_std: float, seed: int
) -> Parameters:
    """Parameters to start from: weights 0, factors N(0, init_std^2), accumulators 1, no penalties of their own.

    The rows follow the ``features``, which may be in any order. The factors depend on the seed and the sorted ids only,
    so on no partitioning.
    """
    table = aligned_table(features.size, factor_size)
    made = Parameters(features, table, np.array([intercept, 1.0, 0.0]), factor_size)

    def fill(some: slice) -> None:
        table[some] = 0.0
        made.accumulators[some] = 1.0

    over_rows(features.size, fill)
    order, random, drawn = np.argsort(features), np.random.default_rng([seed, 0x5EED]), []

    def draw(factors: FloatArray, rows: npt.NDArray[np.intp]) -> None:
        table[rows, :factor_size] = factors * np.float32(init_std)

    # One thread draws, since there is one stream of random numbers; another puts them where they belong.
    with ThreadPoolExecutor(1) as pool:
        for first in range(0, features.size, ROWS_AT_A_TIME):
            rows = order[first : first + ROWS_AT_A_TIME]
            drawn.append(
                pool.submit(draw, random.standard_normal((rows.size, factor_size), np.float32), rows)
            )
        for done in drawn:
            done.result()
    return made
