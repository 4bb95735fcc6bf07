"""Training in one process: a partition's share of a round, and whole runs over a block in memory."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from spark_fm.core.fm.losses import Loss, loss_sum
from spark_fm.core.fm.scaling import FeatureScaling
from spark_fm.core.fm.score import score_rows
from spark_fm.core.fm.settings import Scale, Settings
from spark_fm.core.fm.table import Parameters
from spark_fm.core.solver.adagrad.step import train_rows
from spark_fm.core.solver.loop import Plan, Result, Totals
from spark_fm.core.sparse.block import Block

START_SAMPLE = 4096
GROUPS = 8
FEWEST_ROWS_FOR_GROUPS = 64
ROWS_A_WINDOW = 8192
IntArray = npt.NDArray[np.int32]
FloatArray = npt.NDArray[np.float32]


def scaled(block: Block, scale: Scale, scaling: FeatureScaling | None = None) -> Block:
    """The block in the units of training: labels, weights and, where a scaling is given, values."""
    label = (block.label - scale.label_mean) / scale.label_deviation
    weight = block.weight
    if weight.size or scale.weighted:
        weight = weight if weight.size else np.ones(block.rows, np.float32)
        weight = (weight / np.float32(scale.weight_mean)).astype(np.float32)
    block = replace(block, label=label, weight=weight)
    return block if scaling is None else scaling.apply(block)


def measure(table: FloatArray, intercept: float, block: Block, rows: IntArray, loss: Loss) -> Totals:
    """The loss of given parameters on some rows of a block."""
    z = np.empty(rows.size)
    indices = np.asarray(block.indices, np.int32)
    score_rows(table, intercept, block.indptr, indices, block.values, rows, z)
    weight = block.weight[rows] if block.weight.size else block.weight
    total = loss_sum(int(loss), z, block.label[rows], weight)
    return Totals(total, float(weight.sum(dtype=np.float64)) if weight.size else rows.size, rows.size)


def measure_typical(table: FloatArray, intercept: float, block: Block, rows: IntArray, loss: Loss) -> Totals:
    """The loss on a sample of rows as the guard wants it: the median of the means of eight groups.

    One row with very many non-zeros moves with all others, and its loss may be that of all others together: it is no
    sign that training diverges.
    """
    rows = rows[:START_SAMPLE]
    if rows.size < FEWEST_ROWS_FOR_GROUPS:
        return measure(table, intercept, block, rows, loss)
    groups = [measure(table, intercept, block, rows[group::GROUPS], loss) for group in range(GROUPS)]
    weight = sum(group.weight for group in groups)
    typical = float(np.median([group.mean for group in groups if group.weight > 0.0]))
    return Totals(typical * weight, weight, rows.size)


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


@dataclass(frozen=True)
class MemoryRunner:
    """Rounds over one scaled block in memory: a round is an epoch, and there is nothing to merge."""

    block: Block
    training: IntArray
    validation: IntArray
    settings: Settings
    usual: float = np.inf
    rounds_per_epoch: int = 1
    merges: bool = False

    def run(self, state: Parameters, plan: Plan) -> Result[Parameters]:
        """One epoch over the training rows."""
        loss, w0 = self.settings.loss, float(state.intercept[0])
        start = measure_typical(state.table, w0, self.block, self.training, loss)
        validation = measure(state.table, w0, self.block, self.validation, loss)
        if not plan.train:
            return Result(state, start, Totals(), validation, finite=True)
        random = np.random.default_rng([self.settings.seed, plan.number])
        after = replace(state, table=state.table.copy(), intercept=state.intercept.copy())
        visited = train_pass(
            after.table, after.intercept, self.block, self.training, plan, self.settings, random, self.usual
        )
        return Result(after, start, visited, validation, after.is_finite())


@dataclass(frozen=True)
class FoldsRunner:
    """Several memory runs side by side, each with other validation rows: their losses add up."""

    folds: list[MemoryRunner]
    rounds_per_epoch: int = 1
    merges: bool = False

    def run(self, state: list[Parameters], plan: Plan) -> Result[list[Parameters]]:
        """One epoch of each fold."""
        results = [fold.run(one, plan) for fold, one in zip(self.folds, state, strict=True)]
        return Result(
            [r.state for r in results],
            sum((r.start for r in results), Totals()),
            sum((r.train for r in results), Totals()),
            sum((r.validation for r in results), Totals()),
            all(r.finite for r in results),
        )
