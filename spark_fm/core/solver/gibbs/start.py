"""Where a chain starts: a few epochs of AdaGrad, on rows in an order that does not depend on how they came."""

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from spark_fm.core.compiled.compile import compiled
from spark_fm.core.fm.scaling import FeatureScaling, scaled
from spark_fm.core.fm.table import Parameters
from spark_fm.core.fm.weights import ParameterInit
from spark_fm.core.solver.early_stopping import HeldOut
from spark_fm.core.solver.gibbs.random import mixed
from spark_fm.core.solver.in_memory import MemoryTrainer
from spark_fm.core.sparse.block import NO_FLAGS, Block

DoubleArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int32]
LongArray = npt.NDArray[np.int64]

EPOCHS = 3
MOST_ROWS = 1_000_000
HASHES = 2**32
ROWS_WATCHED = 100


def row_keys(block: Block, ids: LongArray) -> LongArray:
    """A hash of each row, its label, weight and features, whose ids are those of the positions: int64 (rows,) >= 0."""
    values = block.values if block.values.size else np.ones(block.nonzeros, np.float32)
    weight = block.weight if block.weight.size else np.ones(block.rows, np.float32)
    out = np.empty(block.rows, np.int64)
    _keys(
        block.indptr, ids[block.indices], values.astype(np.float64).view(np.int64),
        block.label.astype(np.float64).view(np.int64), weight.astype(np.float64).view(np.int64), out,
    )  # fmt: skip
    return out


@compiled
def _keys(
    indptr: IntArray, ids: LongArray, values: LongArray, labels: LongArray, weights: LongArray, out: LongArray
) -> None:
    for row in range(out.size):
        total = np.uint64(0)
        for at in range(indptr[row], indptr[row + 1]):
            total += mixed(mixed(np.uint64(ids[at])) ^ np.uint64(values[at]))
        total = mixed(mixed(total ^ np.uint64(labels[row])) ^ np.uint64(weights[row]))
        out[row] = np.int64(total >> np.uint64(1))


def starting_rows(block: Block, ids: LongArray, training_rows: int) -> Block:
    """The training rows that a start is made of, in the order of their keys: all up to a million of so many, else those
    with small keys.
    """
    keys = row_keys(block, ids)
    some = ~block.validation if block.validation.size else np.ones(block.rows, np.bool_)
    if training_rows > MOST_ROWS:
        some &= keys % HASHES < HASHES * (MOST_ROWS / training_rows)
    rows = np.flatnonzero(some)
    return replace(block.take(rows[np.argsort(keys[rows], kind="stable")]), validation=NO_FLAGS)


def watched_rows(block: Block, ids: LongArray) -> Block:
    """A hundred of the training rows, drawn by their weights, whatever their order: of several blocks, those of the
    blocks' hundreds.
    """
    keys = row_keys(block, ids)
    some = np.flatnonzero(~block.validation) if block.validation.size else np.arange(block.rows)
    # The first of exponential times, whose rates are the weights.
    times = -np.log((keys[some] % HASHES + 0.5) / HASHES)
    if block.weight.size:
        times /= block.weight[some]
    first = some[np.lexsort((keys[some], times))[:ROWS_WATCHED]]
    return replace(block.take(first), validation=NO_FLAGS)


def crossed(rows: Block, numbers: LongArray) -> Block:
    """Where there are two fields, rows that hardly any training row is: each has the features of two of the rows.

    A chain that is too sure fits every training row, wherever it is: that it is elsewhere than another one shows in
    rows that it has not seen. With more fields, of which one may be what another one has (a film's genres), such rows
    would be of another kind, so they stay as they are. ``numbers`` has each feature's field, int64 (m,).
    """
    if numbers.max(initial=-1) != 1:
        return rows
    at = (np.repeat(np.arange(rows.rows), np.diff(rows.indptr)) - numbers[rows.indices]) % max(rows.rows, 1)
    order = np.argsort(at, kind="stable")
    indptr = np.concatenate([[0], np.cumsum(np.bincount(at, minlength=rows.rows))]).astype(np.int32)
    values = rows.values[order] if rows.values.size else rows.values
    return replace(rows, indptr=indptr, indices=rows.indices[order], values=values)


def weights_of(rows: Block, features: int) -> DoubleArray:
    """How much the rows of each feature weigh together, in a block whose indices are positions of so many features."""
    each = np.repeat(rows.weight, np.diff(rows.indptr)) if rows.weight.size else None
    return np.bincount(rows.indices, each, minlength=features).astype(np.float64)


def started(
    rows: Block, ids: LongArray, init: ParameterInit, scaling: FeatureScaling, seed: int
) -> tuple[DoubleArray, float]:
    """Where a chain of that seed starts: theta, float64 (m, K + 1), and w0.

    Parameters
    ----------
    rows : as of :func:`starting_rows`, not scaled
    ids : int64 (m,), of the features at the rows' positions
    init : may have an earlier model, from which the chain starts then
    """
    settings = replace(init.settings, factor_size=init.settings.sampled_size, seed=seed)
    scale = init.scale
    if rows.weight.size:
        weight = rows.weight.astype(np.float64)
        usual = float(weight @ weight / weight.sum())
        scale = replace(scale, weight_mean=usual, usual_weight=usual, weighted=True)
    init = replace(init, settings=settings, scale=scale)
    counts = np.bincount(rows.indices, minlength=ids.size).astype(np.float64)
    state = init.at(ids, scaling, counts, weights_of(rows, ids.size))
    if init.model is None and settings.max_epochs > 0 and rows.rows:
        order = np.random.default_rng([seed, 0x0D0E]).permutation(rows.rows)
        block = scaled(rows.take(order), init.scale, scaling)
        few = replace(settings, max_epochs=EPOCHS, tol=-math.inf)
        trainer = MemoryTrainer(block, state, init, HeldOut())
        state = trainer.train(few, settings.prior(judged=False)).state
    return theta_of(state), float(state.intercept[0])


def theta_of(state: Parameters) -> DoubleArray:
    """Weights and factors side by side: float64 (m, K + 1)."""
    linear, factors = state.linear[:, None], state.factors[:, : state.factor_size]
    return np.concatenate([linear, factors], axis=1).astype(np.float64)
