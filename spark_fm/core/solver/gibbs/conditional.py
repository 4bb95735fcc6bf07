"""The conditional of one feature: a Gaussian of its weight and factors, given all else.

With h = x (1, s), s the sum of v_j x_j over the row's other features, and t the row's residual without the feature,
z is linear in theta = (w, v): its posterior precision is A = diag(lambda) + alpha sum_r g_r h h^T, and
b = lambda mu + alpha sum_r g_r t h, for rows of weights g. Solved by Cholesky: A = L^T L.
"""

import numpy as np
import numpy.typing as npt

from spark_fm.core.compiled.compile import compiled
from spark_fm.core.solver.gibbs.random import normals

DoubleArray = npt.NDArray[np.float64]

ROWS_AT_ONCE = 4


@compiled
def add_rows(panel: DoubleArray, targets: DoubleArray, precision: DoubleArray, moment: DoubleArray) -> None:
    """Add four rows h, float64 (4, d), each already times the root of its weight, to A (its lower half) and b."""
    d = moment.size
    t0, t1, t2, t3 = targets[0], targets[1], targets[2], targets[3]
    h0, h1, h2, h3 = panel[0], panel[1], panel[2], panel[3]
    for a in range(d):
        c0, c1, c2, c3 = h0[a], h1[a], h2[a], h3[a]
        moment[a] += c0 * t0 + c1 * t1 + c2 * t2 + c3 * t3
        row = precision[a]
        for b in range(a + 1):
            row[b] += c0 * h0[b] + c1 * h1[b] + c2 * h2[b] + c3 * h3[b]


@compiled
def cholesky(matrix: DoubleArray) -> bool:
    """Replace the lower half of a symmetric matrix, float64 (d, d), by L with A = L^T L; false where A is not positive.

    From the last row up, so that all inner loops run along the beginnings of rows.
    """
    for k in range(matrix.shape[0] - 1, -1, -1):
        row = matrix[k]
        if not row[k] > 0.0:
            return False
        by = 1.0 / np.sqrt(row[k])
        for b in range(k + 1):
            row[b] *= by
        for a in range(k):
            other, times = matrix[a], row[a]
            for b in range(a + 1):
                other[b] -= times * row[b]
    return True


@compiled
def substitute(matrix: DoubleArray, moment: DoubleArray, theta: DoubleArray) -> None:
    """Replace theta, float64 (d,), by L^-1 (L^-T b + theta), of the lower half L of A = L^T L; b is used up."""
    d = moment.size
    for i in range(d - 1, -1, -1):
        row = matrix[i]
        solved = moment[i] / row[i]
        theta[i] += solved
        for b in range(i):
            moment[b] -= solved * row[b]
    for i in range(d):
        row = matrix[i]
        total = theta[i]
        for b in range(i):
            total -= row[b] * theta[b]
        theta[i] = total / row[i]


@compiled
def draw(precision: DoubleArray, moment: DoubleArray, begin: np.uint64, theta: DoubleArray) -> bool:
    """Fill theta, float64 (d,), with a draw of N(A^-1 b, A^-1); A and b are used up.

    With L^T y = b and L theta = y + noise: the noise then has the covariance L^-1 L^-T = A^-1.
    """
    if not cholesky(precision):
        return False
    normals(begin, theta)
    substitute(precision, moment, theta)
    return True


@compiled
def expect(precision: DoubleArray, moment: DoubleArray, theta: DoubleArray) -> bool:
    """Fill theta, float64 (d,), with A^-1 b, the mean of what :func:`draw` draws; A and b are used up."""
    if not cholesky(precision):
        return False
    theta[:] = 0.0
    substitute(precision, moment, theta)
    return True
