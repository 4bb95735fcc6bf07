"""A visit of some rows of a block: in which order, and with which steps and penalties."""

import numpy as np
import numpy.typing as npt

from spark_fm.core.fm.measure import Totals
from spark_fm.core.fm.settings import Settings
from spark_fm.core.solver.adagrad.step import train_rows
from spark_fm.core.solver.plan import Plan
from spark_fm.core.sparse.block import Block

ROWS_A_WINDOW = 8192
IntArray = npt.NDArray[np.int32]
FloatArray = npt.NDArray[np.float32]


def shuffled(rows: IntArray, random: np.random.Generator) -> IntArray:
    """Rows in a random order in which rows near each other stay near each other.

    Windows of 8192 rows follow each other at random, and so do the rows within each: what rows are made of is then
    found in the processor's caches. It is for rows that lie in a random order already.
    """
    windows = [rows[first : first + ROWS_A_WINDOW] for first in range(0, rows.size, ROWS_A_WINDOW)]
    if len(windows) < 2:
        return random.permutation(rows)
    return np.concatenate([random.permutation(windows[w]) for w in random.permutation(len(windows))])


def train_pass(
    table: FloatArray,
    intercept: npt.NDArray[np.float64],
    block: Block,
    rows: IntArray,
    plan: Plan,
    settings: Settings,
    random: np.random.Generator,
    usual: float = np.inf,
) -> Totals:
    """Train on some rows of a block in random order; changes ``table`` and ``intercept``."""
    order = shuffled(rows, random)
    if settings.mini_batch_fraction < 1.0:
        order = order[: max(1, round(settings.mini_batch_fraction * rows.size))]
    step = plan.step_size
    loss = train_rows(
        table, intercept, block.indptr, np.asarray(block.indices, np.int32),
        block.values.astype(np.float32, copy=False), block.label, block.weight, order,
        int(settings.loss), max(settings.factor_size, 1),
        np.array([step * settings.fit_intercept, step * settings.fit_linear, step], np.float32),
        np.array(
            [
                settings.reg_linear, settings.reg_factors, plan.prior, settings.largest_penalty(step),
                settings.prior_of_factors,
            ],
            np.float32,
        ),
        usual,
    )  # fmt: skip
    weight = float(block.weight[order].sum(dtype=np.float64)) if block.weight.size else order.size
    return Totals(loss, weight, order.size)
