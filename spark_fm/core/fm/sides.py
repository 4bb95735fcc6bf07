"""A Factorization Machine split at the item: z of a row whose features are those of a context and of an item.

With s = sum_f v_f x_f over one side, and a, b what the features of the context, and of the item, contribute among
themselves, sum_f w_f x_f + sum_{f<g} <v_f, v_g> x_f x_g,

    z(c, i) = <phi(c), psi(i)>      phi(c) = (s_c, w0 + a_c, 1)      psi(i) = (s_i, 1, b_i)

as long as no feature is on both sides: its values would add up before they are squared.
"""

import numpy as np
import numpy.typing as npt

from spark_fm.core.compiled.compile import compiled
from spark_fm.core.fm.table import layout_of

FloatArray = npt.NDArray[np.float32]
DoubleArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int32]


@compiled
def side_rows(
    table: FloatArray,
    indptr: IntArray,
    indices: IntArray,
    values: FloatArray | DoubleArray,
    sums: DoubleArray,
    own: DoubleArray,
) -> None:
    """What each row of a CSR block is as one side, computed in float64 as scores are.

    Parameters
    ----------
    table, indptr, indices, values : as for :func:`spark_fm.core.fm.score.score_rows`
    sums : float64 (rows, K), filled with s = sum_f v_f x_f
    own : float64 (rows,), filled with sum_f w_f x_f + sum_{f<g} <v_f, v_g> x_f x_g
    """
    at = layout_of(table)
    K = sums.shape[1]
    pairs = np.zeros(K)
    has_values = values.size > 0
    for row in range(indptr.size - 1):
        sums[row] = 0.0
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
                pairs[f] += t * sums[row, f]
                sums[row, f] += t
        own[row] = linear + pairs.sum()


def context_vectors(sums: DoubleArray, own: DoubleArray, intercept: float) -> DoubleArray:
    """Phi of each row: float64 (rows, K + 2)."""
    return np.column_stack([sums, own + intercept, np.ones(own.size)])


def item_vectors(sums: DoubleArray, own: DoubleArray) -> DoubleArray:
    """Psi of each row: float64 (rows, K + 2)."""
    return np.column_stack([sums, np.ones(own.size), own])
