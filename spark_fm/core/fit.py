"""A whole training run over one block in memory."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from spark_fm.core.block import Block
from spark_fm.core.local import FoldsRunner, MemoryRunner, scaled
from spark_fm.core.parameters import Parameters
from spark_fm.core.settings import Settings
from spark_fm.core.training import Epoch, Outcome, train
from spark_fm.core.weights import Start

ENOUGH_VALIDATION_ROWS = 8000
ENOUGH_HELD_OUT = 10_000
LEAST_HELD_OUT = 0.01
REFIT_ABOVE = 0.02
FEWEST_ROWS_TO_HOLD_OUT_FROM = 20
MOST_FOLDS = 5

IntArray = npt.NDArray[np.int32]


def held_out_fraction(rows: int, fraction: float) -> float:
    """Part of so many rows to hold out when ``fraction`` was asked for: less on large data.

    Only where it is more than 2 % is the model trained again on all rows.
    """
    return min(fraction, max(ENOUGH_HELD_OUT / rows, LEAST_HELD_OUT)) if fraction > 0.0 else 0.0


def folds_of(rows: int, fraction: float) -> int:
    """How many times to hold out ``fraction`` of the rows: once when that is enough to judge by, up to five
    times on small data; 0 when there are too few rows to hold any out.
    """
    if fraction <= 0.0 or rows < FEWEST_ROWS_TO_HOLD_OUT_FROM:
        return 0
    wanted = -(-ENOUGH_VALIDATION_ROWS // max(1, int(rows * fraction)))
    return max(1, min(wanted, MOST_FOLDS, int(1.0 / fraction)))


def in_random_order(block: Block, seed: int) -> Block:
    """The rows in another, seeded order."""
    return block.take(np.random.default_rng([seed, 0x0D0E]).permutation(block.rows))


def fit_in_memory(
    block: Block,
    start: Start,
    inverse_scale: npt.NDArray[np.float32] | None,
    validation_fraction: float,
    counts: npt.NDArray[np.float64] | None = None,
) -> Outcome[Parameters]:
    """Train on all rows of a localised block.

    With validation rows in the block, these decide when to stop. Without, ``validation_fraction`` of the rows,
    held out once or several times, decides how many epochs to train, and the model is then trained that
    long on all rows, unless almost all were. ``block.features`` must be the whole dictionary; ``counts`` as
    in :meth:`Start.at`.
    """
    settings = start.settings
    block = scaled(in_random_order(block, settings.seed), start.scale, inverse_scale)
    everything = np.arange(block.rows, dtype=np.int32)
    none = np.empty(0, np.int32)
    state = start.at(block.features, inverse_scale, counts)
    if block.validation.size:
        runner = MemoryRunner(block, everything[~block.validation], everything[block.validation], settings)
        return train(runner, state, settings, prior=settings.prior(judged=True))
    whole = MemoryRunner(block, everything, none, settings)
    fraction = held_out_fraction(block.rows, validation_fraction)
    folds = folds_of(block.rows, fraction)
    if not folds:
        return train(whole, state, settings, prior=settings.prior(judged=False))
    chosen = choose_epochs(block, state, settings, fraction, folds)
    if folds == 1 and fraction <= REFIT_ABOVE:
        return _outcome(chosen.state[0], chosen, chosen.rollbacks)
    return refit(whole, state, settings, chosen)


def choose_epochs(
    block: Block, state: Parameters, settings: Settings, fraction: float, folds: int
) -> Outcome[list[Parameters]]:
    """Train with some rows held out, ``folds`` times side by side, to find the best number of epochs.

    The rows must be in a random order.
    """
    rows = np.arange(block.rows, dtype=np.int32)
    size = max(1, int(block.rows * fraction))
    runners = []
    for fold in range(folds):
        held = rows[fold * size : (fold + 1) * size]
        rest = np.concatenate([rows[: fold * size], rows[(fold + 1) * size :]])
        runners.append(MemoryRunner(block, rest, held, settings))
    return train(FoldsRunner(runners), [state] * folds, settings, prior=settings.prior(judged=True))


def refit(
    runner: MemoryRunner,
    state: Parameters,
    settings: Settings,
    chosen: Outcome[list[Parameters]],
) -> Outcome[Parameters]:
    """Train for the chosen number of epochs, with the chosen priors; the history stays that of the choice."""
    limited = replace(settings, max_epochs=chosen.best_epoch, tol=-np.inf)
    final = train(runner, state, limited, prior=chosen.prior)
    return _outcome(final.state, chosen, chosen.rollbacks + final.rollbacks)


def _outcome(state: Parameters, chosen: Outcome[list[Parameters]], rollbacks: int) -> Outcome[Parameters]:
    """Parameters with the story of the choice."""
    history: list[Epoch] = chosen.history
    return Outcome(state, chosen.best_epoch, history, chosen.stop_reason, rollbacks, chosen.prior)
