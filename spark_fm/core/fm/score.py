"""The prediction of a Factorization Machine, in time linear in the non-zeros.

z(x) = w0 + sum_i w_i x_i + sum_{i<j} <v_i, v_j> x_i x_j (S. Rendle, Factorization Machines, ICDM 2010).
"""

import numpy as np
import numpy.typing as npt

from spark_fm.core.compiled.compile import compiled
from spark_fm.core.compiled.simd import prefetch
from spark_fm.core.fm.table import CACHE_LINE, layout_of

FloatArray = npt.NDArray[np.float32]
DoubleArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int32]


@compiled
def score_rows(
    table: FloatArray,
    intercept: float,
    indptr: IntArray,
    indices: IntArray,
    values: FloatArray | DoubleArray,
    rows: IntArray,
    out: DoubleArray,
) -> None:
    """Raw predictions z of some rows of a CSR block, computed in float64.

    The pairs are summed as sum_i <v_i x_i, sum_{j<i} v_j x_j>: unlike the difference of squares that is the same in
    exact arithmetic, no large number cancels, whatever the values are.

    Parameters
    ----------
    table : float32 (features, K' + 8), see :class:`spark_fm.core.fm.table.TableLayout`
    indptr, indices, values : the block; an empty ``values`` counts as ones. A negative index is a feature
        that the model does not know: it contributes nothing.
    rows : int32, which rows to score
    out : float64, filled with z in the order of ``rows``
    """
    at = layout_of(table)
    K = at.factors
    sums, pairs = np.zeros(K), np.zeros(K)
    has_values = values.size > 0
    for r in range(rows.size):
        row = rows[r]
        if r + 1 < rows.size:
            following = rows[r + 1]
            for j in range(indptr[following], indptr[following + 1]):
                for f in range(0, table.shape[1], CACHE_LINE):
                    prefetch(table, max(indices[j], 0), f)
        sums[:] = 0.0
        pairs[:] = 0.0
        linear = 0.0
        for j in range(indptr[row], indptr[row + 1]):
            i = indices[j]
            if i < 0:
                continue
            x = float(values[j]) if has_values else 1.0
            linear += float(table[i, at.linear]) * x
            for f in range(K):
                t = float(table[i, f]) * x
                pairs[f] += t * sums[f]
                sums[f] += t
        out[r] = intercept + linear + pairs.sum()
