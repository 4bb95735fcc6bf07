"""A whole training run over one block in memory, and what both ways to train decide alike."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from spark_fm.core.fm import level
from spark_fm.core.fm.level import Level
from spark_fm.core.fm.scaling import FeatureCounts, FeatureScaling, evenness
from spark_fm.core.fm.settings import Prior, Settings
from spark_fm.core.fm.table import Parameters
from spark_fm.core.fm.weights import Start
from spark_fm.core.solver.in_memory import FoldsRunner, MemoryRunner, scaled
from spark_fm.core.solver.loop import Outcome, State, train
from spark_fm.core.sparse.block import Block

ENOUGH_VALIDATION_ROWS = 8000
ENOUGH_HELD_OUT = 10_000
LEAST_HELD_OUT = 0.01
REFIT_ABOVE = 0.02
FEWEST_ROWS_TO_HOLD_OUT_FROM = 20
MOST_FOLDS = 5
LITTLE_GAIN = 0.02
STRONGER = (1.0, 3.0)


def held_out_rows(rows: int, fraction: float) -> int:
    """How many of so many rows to hold out when ``fraction`` was asked for: less on large data.

    Only where they are more than 2 % is the model trained again on all rows. None of fewer than 20 rows.
    """
    if rows < FEWEST_ROWS_TO_HOLD_OUT_FROM or fraction <= 0.0:
        return 0
    return max(1, round(rows * min(fraction, max(ENOUGH_HELD_OUT / rows, LEAST_HELD_OUT))))


def folds_of(rows: int, held_out: int) -> int:
    """How many times to hold out so many of the rows: once when that is enough to judge by, up to five
    times on small data; 0 when none are held out.
    """
    if not held_out:
        return 0
    return max(1, min(-(-ENOUGH_VALIDATION_ROWS // held_out), MOST_FOLDS, rows // held_out))


def in_random_order(block: Block, seed: int) -> Block:
    """The rows in another, seeded order."""
    return block.take(np.random.default_rng([seed, 0x0D0E]).permutation(block.rows))


def judged(run: Callable[[Prior], Outcome[State]], settings: Settings) -> Outcome[State]:
    """Training in which validation rows decide when to stop and, where it adapts, how strong the prior is.

    Where that gains next to nothing on the parameters to begin with, features may be too rare for a prior that begins
    weak: training from the start with stronger ones is tried too, and the best of all is kept.
    """
    best = run(settings.prior(judged=True))
    if not settings.adapt_prior or settings.max_epochs == 0:
        return best
    for stronger in STRONGER:
        if not best.loss > best.first_loss * (1.0 - LITTLE_GAIN):
            return best
        other = run(Prior(stronger * settings.reg_prior, stronger * settings.reg_prior))
        if other.loss < best.loss:
            best = replace(other, rollbacks=best.rollbacks + other.rollbacks)
    return best


def fit_in_memory(
    block: Block,
    start: Start,
    counted: FeatureCounts,
    validation_fraction: float,
) -> Outcome[Parameters]:
    """Train on all rows of a localised block.

    With validation rows in the block, these decide when to stop. Without, ``validation_fraction`` of the rows,
    held out once or several times, decides how many epochs to train, and the model is then trained that
    long on all rows, unless almost all were. ``counted`` are the features in the order of the block's positions.
    """
    settings = start.settings
    validation = int(block.validation.sum())
    even = evenness(block.rows, block.nonzeros, float(np.sqrt(np.diff(block.indptr)).sum()))
    scaling = FeatureScaling.of(counted, block.rows - validation, settings.centres, even)
    start = replace(start, scale=replace(start.scale, active=scaling.energy))
    block = scaled(in_random_order(block, settings.seed), start.scale, scaling)
    everything = np.arange(block.rows, dtype=np.int32)
    state = start.at(counted.ids, scaling, counted.counts)
    if validation:
        training = everything[~block.validation]
        runner = MemoryRunner(block, training, everything[block.validation], settings, scaling.energy)
        outcome = judged(
            lambda prior: train(runner, state, settings, prior=prior, constant=start.constant_loss), settings
        )
    else:
        training = everything
        outcome = _fit_without_validation_rows(block, start, state, validation_fraction)

    def measured(state: Parameters) -> Level:
        return Level.of(state.table, float(state.intercept[0]), block, training, settings.loss)

    return levelled(outcome, measured, settings)


def _fit_without_validation_rows(
    block: Block, start: Start, state: Parameters, fraction: float
) -> Outcome[Parameters]:
    settings, usual, constant = start.settings, start.scale.active, start.constant_loss
    whole = MemoryRunner(block, np.arange(block.rows, dtype=np.int32), np.empty(0, np.int32), settings, usual)
    size = held_out_rows(block.rows, fraction)
    folds = folds_of(block.rows, size)
    if not folds:
        return train(whole, state, settings, prior=settings.prior(judged=False), constant=constant)
    chosen = choose_epochs(block, state, settings, size, folds, usual, constant)
    if folds == 1 and size <= REFIT_ABOVE * block.rows:
        return with_state(chosen, chosen.state[0])
    final = train(whole, state, refit_settings(settings, chosen), prior=chosen.prior, constant=constant)
    return refitted(chosen, final)


def choose_epochs(
    block: Block,
    state: Parameters,
    settings: Settings,
    size: int,
    folds: int,
    usual: float = np.inf,
    constant: float = 0.0,
) -> Outcome[list[Parameters]]:
    """Train with ``size`` rows held out, ``folds`` times side by side, to find the best number of epochs.

    The rows must be in a random order.
    """
    rows = np.arange(block.rows, dtype=np.int32)
    runners = []
    for fold in range(folds):
        held = rows[fold * size : (fold + 1) * size]
        rest = np.concatenate([rows[: fold * size], rows[(fold + 1) * size :]])
        runners.append(MemoryRunner(block, rest, held, settings, usual))
    runner = FoldsRunner(runners)
    return judged(
        lambda prior: train(runner, [state] * folds, settings, prior=prior, constant=constant), settings
    )


def refit_settings(settings: Settings, chosen: Outcome[State]) -> Settings:
    """Train for the chosen number of epochs, whatever the loss says."""
    return replace(settings, max_epochs=chosen.best_epoch, tol=-math.inf)


def with_state(outcome: Outcome[State], state: Parameters) -> Outcome[Parameters]:
    """Other parameters with the story of an outcome."""
    return Outcome(
        state, outcome.best_epoch, outcome.history, outcome.stop_reason, outcome.rollbacks,
        outcome.prior, outcome.loss, outcome.first_loss,
    )  # fmt: skip


def refitted(chosen: Outcome[State], final: Outcome[Parameters]) -> Outcome[Parameters]:
    """The parameters of training again on all rows, with the history of the choice.

    A refit that diverged says so: its parameters are the last good ones.
    """
    reason = "diverged" if final.stop_reason == "diverged" else chosen.stop_reason
    return replace(
        with_state(chosen, final.state),
        stop_reason=reason,
        rollbacks=chosen.rollbacks + final.rollbacks,
    )


def levelled(
    outcome: Outcome[Parameters], measured: Callable[[Parameters], Level], settings: Settings
) -> Outcome[Parameters]:
    """The outcome with the intercept that is best for the rows that are ``measured``, all else being as it is."""
    if not settings.fit_intercept or settings.max_epochs == 0:
        return outcome
    state = outcome.state
    intercept = level.levelled(
        state.intercept, lambda trial: measured(replace(state, intercept=trial)), settings.loss
    )
    return replace(outcome, state=replace(state, intercept=intercept))
