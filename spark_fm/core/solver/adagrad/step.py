"""The AdaGrad step of one row.

All that belongs to a feature lies in one row of a float32 *table*, so that a visit costs one or two
cache lines: its K' factors, K' being the factor size rounded up to a multiple of eight, then what
:class:`spark_fm.core.fm.table.TableLayout` names. The extra factors are zero and stay zero: their gradient
g x (s_f - v_f x) + l v_f is zero.

- The accumulators are AdaGrad's sums of squared gradients (J. Duchi et al., JMLR 2011): one for the weight and one for
  the whole factor vector, the mean over its factors. The rests are what rounding them to float32 has left over, so that
  a feature of any number of visits goes on counting.
- The information, where rows have weights, is a pass's sums of squared gradients divided by the weight: a row of weight
  c has c times the curvature of one of weight 1, but c^2 times its squared gradient. Without weights it stays 0.
- The feature's penalty l is an L2 penalty per visit, for rare features larger than for popular ones.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from spark_fm.core.compiled.compile import compiled, compiled_exactly
from spark_fm.core.compiled.simd import add8, load8, mul8, prefetch, splat8, store8, sub8, sum8
from spark_fm.core.fm.constraints import Constraints
from spark_fm.core.fm.losses import largest_curvature, loss_derivative, loss_value
from spark_fm.core.fm.table import CACHE_LINE, layout_of

FloatArray = npt.NDArray[np.float32]
DoubleArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int32]

# A row of so many times the usual weight times squared norm is unusual: its step goes so far of its own way at most.
UNUSUAL = 2.0
FARTHEST = 0.2


class Steps(NamedTuple):
    """Step sizes of the intercept, the weights and the factors, float32; 0 keeps a part as it is."""

    intercept: np.float32
    linear: np.float32
    factors: np.float32


class Penalties(NamedTuple):
    """L2 penalties per visit, float32.

    Attributes
    ----------
    linear, factors : the same for all features
    prior : what a feature's own penalty is multiplied by
    largest : what that is at most
    prior_of_factors : how many times it counts for the factors; for the weight it counts once
    """

    linear: np.float32
    factors: np.float32
    prior: np.float32
    largest: np.float32
    prior_of_factors: np.float32


@compiled_exactly
def _add(total: float, rest: float, more: float) -> tuple[float, float]:
    """``total + rest + more`` as a float32 and what is left over (T. Dekker, Numerische Mathematik 18, 1971)."""
    more = np.float32(more + rest)
    new = np.float32(total + more)
    return new, np.float32(more - np.float32(new - total))


@compiled
def _own_way(
    table: FloatArray,
    indices: IntArray,
    values: FloatArray,
    start: int,
    stop: int,
    sums: FloatArray,
    steps: Steps,
    factor_size: int,
) -> float:
    """How far a row's step moves its own prediction for each unit of its gradient.

    sum over its parameters of step / sqrt(accumulator) * (dz/dparameter)^2.
    """
    at = layout_of(table)
    way = 0.0
    for j in range(start, stop):
        i = indices[j]
        x = float(values[j]) if values.size > 0 else 1.0
        squares = 0.0
        for f in range(factor_size):
            d = float(sums[0, f]) - float(table[i, f]) * x
            squares += d * d
        way += x * x * float(steps.linear) / np.sqrt(float(table[i, at.linear_accumulator]))
        way += x * x * float(steps.factors) / np.sqrt(float(table[i, at.factors_accumulator])) * squares
    return way


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
    steps: Steps,
    penalties: Penalties,
    usual: float = np.inf,
    constraints: Constraints | None = None,
) -> float:
    """One AdaGrad step per row, in the given order; updates ``table`` and ``intercept`` in place.

    For each row, with g = weight * dloss/dz and c = weight: the gradient of a weight is g x + c l w, of a factor
    g x (s_f - v_f x) + c l v_f; its square goes into the accumulator, and the parameter moves by
    step * gradient / sqrt(accumulator). The L2 penalty l of what a row touches is the same
    for all features plus the feature's own.

    A row of more than twice the usual squared norm, counted with its weight, counts as one of a
    smaller weight if its step would carry its own prediction by more than a fifth of the way to its optimum:
    what a row with very many or large values, or a large weight, does to the others is bounded.

    Parameters
    ----------
    table : float32 (features, K' + 8), see :class:`spark_fm.core.fm.table.TableLayout`
    intercept : float64 (3,), w0, its accumulator and, where rows have weights, its information
    indptr, indices, values : the CSR block; an empty ``values`` counts as ones
    label : float64; weight : float32, empty counts as ones
    order : int32, the rows to visit
    loss : number of a :class:`spark_fm.core.fm.losses.Loss`
    usual : mean over the rows of weight times squared norm of a row; without it no row is unusual
    constraints : what the features' steps must respect, compiled apart: without any there is nothing to ask

    Returns
    -------
    The weighted sum of the rows' losses, each taken just before its own step.
    """
    at, columns = layout_of(table), table.shape[1]
    K = at.factors
    sums = np.zeros((1, K), np.float32)
    # In memory, or LLVM would fold it into the products that it is used in, and round otherwise than before.
    factors_step = np.full(1, steps.factors, np.float32)
    zero = splat8(np.float32(0.0))
    has_values = values.size > 0
    has_weight = weight.size > 0
    mean = np.float32(1.0) / np.float32(factor_size)
    curvature = np.float32(largest_curvature(loss))
    unusual = np.float32(UNUSUAL * usual)
    w0, sum_0 = intercept[0], intercept[1]
    info_0, total = 0.0, 0.0
    for r in range(order.size):
        row = order[r]
        start, stop = indptr[row], indptr[row + 1]
        if r + 1 < order.size:
            following = order[r + 1]
            for j in range(indptr[following], indptr[following + 1]):
                for f in range(0, columns, CACHE_LINE):
                    prefetch(table, indices[j], f)
        for f in range(0, K, 8):
            store8(sums, 0, f, zero)
        linear = np.float32(0.0)
        squared_norm = np.float32(stop - start)
        if has_values:
            squared_norm = np.float32(0.0)
        squares = zero
        for j in range(start, stop):
            i = indices[j]
            x = values[j] if has_values else np.float32(1.0)
            if has_values:
                squared_norm += x * x
            linear += table[i, at.linear] * x
            xs = splat8(x)
            for f in range(0, K, 8):
                t = mul8(load8(table, i, f), xs)
                store8(sums, 0, f, add8(load8(sums, 0, f), t))
                squares = add8(squares, mul8(t, t))
        pairs = zero
        for f in range(0, K, 8):
            s = load8(sums, 0, f)
            pairs = add8(pairs, mul8(s, s))
        z = w0 + linear + np.float32(0.5) * sum8(sub8(pairs, squares))

        c = weight[row] if has_weight else np.float32(1.0)
        if c == 0.0:
            continue
        total += c * loss_value(loss, z, label[row])
        if c * squared_norm > unusual:
            way = _own_way(table, indices, values, start, stop, sums, steps, factor_size)
            c = np.float32(min(float(c), FARTHEST / max(way * curvature, 1e-30)))
        g = np.float32(c * loss_derivative(loss, z, label[row]))
        sum_0 += float(g) * float(g)
        if has_weight:
            info_0 += float(g) * float(g) / float(c)
        w0 -= steps.intercept * g / np.sqrt(sum_0)
        for j in range(start, stop):
            i = indices[j]
            x = values[j] if has_values else np.float32(1.0)
            gx = g * x
            extra = min(penalties.prior * table[i, at.feature_penalty], penalties.largest)
            penalty_w, penalty_v = penalties.linear, penalties.factors
            if constraints is not None:
                by = constraints.penalties[i]
                extra = min(penalties.prior * table[i, at.feature_penalty] * by, penalties.largest)
                penalty_w, penalty_v = penalties.linear * by, penalties.factors * by
            gradient = gx + c * (penalty_w + extra) * table[i, at.linear]
            added_w = gradient * gradient
            about_w = table[i, at.linear_accumulator] + added_w
            new_sum_w, new_rest_w = _add(table[i, at.linear_accumulator], table[i, at.linear_rest], added_w)
            table[i, at.linear_accumulator], table[i, at.linear_rest] = new_sum_w, new_rest_w
            table[i, at.linear] -= steps.linear * gradient / np.sqrt(about_w)
            if has_weight:
                table[i, at.linear_information] += added_w / c
            if constraints is not None:
                if constraints.nonnegative:
                    table[i, at.linear] = max(table[i, at.linear], np.float32(0.0))
                if not constraints.has_factors[i]:
                    continue
            towards_sum = splat8(gx)
            towards_zero = splat8(c * (penalty_v + penalties.prior_of_factors * extra) - gx * x)
            squares = zero
            for f in range(0, K, 8):
                d = add8(
                    mul8(towards_sum, load8(sums, 0, f)),
                    mul8(towards_zero, load8(table, i, f)),
                )
                squares = add8(squares, mul8(d, d))
            added_v = sum8(squares) * mean
            about_v = table[i, at.factors_accumulator] + added_v
            new_sum_v, new_rest_v = _add(table[i, at.factors_accumulator], table[i, at.factors_rest], added_v)
            if has_weight:
                table[i, at.factors_information] += added_v / c
            table[i, at.factors_accumulator], table[i, at.factors_rest] = new_sum_v, new_rest_v
            step = splat8(factors_step[0] / np.sqrt(about_v))
            for f in range(0, K, 8):
                v = load8(table, i, f)
                d = add8(mul8(towards_sum, load8(sums, 0, f)), mul8(towards_zero, v))
                store8(table, i, f, sub8(v, mul8(step, d)))
            if constraints is not None and constraints.nonnegative:
                for f in range(K):
                    table[i, f] = max(table[i, f], np.float32(0.0))
    intercept[0], intercept[1] = w0, sum_0
    if has_weight:
        intercept[2] += info_0
    return total
