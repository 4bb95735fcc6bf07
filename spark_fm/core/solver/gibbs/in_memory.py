"""Sampling in one process: a chain over one block in memory, and the mean of its samples."""

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from spark_fm.core.fm.scaling import FeatureCounts, FeatureScaling, evenness, scaled
from spark_fm.core.fm.settings import Settings
from spark_fm.core.fm.weights import ParameterInit
from spark_fm.core.solver.gibbs.chain import Chain
from spark_fm.core.solver.gibbs.fields import (
    LARGEST_REPEATED_FIELD,
    NEGLIGIBLE,
    DrawOrder,
    classes_of,
    incomplete_fields,
    known_fields,
    met_before,
    met_together,
    places_of,
    ranks_without_field,
    with_found,
)
from spark_fm.core.solver.gibbs.judge import Judge
from spark_fm.core.solver.gibbs.predict import predict
from spark_fm.core.solver.gibbs.samples import Collector, Samples
from spark_fm.core.solver.gibbs.start import crossed, started, starting_rows, watched_rows
from spark_fm.core.solver.gibbs.state import ChainState
from spark_fm.core.solver.in_memory import in_random_order
from spark_fm.core.sparse.block import NO_FLAGS, Block

BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int32]
LongArray = npt.NDArray[np.int64]

BURN_IN = 3
COLUMNS_BETWEEN = 64


def columns_between(settings: Settings) -> int:
    """How many columns the mean has while it is summed up."""
    return max(COLUMNS_BETWEEN, 4 * settings.factor_size)


def chain_seed(seed: int, chain: int) -> int:
    """The seed of a chain, in [0, 2^63); the first has the fit's own."""
    return (
        seed
        if chain == 0
        else int(np.random.SeedSequence([seed, chain]).generate_state(1, np.uint64)[0]) >> 1
    )


def sample_in_memory(
    block: Block, init: ParameterInit, counted: FeatureCounts, chain: int, chains: int
) -> Samples:
    """Samples of Factorization Machines of the block's rows, their mean in twice ``factor_size`` factors.

    A few epochs of AdaGrad (none from an earlier model) are where the chain starts from; its first samples are left out
    of the mean. Rows for validation are measured, and nothing else.

    Parameters
    ----------
    block : localised, its indices are positions of the features that are ``counted``
    chain, chains : which of how many

    Raises
    ------
    ValueError
        When the rows have no fields.
    """
    settings = init.settings
    held = int(block.validation.sum())
    even = evenness(block.rows, block.nonzeros, float(np.sqrt(np.diff(block.indptr)).sum()))
    scaling = FeatureScaling.of(counted, block.training_weight, settings.centres, even)
    weights = counted.weights / init.scale.weight_mean
    init = replace(init, scale=replace(init.scale, mean_squared_norm=scaling.squared_norm))
    whole = scaled(in_random_order(block, settings.seed), init.scale, scaling)
    flags = whole.validation if whole.validation.size else np.zeros(whole.rows, np.bool_)
    training = replace(whole.take(np.flatnonzero(~flags)), validation=NO_FLAGS)
    numbers = fields_of(training, counted.ids, settings)
    lacking, repeated = incomplete_fields(training, numbers)
    seed = chain_seed(settings.seed, chain)
    rows = starting_rows(block, counted.ids, block.rows - held)
    theta, intercept = started(rows, counted.ids, init, scaling, seed)
    state = ChainState(
        counted.ids, draw_order(training, numbers, repeated, counted.ids), seed, theta, intercept,
        settings.fit_intercept, settings.fit_linear, known=weights > NEGLIGIBLE,
    )  # fmt: skip
    sampled = Chain(training, state)
    others = whole.take(np.flatnonzero(flags))
    judge = Judge(others.label, others.weight, settings)
    some = scaled(crossed(watched_rows(block, counted.ids), numbers), init.scale, scaling)
    keep = len(range(chain, settings.samples_kept, chains))
    collector = Collector(weights, columns_between(settings), settings.max_epochs, BURN_IN, keep)
    begun = theta.copy(), intercept
    for sweep in range(1, settings.max_epochs + 1):
        loss = sampled.sweep(sweep)
        predicted = predict(some, state.theta, state.intercept).astype(np.float32)
        counts = collector.add(sweep, loss, state.theta, state.intercept, state.noise, predicted)
        if others.rows:
            judged = judge.sees(predict(others, state.theta, state.intercept)) if counts else math.nan
            collector.validation.append(judged)
    return collector.result(
        begun, 2 * settings.factor_size if chains > 1 else settings.factor_size, numbers,
        lacking < NEGLIGIBLE,
    )  # fmt: skip


def draw_order(block: Block, numbers: LongArray, repeated: BoolArray, ids: LongArray) -> DrawOrder:
    """The order in which rounds draw, too: of fields that a row has several features of, class by class."""
    order, members = DrawOrder.of(numbers, ids), list[IntArray]()
    for one in order.members:
        if repeated[numbers[one[0]]] and one.size <= LARGEST_REPEATED_FIELD:
            met = met_together(block, places_of(one, ids.size)).reshape(one.size, one.size)
            members.append(np.concatenate(classes_of(one, met)))
        else:
            members.append(one)
    return replace(order, members=members)


def fields_of(block: Block, ids: LongArray, settings: Settings) -> LongArray:
    """The number of each feature's field, int64 (m,): those that are known, and found ones for all other features."""
    numbers = known_fields(ids, settings.fields)
    if (numbers >= 0).all():
        return numbers
    ranks = ranks_without_field(numbers, ids)
    return with_found(numbers, ranks, met_before(block, ranks))
