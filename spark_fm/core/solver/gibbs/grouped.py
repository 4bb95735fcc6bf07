"""Features of which a row has at most one, drawn side by side: what their rows say of each, and the draw.

Given all else such features are independent, and rows may lie anywhere: where one place has all rows of a feature it
draws it; else places say what their rows sum up to, which adds up.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from spark_fm.core.compiled.compile import compiled
from spark_fm.core.solver.gibbs.conditional import ROWS_AT_ONCE, add_rows, draw
from spark_fm.core.solver.gibbs.random import stream
from spark_fm.core.sparse.block import Block

FloatArray = npt.NDArray[np.float32]
DoubleArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int32]
LongArray = npt.NDArray[np.int64]


class Residuals(NamedTuple):
    """Of the residuals y - z of rows: the sum of their weights, the weighted sums, and those of their squares."""

    weight: float = 0.0
    total: float = 0.0
    squares: float = 0.0

    def plus(self, other: "Residuals") -> "Residuals":
        """Of the rows of both."""
        return Residuals(*(a + b for a, b in zip(self, other, strict=True)))


class GroupedRows(NamedTuple):
    """The rows of a block by the feature that is drawn.

    Attributes
    ----------
    entries : int32 (rows,), where in the block a row has its feature, -1 where it has none
    order : int32 (rows,), the rows by feature, those without one first
    begins : int64 (f + 2,), where in ``order`` those without one, then those of each feature, begin
    positions : int32 (f,), the features, ascending
    """

    entries: IntArray
    order: IntArray
    begins: LongArray
    positions: IntArray

    @classmethod
    def of(cls, block: Block, classes: npt.NDArray[np.int16], number: int) -> "GroupedRows":
        """Of a block whose indices are positions of features, of which those of the class ``number`` are drawn."""
        entries = np.empty(block.rows, np.int32)
        _find(block.indptr, np.asarray(block.indices, np.int32), classes, number, entries)
        keys = np.append(np.asarray(block.indices, np.int32), np.int32(-1))[entries]
        ascending = bool((keys[1:] >= keys[:-1]).all())
        order = np.arange(block.rows) if ascending else np.argsort(keys, kind="stable")
        found = keys[order]
        ends = np.flatnonzero(np.diff(found)) + 1
        without = int((keys < 0).sum())
        inner = ends[ends > without]
        begins = (
            np.concatenate([[0, without], inner, [block.rows]])
            if without < block.rows
            else np.array([0, without])
        )
        return cls(entries, order.astype(np.int32), begins.astype(np.int64), found[begins[1:-1]])


@compiled
def _find(
    indptr: IntArray, indices: IntArray, classes: npt.NDArray[np.int16], number: int, out: IntArray
) -> None:
    for row in range(out.size):
        out[row] = -1
        for at in range(indptr[row], indptr[row + 1]):
            if classes[indices[at]] == number:
                out[row] = at


@compiled
def add_group(
    some: IntArray,
    indptr: IntArray,
    indices: IntArray,
    values: FloatArray,
    labels: DoubleArray,
    weights: FloatArray,
    entries: IntArray,
    theta: DoubleArray,
    intercept: float,
    precision: DoubleArray,
    moment: DoubleArray,
    reach: DoubleArray,
) -> tuple[float, float, float]:
    """Add what rows say of their feature to the sums of g h h^T (its lower half), g t h, and g h.

    Returns
    -------
    The sums of g, g t and g t^2.
    """
    d = moment.size
    K = d - 1
    panel, targets = np.zeros((ROWS_AT_ONCE, d)), np.zeros(ROWS_AT_ONCE)
    filled, weight, total, squares = 0, 0.0, 0.0, 0.0
    sums = np.empty(K)
    for row in some:
        own = entries[row]
        g = float(weights[row]) if weights.size else 1.0
        linear, own_squares = intercept, 0.0
        sums[:] = 0.0
        for at in range(indptr[row], indptr[row + 1]):
            if at == own:
                continue
            x = float(values[at]) if values.size else 1.0
            parameters = theta[indices[at]]
            linear += x * parameters[0]
            for f in range(K):
                part = x * parameters[f + 1]
                sums[f] += part
                own_squares += part * part
        product = 0.0
        for f in range(K):
            product += sums[f] * sums[f]
        t = labels[row] - linear - 0.5 * (product - own_squares)
        weight += g
        total += g * t
        squares += g * t * t
        if own < 0:
            continue
        x = float(values[own]) if values.size else 1.0
        root = np.sqrt(g)
        h = panel[filled]
        h[0] = root * x
        for f in range(K):
            h[f + 1] = root * x * sums[f]
        for a in range(d):
            reach[a] += root * h[a]
        targets[filled] = root * t
        filled += 1
        if filled == ROWS_AT_ONCE:
            add_rows(panel, targets, precision, moment)
            filled = 0
    if filled:
        panel[filled:] = 0.0
        targets[filled:] = 0.0
        add_rows(panel, targets, precision, moment)
    return weight, total, squares


@compiled
def draw_group(
    precision: DoubleArray,
    moment: DoubleArray,
    mean: DoubleArray,
    strength: DoubleArray,
    noise: float,
    begin: np.uint64,
    theta: DoubleArray,
) -> bool:
    """Fill theta, float64 (d,), with a draw of a feature whose rows have such sums; these stay as they are."""
    d = moment.size
    A, b = np.empty((d, d)), np.empty(d)
    for i in range(d):
        b[i] = noise * moment[i] + strength[i] * mean[i]
        for j in range(i + 1):
            A[i, j] = noise * precision[i, j]
        A[i, i] += strength[i]
    return draw(A, b, begin, theta)


@compiled
def left_over(
    precision: DoubleArray, moment: DoubleArray, reach: DoubleArray, theta: DoubleArray
) -> tuple[float, float]:
    """By how much the feature's part of the scores changes the sums of g t and g t^2 to those of the residuals."""
    d = moment.size
    total, squares = 0.0, 0.0
    for i in range(d):
        total -= reach[i] * theta[i]
        inner = 0.5 * precision[i, i] * theta[i] - moment[i]
        for j in range(i):
            inner += precision[i, j] * theta[j]
        squares += 2.0 * theta[i] * inner
    return total, squares


@compiled
def draw_groups(
    order: IntArray,
    begins: LongArray,
    positions: IntArray,
    ids: LongArray,
    indptr: IntArray,
    indices: IntArray,
    values: FloatArray,
    labels: DoubleArray,
    weights: FloatArray,
    entries: IntArray,
    theta: DoubleArray,
    intercept: float,
    mean: DoubleArray,
    strength: DoubleArray,
    noise: float,
    seed: int,
    sweep: int,
    out: DoubleArray,
    sums: DoubleArray,
) -> bool:
    """Draw each feature of a block that has all its rows; ``out`` is float64 (f, d).

    ``sums``, float64 (3,), becomes the sums of weights, residuals and squared residuals of all rows, after the draw.

    Returns
    -------
    Whether all conditionals had a Cholesky decomposition.
    """
    d = theta.shape[1]
    precision, moment, reach = np.empty((d, d)), np.empty(d), np.empty(d)
    sums[:] = 0.0
    for group in range(begins.size - 1):
        precision[:] = 0.0
        moment[:] = 0.0
        reach[:] = 0.0
        weight, total, squares = add_group(
            order[begins[group] : begins[group + 1]], indptr, indices, values, labels, weights, entries,
            theta, intercept, precision, moment, reach,
        )  # fmt: skip
        if group > 0:
            new = out[group - 1]
            place = stream(seed, sweep, ids[positions[group - 1]])
            if not draw_group(precision, moment, mean, strength, noise, place, new):
                return False
            more_total, more_squares = left_over(precision, moment, reach, new)
            total += more_total
            squares += more_squares
        sums[0] += weight
        sums[1] += total
        sums[2] += squares
    return True


@compiled
def sum_groups(
    order: IntArray,
    begins: LongArray,
    indptr: IntArray,
    indices: IntArray,
    values: FloatArray,
    labels: DoubleArray,
    weights: FloatArray,
    entries: IntArray,
    theta: DoubleArray,
    intercept: float,
    precision: DoubleArray,
    moment: DoubleArray,
    reach: DoubleArray,
    sums: DoubleArray,
) -> None:
    """What the rows of each feature of a block sum up to: float64 (f, d, d), (f, d), (f, d); and (3,) of all rows."""
    sums[:] = 0.0
    unused = np.zeros((theta.shape[1], theta.shape[1])), np.zeros(theta.shape[1]), np.zeros(theta.shape[1])
    for group in range(begins.size - 1):
        some = order[begins[group] : begins[group + 1]]
        if group == 0:
            weight, total, squares = add_group(
                some, indptr, indices, values, labels, weights, entries, theta, intercept,
                unused[0], unused[1], unused[2],
            )  # fmt: skip
        else:
            weight, total, squares = add_group(
                some, indptr, indices, values, labels, weights, entries, theta, intercept,
                precision[group - 1], moment[group - 1], reach[group - 1],
            )  # fmt: skip
        sums[0] += weight
        sums[1] += total
        sums[2] += squares


@compiled
def draw_summed(
    sums: DoubleArray,
    positions: IntArray,
    ids: LongArray,
    mean: DoubleArray,
    strength: DoubleArray,
    noise: float,
    seed: int,
    sweep: int,
    out: DoubleArray,
    after: DoubleArray,
) -> bool:
    """Draw each feature from what its rows sum up to, float64 (f, d * d + 2 d); ``out`` is float64 (f, d).

    ``after``, float64 (2,), becomes the change of the sums of residuals and squared residuals.

    Returns
    -------
    Whether all conditionals had a Cholesky decomposition.
    """
    d = out.shape[1]
    after[:] = 0.0
    for i in range(out.shape[0]):
        precision = sums[i, : d * d].reshape((d, d))
        moment, reach = sums[i, d * d : d * d + d], sums[i, d * d + d :]
        if not draw_group(
            precision, moment, mean, strength, noise, stream(seed, sweep, ids[positions[i]]), out[i]
        ):
            return False
        total, squares = left_over(precision, moment, reach, out[i])
        after[0] += total
        after[1] += squares
    return True
