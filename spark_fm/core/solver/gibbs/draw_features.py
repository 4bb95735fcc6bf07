"""One field's features drawn one after the other, each given all else, the rows' sums kept up to date."""

import numpy as np
import numpy.typing as npt

from spark_fm.core.compiled.compile import compiled
from spark_fm.core.solver.gibbs.conditional import ROWS_AT_ONCE, add_rows, draw
from spark_fm.core.solver.gibbs.random import stream

FloatArray = npt.NDArray[np.float32]
DoubleArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int32]
LongArray = npt.NDArray[np.int64]


@compiled
def draw_features(
    members: IntArray,
    ids: LongArray,
    indptr: LongArray,
    rows: IntArray,
    values: FloatArray,
    weights: FloatArray,
    residuals: DoubleArray,
    sums: FloatArray,
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
    residuals : float64 (rows,), y - z
    sums : float32 (rows, K), sum of v_j x_j
    theta : float64 (m, K + 1), w and v
    mean, strength : float64 (K + 1,), of the prior of the members
    noise : alpha, the precision of a row of weight 1

    Returns
    -------
    Whether all conditionals had a Cholesky decomposition.
    """
    d = theta.shape[1]
    K = d - 1
    precision, moment = np.empty((d, d)), np.empty(d)
    panel, targets = np.zeros((ROWS_AT_ONCE, d)), np.zeros(ROWS_AT_ONCE)
    drawn = np.empty(d)
    for i in members:
        old = theta[i]
        precision[:] = 0.0
        moment[:] = 0.0
        filled = 0
        for at in range(indptr[i], indptr[i + 1]):
            r = rows[at]
            x = float(values[at]) if values.size else 1.0
            g = np.sqrt(float(weights[r])) if weights.size else 1.0
            h = panel[filled]
            s = sums[r]
            scale = g * x
            target = residuals[r] + x * old[0]
            h[0] = scale
            dot = 0.0
            for f in range(K):
                other = s[f] - x * old[f + 1]
                dot += other * old[f + 1]
                h[f + 1] = scale * other
            targets[filled] = g * (target + x * dot)
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
        if not draw(precision, moment, stream(seed, sweep, ids[i]), drawn):
            return False
        for at in range(indptr[i], indptr[i + 1]):
            r = rows[at]
            x = float(values[at]) if values.size else 1.0
            s = sums[r]
            change = drawn[0] - old[0]
            for f in range(K):
                other = s[f] - x * old[f + 1]
                moved = drawn[f + 1] - old[f + 1]
                change += other * moved
                s[f] = other + x * drawn[f + 1]
            residuals[r] -= x * change
        old[:] = drawn
    return True
