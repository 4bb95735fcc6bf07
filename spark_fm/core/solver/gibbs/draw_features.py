"""Features drawn one after the other, each given all else, the rows' sums and residuals kept up to date."""

import numpy as np
import numpy.typing as npt

from spark_fm.core.compiled.compile import compiled
from spark_fm.core.compiled.simd import LANES, prefetch
from spark_fm.core.solver.gibbs.conditional import ROWS_AT_ONCE, add_rows, draw
from spark_fm.core.solver.gibbs.random import stream

FloatArray = npt.NDArray[np.float32]
DoubleArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int32]
LongArray = npt.NDArray[np.int64]

ROWS_AHEAD = 8


def row_table(rows: int, factor_size: int) -> FloatArray:
    """Room for what is kept of each row: K sums of v_j x_j, then the residual y - z; float32 (rows, >= K + 1).

    Side by side, in whole vectors of the processor, since they are read together and at random.
    """
    return np.zeros((rows, -(-(factor_size + 1) // LANES) * LANES), np.float32)


@compiled
def draw_features(
    members: IntArray,
    ids: LongArray,
    indptr: LongArray,
    rows: IntArray,
    values: FloatArray,
    weights: FloatArray,
    table: FloatArray,
    theta: DoubleArray,
    mean: DoubleArray,
    strength: DoubleArray,
    noise: float,
    seed: int,
    sweep: int,
) -> bool:
    """Draw (w_i, v_i) of the features ``members`` in turn.

    Parameters
    ----------
    members : int32, positions of features
    ids : int64 (m,), the features' ids
    indptr, rows, values : the data by feature (CSC); ``values`` is empty where all are 1
    weights : float32 (rows,), empty where all are 1
    table : the rows' sums and residuals, see :func:`row_table`
    theta : float64 (m, K + 1), w and v
    mean, strength : float64 (K + 1,), of the prior of the members
    noise : alpha, the precision of a label

    Returns
    -------
    Whether all conditionals had a Cholesky decomposition.
    """
    d = theta.shape[1]
    K = d - 1
    precision, moment = np.empty((d, d)), np.empty(d)
    panel, targets = np.zeros((ROWS_AT_ONCE, d)), np.zeros(ROWS_AT_ONCE)
    old, new, moved = np.empty(d), np.empty(d), np.empty(d)
    for i in members:
        old[:] = theta[i]
        precision[:] = 0.0
        moment[:] = 0.0
        filled = 0
        first, last = indptr[i], indptr[i + 1]
        for at in range(first, last):
            r = rows[at]
            if at + ROWS_AHEAD < last:
                prefetch(table, np.intp(rows[at + ROWS_AHEAD]), np.intp(0))
            x = float(values[at]) if values.size else 1.0
            g = np.sqrt(float(weights[r])) if weights.size else 1.0
            h = panel[filled]
            scale = g * x
            h[0] = scale
            dot = old[0]
            for f in range(K):
                other = table[r, f] - x * old[f + 1]
                dot += other * old[f + 1]
                h[f + 1] = scale * other
            targets[filled] = g * (table[r, K] + x * dot)
            filled += 1
            if filled == ROWS_AT_ONCE:
                add_rows(panel, targets, precision, moment)
                filled = 0
        if filled:
            panel[filled:] = 0.0
            targets[filled:] = 0.0
            add_rows(panel, targets, precision, moment)
        for a in range(d):
            moment[a] = noise * moment[a] + strength[a] * mean[a]
            for b in range(a + 1):
                precision[a, b] *= noise
            precision[a, a] += strength[a]
        if not draw(precision, moment, stream(seed, sweep, ids[i]), new):
            return False
        for a in range(d):
            moved[a] = new[a] - old[a]
        for at in range(first, last):
            r = rows[at]
            x = float(values[at]) if values.size else 1.0
            change = moved[0]
            for f in range(K):
                change += (table[r, f] - x * old[f + 1]) * moved[f + 1]
                table[r, f] += np.float32(x * moved[f + 1])
            table[r, K] -= np.float32(x * change)
        theta[i] = new
    return True
