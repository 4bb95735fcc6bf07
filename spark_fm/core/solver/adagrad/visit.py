"""A visit of some rows of a block: in which order, and with which steps and penalties."""

import numpy as np
import numpy.typing as npt

from spark_fm.core.fm.constraints import Constraints
from spark_fm.core.fm.measure import Totals
from spark_fm.core.fm.settings import Settings
from spark_fm.core.solver.adagrad.step import Penalties, Steps, train_rows
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


def steps_of(settings: Settings, step_size: float) -> Steps:
    """The step sizes of the parts of the model that are fitted."""
    f = np.float32
    return Steps(f(step_size * settings.fit_intercept), f(step_size * settings.fit_linear), f(step_size))


def penalties_of(settings: Settings, plan: Plan) -> Penalties:
    """The penalties of a round."""
    f = np.float32
    return Penalties(
        linear=f(settings.reg_linear),
        factors=f(settings.reg_factors),
        prior=f(plan.prior),
        largest=f(settings.largest_penalty(plan.step_size)),
        prior_of_factors=f(settings.prior_of_factors),
    )


def train_pass(
    table: FloatArray,
    intercept: npt.NDArray[np.float64],
    block: Block,
    rows: IntArray,
    plan: Plan,
    settings: Settings,
    random: np.random.Generator,
    usual: float = np.inf,
    constraints: Constraints | None = None,
) -> Totals:
    """Train on some rows of a block in random order; changes ``table`` and ``intercept``."""
    order = shuffled(rows, random)
    if settings.mini_batch_fraction < 1.0:
        order = order[: max(1, round(settings.mini_batch_fraction * rows.size))]
    loss = train_rows(
        table, intercept, block.indptr, np.asarray(block.indices, np.int32),
        block.values.astype(np.float32, copy=False), block.label, block.weight, order,
        settings.loss.number, max(settings.factor_size, 1),
        steps_of(settings, plan.step_size), penalties_of(settings, plan),
        usual, constraints,
    )  # fmt: skip
    weight = float(block.weight[order].sum(dtype=np.float64)) if block.weight.size else order.size
    return Totals(loss, weight, order.size)
