"""Training in one process: whole runs over one block in memory."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from spark_fm.core.fm.constraints import Constraints
from spark_fm.core.fm.level import Level
from spark_fm.core.fm.measure import Totals, measure_typical
from spark_fm.core.fm.scaling import FeatureCounts, FeatureScaling, evenness, scaled
from spark_fm.core.fm.settings import Prior, Settings
from spark_fm.core.fm.table import Parameters, padded
from spark_fm.core.fm.weights import ParameterInit
from spark_fm.core.solver.adagrad.visit import train_pass
from spark_fm.core.solver.early_stopping import MOST_FOLDS, HeldOut, Rival, fit, with_state
from spark_fm.core.solver.loop import train
from spark_fm.core.solver.plan import Epoch, Outcome, Plan, Result
from spark_fm.core.sparse.block import Block

IntArray = npt.NDArray[np.int32]

# Non-zeros times factors, in all folds, up to which the prior's strength is searched for: one core takes some 0.1 s
# for an epoch of them, and a search has 40 to 170 epochs.
MOST_WORK_TO_SEARCH = 40_000_000
FOLDS_WITHOUT_SEARCH = 5
# A row is held out to judge if its sum of squared values is at most so many times a usual one's.
LONGEST_TO_JUDGE = 20.0


@dataclass(frozen=True)
class MemoryRunner:
    """Rounds over one scaled block in memory: a round is an epoch, and there is nothing to merge."""

    block: Block
    training: IntArray
    validation: IntArray
    settings: Settings
    usual: float = np.inf
    constraints: Constraints | None = None
    rounds_per_epoch: int = 1
    merges: bool = False

    def run(self, state: Parameters, plan: Plan) -> Result[Parameters]:
        """One epoch over the training rows."""
        loss, metric, w0 = self.settings.loss, self.settings.validation_metric, float(state.intercept[0])
        start = measure_typical(state.table, w0, self.block, self.training, loss)
        validation = metric.totals(metric.measure(state.table, w0, self.block, self.validation, loss))
        if not plan.train:
            return Result(state, start, Totals(), validation, finite=True)
        random = np.random.default_rng([self.settings.seed, plan.number])
        after = replace(state, table=state.table.copy(), intercept=state.intercept.copy())
        visited = train_pass(
            after.table, after.intercept, self.block, self.training, plan, self.settings, random, self.usual,
            self.constraints,
        )  # fmt: skip
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


def in_random_order(block: Block, seed: int) -> Block:
    """The rows in another, seeded order."""
    return block.take(np.random.default_rng([seed, 0x0D0E]).permutation(block.rows))


@dataclass(frozen=True)
class MemoryTrainer:
    """Trains on a scaled block (a :class:`spark_fm.core.solver.early_stopping.Trainer`).

    Its rows must be in a random order: the first ones are held out.
    """

    block: Block
    state: Parameters
    init: ParameterInit
    held: HeldOut
    constraints: Constraints | None = None

    def train(
        self,
        settings: Settings,
        prior: Prior,
        report: Callable[[Epoch], None] = lambda epoch: None,
        rival: Rival | None = None,
    ) -> Outcome[Parameters]:
        """All epochs; with several folds these train side by side, and the first one's parameters are returned."""
        if self.held.folds > 1:
            folds = FoldsRunner([self._runner(settings, fold) for fold in range(self.held.folds)])
            begin = [self.state] * self.held.folds
            outcome = train(
                folds, begin, settings, report,
                prior=prior, constant=self.init.constant_loss, rival=rival,
            )  # fmt: skip
            return with_state(outcome, outcome.state[0])
        runner = self._runner(settings, 0)
        return train(
            runner, self.state, settings, report,
            prior=prior, constant=self.init.constant_loss, rival=rival,
        )  # fmt: skip

    def _runner(self, settings: Settings, fold: int) -> MemoryRunner:
        rows = np.arange(self.block.rows, dtype=np.int32)
        if self.block.validation.any():
            training, validation = rows[~self.block.validation], rows[self.block.validation]
        else:
            held = slice(fold * self.held.rows, (fold + 1) * self.held.rows)
            training, validation = np.delete(rows, held), rows[held][self._can_judge[held]]
        usual = self.init.scale.mean_squared_norm
        return MemoryRunner(self.block, training, validation, settings, usual, self.constraints)

    @cached_property
    def _can_judge(self) -> npt.NDArray[np.bool_]:
        """Which rows may be held out to judge: bool (rows,). The loss of a row many times as long as a usual one would
        decide alone.
        """
        lengths = np.diff(self.block.indptr)
        values = (
            self.block.values.astype(np.float64) if self.block.values.size else np.ones(self.block.nonzeros)
        )
        squares = np.bincount(np.repeat(np.arange(self.block.rows), lengths), values**2, self.block.rows)
        return np.asarray(squares <= LONGEST_TO_JUDGE * self.init.scale.mean_squared_norm)

    def level(self, state: Parameters) -> Level:
        """Of all rows but the user's validation rows."""
        rows = np.arange(self.block.rows, dtype=np.int32)
        if self.block.validation.size:
            rows = rows[~self.block.validation]
        return Level.of(state.table, float(state.intercept[0]), self.block, rows, self.init.settings.loss)


def fit_in_memory(
    block: Block,
    init: ParameterInit,
    counted: FeatureCounts,
    validation_fraction: float,
) -> Outcome[Parameters]:
    """Train on all rows of a localised block.

    With validation rows in the block, these decide when to stop. Without, ``validation_fraction`` of the rows,
    held out once or several times, decides how many epochs to train. ``counted`` are the features in the order of the
    block's positions.
    """
    settings = init.settings
    validation = int(block.validation.sum())
    even = evenness(block.rows, block.nonzeros, float(np.sqrt(np.diff(block.indptr)).sum()))
    scaling = FeatureScaling.of(counted, block.training_weight, settings.centres, even)
    init = replace(init, scale=replace(init.scale, mean_squared_norm=scaling.squared_norm))
    block = scaled(in_random_order(block, settings.seed), init.scale, scaling)
    state = init.at(counted.ids, scaling, counted.counts, counted.weights)
    constraints = init.constraints(counted.ids, counted.counts)
    work = block.nonzeros * padded(settings.factor_size)
    # Rows that a model to start from was trained on can't judge how strong the prior should be.
    searches = work <= MOST_WORK_TO_SEARCH and init.model is None
    held = HeldOut()
    if not validation:
        # A search by one fold is better than none by more.
        fewest = 1 if searches and settings.adapt_prior else FOLDS_WITHOUT_SEARCH
        most_folds = min(max(MOST_WORK_TO_SEARCH // max(work, 1), fewest), MOST_FOLDS)
        held = HeldOut.of(block.rows, validation_fraction, most_folds, init.scale.effective)
    return fit(
        lambda held: nullcontext(MemoryTrainer(block, state, init, held, constraints)),
        held, settings, validation > 0, searches=searches,
    )  # fmt: skip
