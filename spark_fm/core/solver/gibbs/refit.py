"""A compressed mean moved towards the scores of the whole one: one sweep of least squares over the training rows.

The directions that a compression drops are noise to each feature alone, but not to the scores where fields differ in
size or a row has many features. So each feature's (w, v) becomes, in turn and given all others, the one that minimises

    sum_r g (score_r - z_r)^2 + RIDGE |theta - theta before|^2,

the mean of the sampler's conditional with the mean's scores as labels. A tenth of the rows is held out: where these do
not come nearer to their scores, there was nothing to learn, and the mean stays as it was.
"""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from spark_fm.core.compiled.compile import compiled
from spark_fm.core.solver.gibbs.by_feature import ByFeature, fill_row_table
from spark_fm.core.solver.gibbs.conditional import ROWS_AT_ONCE, expect
from spark_fm.core.solver.gibbs.draw_features import move_feature, row_table, sum_feature
from spark_fm.core.solver.gibbs.fields import DrawOrder
from spark_fm.core.solver.gibbs.grouped import add_group
from spark_fm.core.solver.gibbs.predict import predict
from spark_fm.core.solver.gibbs.start import HASHES, row_keys
from spark_fm.core.solver.gibbs.state import LEFT_THE_RANGE, PINNED
from spark_fm.core.sparse.block import NO_FLOATS, Block

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float32]
DoubleArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int32]
LongArray = npt.NDArray[np.int64]

# Rows of weight 1 that speak for a feature's parameters as they were.
RIDGE = 5.0
HELD_OUT = 0.1


def ridge(factor_size: int, fits_linear: bool) -> DoubleArray:
    """How strongly w and v are held where they were, float64 (K + 1,)."""
    made = np.full(factor_size + 1, RIDGE)
    if not fits_linear:
        made[0] = PINNED
    return made


def held_out(block: Block, ids: LongArray) -> BoolArray:
    """Which rows judge: bool (rows,), chosen by a hash of the row, whose features' ids are those of the positions.

    Of the label in single precision: its mean, which was taken off, depends on the partitions by its last bits. And
    without the weight: a row of weight 2 is the same row twice.
    """
    label = block.label.astype(np.float32).astype(np.float64)
    return row_keys(replace(block, label=label, weight=NO_FLOATS), ids) % HASHES < HASHES * HELD_OUT


def refitted(
    block: Block,
    scores: npt.NDArray[np.floating],
    ids: LongArray,
    order: DrawOrder,
    theta: DoubleArray,
    intercept: float,
    fits_linear: bool,
) -> DoubleArray | None:
    """The parameters, float64 (m, K + 1), that are nearer to the ``scores`` of the block's rows; None where they
    are not.

    Raises
    ------
    FloatingPointError
        When the numbers are beyond what float64 can tell apart.
    """
    judges = held_out(block, ids)
    towards = replace(block, label=scores.astype(np.float64))
    fitting, judging = towards.take(np.flatnonzero(~judges)), towards.take(np.flatnonzero(judges))
    made = theta.copy()
    _sweep(fitting, order, made, intercept, ridge(theta.shape[1] - 1, fits_linear))
    before, after = (_squares_left(judging, one, intercept) for one in (theta, made))
    return made if after < before else None


def _sweep(
    block: Block, order: DrawOrder, theta: DoubleArray, intercept: float, strength: DoubleArray
) -> None:
    by_feature, table = ByFeature.of(block, theta.shape[0]), row_table(block.rows, theta.shape[1] - 1)
    values = block.values.astype(np.float32, copy=False)
    fill_row_table(block.indptr, block.indices, values, block.label, theta, intercept, table)
    for group in range(len(order.groups)):
        if not refit_features(
            order.of_group(group), by_feature.indptr, by_feature.rows, by_feature.values, block.weight,
            table, theta, strength,
        ):  # fmt: skip
            raise FloatingPointError(LEFT_THE_RANGE)


def _squares_left(block: Block, theta: DoubleArray, intercept: float) -> float:
    left = block.label - predict(block, theta, intercept)
    return float((left * block.weight if block.weight.size else left) @ left)


@compiled
def refit_feature(
    precision: DoubleArray, moment: DoubleArray, strength: DoubleArray, old: DoubleArray, new: DoubleArray
) -> bool:
    """Fill in a feature's new parameters from the sums of its rows, which are used up; all float64 (d,), (d, d)."""
    for a in range(old.size):
        precision[a, a] += strength[a]
        moment[a] += strength[a] * old[a]
    return bool(expect(precision, moment, new))


@compiled
def refit_features(
    members: IntArray,
    indptr: LongArray,
    rows: IntArray,
    values: FloatArray,
    weights: FloatArray,
    table: FloatArray,
    theta: DoubleArray,
    strength: DoubleArray,
) -> bool:
    """Refit the features ``members`` in turn; the arguments are those of
    :func:`spark_fm.core.solver.gibbs.draw_features.draw_features`.

    Returns
    -------
    Whether all had a Cholesky decomposition.
    """
    d = theta.shape[1]
    precision, moment = np.empty((d, d)), np.empty(d)
    panel, targets = np.zeros((ROWS_AT_ONCE, d)), np.zeros(ROWS_AT_ONCE)
    old, new, moved = np.empty(d), np.empty(d), np.empty(d)
    for i in members:
        old[:] = theta[i]
        first, last = indptr[i], indptr[i + 1]
        sum_feature(first, last, rows, values, weights, table, old, panel, targets, precision, moment)
        if not refit_feature(precision, moment, strength, old, new):
            return False
        for a in range(d):
            moved[a] = new[a] - old[a]
        move_feature(first, last, rows, values, table, old, moved)
        theta[i] = new
    return True


@compiled
def refit_groups(
    order: IntArray,
    begins: LongArray,
    positions: IntArray,
    indptr: IntArray,
    indices: IntArray,
    values: FloatArray,
    labels: DoubleArray,
    weights: FloatArray,
    entries: IntArray,
    theta: DoubleArray,
    intercept: float,
    strength: DoubleArray,
    out: DoubleArray,
) -> bool:
    """Refit each feature of a block that has all its rows; the arguments are those of
    :func:`spark_fm.core.solver.gibbs.grouped.draw_groups`.

    Returns
    -------
    Whether all had a Cholesky decomposition.
    """
    d = theta.shape[1]
    precision, moment, reach = np.empty((d, d)), np.empty(d), np.zeros(d)
    for i in range(positions.size):
        precision[:] = 0.0
        moment[:] = 0.0
        add_group(
            order[begins[i + 1] : begins[i + 2]], indptr, indices, values, labels, weights, entries, theta,
            intercept, precision, moment, reach,
        )  # fmt: skip
        if not refit_feature(precision, moment, strength, theta[positions[i]], out[i]):
            return False
    return True


@compiled
def refit_summed(sums: DoubleArray, positions: IntArray, theta: DoubleArray, strength: DoubleArray) -> bool:
    """Refit each feature in ``theta`` from what its rows sum up to, float64 (f, d * d + 2 d), which is used up.

    Returns
    -------
    Whether all had a Cholesky decomposition.
    """
    d = theta.shape[1]
    new = np.empty(d)
    for i in range(positions.size):
        precision, moment = sums[i, : d * d].reshape((d, d)), sums[i, d * d : d * d + d]
        if not refit_feature(precision, moment, strength, theta[positions[i]], new):
            return False
        theta[positions[i]] = new
    return True
