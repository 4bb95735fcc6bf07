"""The scores of a sample, in double precision."""

import numpy as np
import numpy.typing as npt

from spark_fm.core.compiled.compile import compiled
from spark_fm.core.sparse.block import Block

FloatArray = npt.NDArray[np.float32]
DoubleArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int32]


def predict(block: Block, theta: DoubleArray | FloatArray, intercept: float) -> DoubleArray:
    """Z of each row, float64 (rows,); theta, (m, K + 1), has w and v."""
    out = np.empty(block.rows)
    indices, values = np.asarray(block.indices, np.int32), block.values.astype(np.float32, copy=False)
    _predict(block.indptr, indices, values, theta, intercept, out)
    return out


@compiled
def _predict(
    indptr: IntArray,
    indices: IntArray,
    values: FloatArray,
    theta: DoubleArray | FloatArray,
    intercept: float,
    out: DoubleArray,
) -> None:
    K = theta.shape[1] - 1
    sums = np.empty(K)
    for row in range(out.size):
        sums[:] = 0.0
        z = intercept
        for at in range(indptr[row], indptr[row + 1]):
            x = float(values[at]) if values.size else 1.0
            parameters = theta[indices[at]]
            z += x * parameters[0]
            for f in range(K):
                part = x * parameters[f + 1]
                sums[f] += part
                z -= 0.5 * part * part
        for f in range(K):
            z += 0.5 * sums[f] * sums[f]
        out[row] = z
