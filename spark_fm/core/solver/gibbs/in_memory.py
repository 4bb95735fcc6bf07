"""Sampling in one process: a chain over one block in memory, and the mean of its samples."""

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from spark_fm.core.fm.measure import measure
from spark_fm.core.fm.scaling import FeatureCounts, FeatureScaling, evenness, scaled
from spark_fm.core.fm.settings import Settings
from spark_fm.core.fm.table import Parameters
from spark_fm.core.fm.weights import ParameterInit
from spark_fm.core.solver.early_stopping import HeldOut
from spark_fm.core.solver.gibbs.average import Average
from spark_fm.core.solver.gibbs.chain import Chain
from spark_fm.core.solver.gibbs.fields import DrawOrder, ranges_of_fields
from spark_fm.core.solver.in_memory import MemoryTrainer, in_random_order
from spark_fm.core.solver.plan import Epoch, Outcome
from spark_fm.core.sparse.block import NO_FLAGS, Block

LongArray = npt.NDArray[np.int64]
DoubleArray = npt.NDArray[np.float64]

EPOCHS_BEFORE = 3
BURN_IN = 3
COLUMNS_BETWEEN = 64
VALIDATES_EVERY = 10


def sample_in_memory(
    block: Block, init: ParameterInit, counted: FeatureCounts, field_numbers: LongArray | None = None
) -> Outcome[Parameters]:
    """The posterior mean of a Factorization Machine of the block's rows, as one of ``factor_size`` factors.

    A few epochs of AdaGrad (none from an earlier model) are where the chain starts from; its first samples are left out
    of the mean. Rows for validation are measured, and nothing else.

    Parameters
    ----------
    block : localised, its indices are positions of the features that are ``counted``
    field_numbers : int64 (m,), of each feature; None: found by :func:`ranges_of_fields`

    Raises
    ------
    ValueError
        When the rows have no fields.
    """
    settings = init.settings
    held = int(block.validation.sum())
    even = evenness(block.rows, block.nonzeros, float(np.sqrt(np.diff(block.indptr)).sum()))
    scaling = FeatureScaling.of(counted, block.rows - held, settings.centres, even)
    init = replace(init, scale=replace(init.scale, mean_squared_norm=scaling.squared_norm))
    whole = scaled(in_random_order(block, settings.seed), init.scale, scaling)
    flags = whole.validation if whole.validation.size else np.zeros(whole.rows, np.bool_)
    rows, others = np.flatnonzero(~flags), np.flatnonzero(flags).astype(np.int32)
    training = replace(whole.take(rows), validation=NO_FLAGS)
    numbers = ranges_of_fields(training, counted.ids) if field_numbers is None else field_numbers
    state = _begun(training, init, init.at(counted.ids, scaling, counted.counts))
    chain = Chain(
        training, counted.ids, DrawOrder.of(numbers, counted.ids), settings.seed,
        _theta(state), float(state.intercept[0]), settings.fit_intercept, settings.fit_linear,
    )  # fmt: skip
    average = Average(counted.counts, max(COLUMNS_BETWEEN, 4 * settings.factor_size))
    history = list[Epoch]()
    for sweep in range(1, settings.max_epochs + 1):
        loss = chain.sweep(sweep)
        if sweep > min(BURN_IN, settings.max_epochs - 1):
            average.add(chain.theta, chain.intercept)
        judged = math.nan
        if others.size and average.samples and (sweep % VALIDATES_EVERY == 0 or sweep == settings.max_epochs):
            mean = with_mean(state, average, settings)
            judged = measure(mean.table, float(mean.intercept[0]), whole, others, settings.loss).mean
        history.append(Epoch(sweep, loss, judged, {}))
    final = with_mean(state, average, settings) if average.samples else state
    return Outcome(final, len(history), history, "maxIter", 0, settings.prior(judged=False))


def _begun(training: Block, init: ParameterInit, state: Parameters) -> Parameters:
    """Where the chain starts: from an earlier model, or after a few epochs of AdaGrad."""
    settings = init.settings
    if init.model is not None or settings.max_epochs == 0:
        return state
    few = replace(settings, max_epochs=EPOCHS_BEFORE, tol=-math.inf)
    trainer = MemoryTrainer(training, state, init, HeldOut())
    return trainer.train(few, settings.prior(judged=False)).state


def _theta(state: Parameters) -> DoubleArray:
    linear, factors = state.linear[:, None], state.factors[:, : state.factor_size]
    return np.concatenate([linear, factors], axis=1).astype(np.float64)


def with_mean(state: Parameters, average: Average, settings: Settings) -> Parameters:
    """The mean of the samples so far, in the form of parameters."""
    linear, factors, intercept = average.result(settings.factor_size)
    made = replace(state, table=state.table.copy(), intercept=state.intercept.copy())
    made.linear[:] = linear
    made.factors[:, : settings.factor_size] = factors
    made.intercept[0] = intercept
    return made
