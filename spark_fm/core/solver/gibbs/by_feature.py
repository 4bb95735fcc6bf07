"""The rows of each feature: the transpose of a block, and what the rows sum up to."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spark_fm.core.compiled.compile import compiled
from spark_fm.core.sparse.block import Block

FloatArray = npt.NDArray[np.float32]
DoubleArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int32]
LongArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ByFeature:
    """A block by feature (CSC).

    Attributes
    ----------
    indptr : int64 (m + 1,), where each feature's entries begin
    rows : int32 (nnz,), ascending within a feature
    values : float32 (nnz,), empty where all are 1
    """

    indptr: LongArray
    rows: IntArray
    values: FloatArray

    @classmethod
    def of(cls, block: Block, features: int) -> "ByFeature":
        """Of a block whose indices are positions of so many features."""
        indptr = np.zeros(features + 1, np.int64)
        np.cumsum(np.bincount(block.indices, minlength=features), out=indptr[1:])
        rows = np.empty(block.nonzeros, np.int32)
        values = block.values.astype(np.float32, copy=False)
        made = np.empty(values.size, np.float32)
        _transpose(block.indptr, block.indices, values, indptr[:-1].copy(), rows, made)
        return cls(indptr, rows, made)


@compiled
def _transpose(
    indptr: IntArray,
    indices: IntArray,
    values: FloatArray,
    ends: LongArray,
    rows: IntArray,
    out_values: FloatArray,
) -> None:
    for row in range(indptr.size - 1):
        for at in range(indptr[row], indptr[row + 1]):
            to = ends[indices[at]]
            rows[to] = row
            if values.size:
                out_values[to] = values[at]
            ends[indices[at]] = to + 1


@compiled
def fill_row_table(
    indptr: IntArray,
    indices: IntArray,
    values: FloatArray,
    labels: DoubleArray,
    theta: DoubleArray,
    intercept: float,
    table: FloatArray,
) -> None:
    """Fill in each row's sums of v_i x_i and its residual y - z, from theta, float64 (m, K + 1)."""
    K = theta.shape[1] - 1
    total = np.empty(K)
    for row in range(indptr.size - 1):
        total[:] = 0.0
        linear, squares = intercept, 0.0
        for at in range(indptr[row], indptr[row + 1]):
            x = float(values[at]) if values.size else 1.0
            parameters = theta[indices[at]]
            linear += x * parameters[0]
            for f in range(K):
                part = x * parameters[f + 1]
                total[f] += part
                squares += part * part
        product = 0.0
        for f in range(K):
            product += total[f] * total[f]
            table[row, f] = np.float32(total[f])
        table[row, K] = np.float32(labels[row] - linear - 0.5 * (product - squares))
