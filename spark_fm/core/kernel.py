"""The Factorization Machine kernel: score rows, and take AdaGrad steps row by row.

z(x) = w0 + sum_i w_i x_i + 1/2 sum_f [ (sum_i v_if x_i)^2 - sum_i v_if^2 x_i^2 ]
(S. Rendle, Factorization Machines, ICDM 2010), in time linear in the non-zeros.

All that belongs to a feature lies in one row of a float32 *table*, so that a visit costs one or two
cache lines: ``[v_0 .. v_{K'-1}, w, Gw, Gv, l]`` where K' is the factor size rounded up to a multiple of
eight. The extra factors are zero and stay zero: their gradient g x (s_f - v_f x) + l v_f is zero. Gw and
Gv are AdaGrad's sums of squared gradients (J. Duchi et al., JMLR 2011): one for the weight and
one for the whole factor vector, the mean over its factors. l is the feature's own L2 penalty per visit, for rare
features larger than for popular ones.
"""

import numpy as np
import numpy.typing as npt

from spark_fm.core.compile import compiled
from spark_fm.core.loss import loss_derivative, loss_value
from spark_fm.core.simd import add8, load8, mul8, prefetch, splat8, store8, sub8, sum8

FloatArray = npt.NDArray[np.float32]
DoubleArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int32]

CACHE_LINE = 16  # float32 values in 64 bytes


@compiled
def score_rows(
    table: FloatArray,
    intercept: float,
    indptr: IntArray,
    indices: IntArray,
    values: FloatArray,
    rows: IntArray,
    out: DoubleArray,
) -> None:
    """Raw predictions z of some rows of a CSR block.

    Parameters
    ----------
    table : float32 (features, K' + 4), see the module's docstring
    indptr, indices, values : the block; an empty ``values`` counts as ones. A negative index is a feature
        that the model does not know: it contributes nothing.
    rows : int32, which rows to score
    out : float64, filled with z in the order of ``rows``
    """
    width = table.shape[1] - 4
    sums = np.zeros((1, width), np.float32)
    has_values = values.size > 0
    zero = splat8(np.float32(0.0))
    for r in range(rows.size):
        row = rows[r]
        if r + 1 < rows.size:
            following = rows[r + 1]
            for j in range(indptr[following], indptr[following + 1]):
                for f in range(0, width + 1, CACHE_LINE):
                    prefetch(table, max(indices[j], 0), f)
        for f in range(0, width, 8):
            store8(sums, 0, f, zero)
        linear = 0.0
        squares = zero
        for j in range(indptr[row], indptr[row + 1]):
            i = indices[j]
            if i < 0:
                continue
            x = values[j] if has_values else np.float32(1.0)
            linear += float(table[i, width]) * float(x)
            xs = splat8(x)
            for f in range(0, width, 8):
                t = mul8(load8(table, i, f), xs)
                store8(sums, 0, f, add8(load8(sums, 0, f), t))
                squares = add8(squares, mul8(t, t))
        pairs = zero
        for f in range(0, width, 8):
            s = load8(sums, 0, f)
            pairs = add8(pairs, mul8(s, s))
        out[r] = intercept + linear + 0.5 * float(sum8(sub8(pairs, squares)))


@compiled
def train_rows(
    table: FloatArray,
    intercept: DoubleArray,
    indptr: IntArray,
    indices: IntArray,
    values: FloatArray,
    label: DoubleArray,
    weight: FloatArray,
    order: IntArray,
    loss: int,
    factor_size: int,
    steps: FloatArray,
    penalties: FloatArray,
) -> float:
    """One AdaGrad step per row, in the given order; updates ``table`` and ``intercept`` in place.

    For each row, with g = weight * dloss/dz and c = weight: the gradient of a weight is g x + c l w, of a factor
    g x (s_f - v_f x) + c l v_f; its square goes into the accumulator, and the parameter moves by
    step * gradient / sqrt(accumulator). The L2 penalty l of what a row touches is the same
    for all features plus the feature's own.

    Parameters
    ----------
    table : float32 (features, K' + 4), see the module's docstring
    intercept : float64 (2,), w0 and its accumulator
    indptr, indices, values : the CSR block; an empty ``values`` counts as ones
    label : float64; weight : float32, empty counts as ones
    order : int32, the rows to visit
    loss : number of a :class:`spark_fm.core.loss.Loss`
    steps : float32 (3,), step sizes of the intercept, the weights and the factors; 0 keeps a part as it is
    penalties : float32 (5,), L2 penalties of the weights and of the factors; what a feature's own penalty is
        multiplied by, its largest value then, and how many times it counts for the factors (for the weight
        it counts once)

    Returns
    -------
    The weighted sum of the rows' losses, each taken just before its own step.
    """
    width = table.shape[1] - 4
    weights, sum_w, sum_v, own = width, width + 1, width + 2, width + 3
    sums = np.zeros((1, width), np.float32)
    zero = splat8(np.float32(0.0))
    has_values = values.size > 0
    has_weight = weight.size > 0
    mean = np.float32(1.0) / np.float32(factor_size)
    w0, sum_0 = intercept[0], intercept[1]
    total = 0.0
    for r in range(order.size):
        row = order[r]
        start, stop = indptr[row], indptr[row + 1]
        if r + 1 < order.size:
            following = order[r + 1]
            for j in range(indptr[following], indptr[following + 1]):
                for f in range(0, width + 3, CACHE_LINE):
                    prefetch(table, indices[j], f)
        for f in range(0, width, 8):
            store8(sums, 0, f, zero)
        linear = np.float32(0.0)
        squares = zero
        for j in range(start, stop):
            i = indices[j]
            x = values[j] if has_values else np.float32(1.0)
            linear += table[i, weights] * x
            xs = splat8(x)
            for f in range(0, width, 8):
                t = mul8(load8(table, i, f), xs)
                store8(sums, 0, f, add8(load8(sums, 0, f), t))
                squares = add8(squares, mul8(t, t))
        pairs = zero
        for f in range(0, width, 8):
            s = load8(sums, 0, f)
            pairs = add8(pairs, mul8(s, s))
        z = w0 + linear + np.float32(0.5) * sum8(sub8(pairs, squares))

        c = weight[row] if has_weight else np.float32(1.0)
        if c == 0.0:
            continue
        total += c * loss_value(loss, z, label[row])
        g = np.float32(c * loss_derivative(loss, z, label[row]))
        sum_0 += float(g) * float(g)
        w0 -= steps[0] * g / np.sqrt(sum_0)
        for j in range(start, stop):
            i = indices[j]
            x = values[j] if has_values else np.float32(1.0)
            gx = g * x
            extra = min(penalties[2] * table[i, own], penalties[3])
            gradient = gx + c * (penalties[0] + extra) * table[i, weights]
            new_sum_w = table[i, sum_w] + gradient * gradient
            towards_sum = splat8(gx)
            towards_zero = splat8(c * (penalties[1] + penalties[4] * extra) - gx * x)
            squares = zero
            for f in range(0, width, 8):
                d = add8(
                    mul8(towards_sum, load8(sums, 0, f)),
                    mul8(towards_zero, load8(table, i, f)),
                )
                squares = add8(squares, mul8(d, d))
            new_sum_v = table[i, sum_v] + sum8(squares) * mean
            table[i, sum_w] = new_sum_w
            table[i, weights] -= steps[1] * gradient / np.sqrt(new_sum_w)
            table[i, sum_v] = new_sum_v
            step = splat8(steps[2] / np.sqrt(new_sum_v))
            for f in range(0, width, 8):
                v = load8(table, i, f)
                d = add8(mul8(towards_sum, load8(sums, 0, f)), mul8(towards_zero, v))
                store8(table, i, f, sub8(v, mul8(step, d)))
    intercept[0], intercept[1] = w0, sum_0
    return total
