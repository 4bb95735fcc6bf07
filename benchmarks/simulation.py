"""Training over many partitions in one process: the package's kernel, merge and training loop without Spark.

Partitions take turns on one table, so hundreds of them need no more memory than one.
"""

from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt

from benchmarks.data import Rows
from benchmarks.sets import DataSet
from spark_fm.core.fm.losses import LOGISTIC, SQUARED
from spark_fm.core.fm.measure import Totals, measure, measure_typical
from spark_fm.core.fm.scaling import FeatureCounts, FeatureScaling, scaled
from spark_fm.core.fm.settings import Scale, Settings
from spark_fm.core.fm.table import Parameters, layout_of
from spark_fm.core.fm.weights import ParameterInit
from spark_fm.core.solver.adagrad.merge import (
    Coupling,
    add_rows,
    apply_centre,
    apply_intercept_merge,
    apply_merge,
    contributions,
    intercept_contributions,
    sums_width,
)
from spark_fm.core.solver.adagrad.visit import train_pass
from spark_fm.core.solver.in_memory import fit_in_memory
from spark_fm.core.solver.loop import train
from spark_fm.core.solver.plan import Plan, Result
from spark_fm.core.sparse.block import NO_FEATURES, NO_FLAGS, NO_FLOATS, Block
from spark_fm.engine.training.adagrad import WARM_UP_ROWS
from spark_fm.engine.training.parallelism import decide_rounds

Rule = Literal["this merge", "plain mean", "count-weighted mean"]
VALIDATION_FRACTION = 0.1
DoubleArray = npt.NDArray[np.float64]


def everything(block: Block) -> npt.NDArray[np.int32]:
    """All rows of a block."""
    return np.arange(block.rows, dtype=np.int32)


def block_of(rows: Rows, features: npt.NDArray[np.int64], rank: npt.NDArray[np.int32]) -> Block:
    """All rows as one block; ``rank`` has the positions of ``features`` (ascending); others are left out."""
    positions = np.minimum(np.searchsorted(features, rows.ids), features.size - 1)
    known = features[positions] == rows.ids
    indptr = np.concatenate([[0], np.cumsum(known)])[rows.indptr].astype(np.int32)
    return Block(indptr, rank[positions[known]], NO_FLOATS, rows.label, NO_FLOATS, NO_FLAGS, NO_FEATURES)


@dataclass
class Simulation:
    """Rounds over chunks in turn (a :class:`spark_fm.core.solver.loop.Runner`), merged by a rule."""

    chunks: list[Block]
    test: Block
    settings: Settings
    partitions: int
    rounds_per_epoch: int
    mean_squared_norm: float
    rule: Rule
    merges: bool = field(init=False)
    weighted: bool = field(init=False)

    def __post_init__(self) -> None:
        self.merges = self.partitions > 1
        self.weighted = any(chunk.weight.size for chunk in self.chunks)

    def warm_up(self, state: Parameters, plan: Plan) -> Parameters:
        """The parameters after the first rows of one partition."""
        after = replace(state, table=state.table.copy(), intercept=state.intercept.copy())
        rows = everything(self.chunks[0])[:WARM_UP_ROWS]
        train_pass(
            after.table,
            after.intercept,
            self.chunks[0],
            rows,
            plan,
            self.settings,
            np.random.default_rng(1),
            self.mean_squared_norm,
        )
        return after

    def run(self, state: Parameters, plan: Plan) -> Result[Parameters]:
        """One round of each partition, and the merge."""
        w0, loss = float(state.intercept[0]), self.settings.loss
        start, validation, visited = Totals(), Totals(), Totals()
        chunks = self.chunks[plan.part :: self.rounds_per_epoch]
        for chunk in chunks:
            start += measure_typical(state.table, w0, chunk, everything(chunk), loss)
        if plan.begins:
            validation = measure(state.table, w0, self.test, everything(self.test), loss)
        if not plan.train:
            return Result(state, start, Totals(), validation, finite=True)
        merge = _Merge(self, state, plan) if self.rule == "this merge" else _Mean(self, state)
        table = state.table.copy()
        for number, chunk in enumerate(chunks):
            intercept = state.intercept.copy()
            random = np.random.default_rng([self.settings.seed, plan.number, number])
            visited += train_pass(
                table,
                intercept,
                chunk,
                everything(chunk),
                plan,
                self.settings,
                random,
                self.mean_squared_norm,
            )
            if self.partitions == 1:
                after = replace(state, table=table, intercept=intercept)
                return Result(after, start, visited, validation, after.is_finite())
            changed = merge.add(table, intercept, chunk)
            table[changed] = state.table[changed]
        after = merge.merged()
        return Result(after, start, visited, validation, after.is_finite())


class _Merge:
    """The package's rule."""

    def __init__(self, simulation: Simulation, state: Parameters, plan: Plan) -> None:
        settings = simulation.settings
        self.state, self.coupling = (
            state,
            Coupling.of(
                plan.step_size,
                simulation.mean_squared_norm,
                settings.factor_size,
                plan.scale,
                plan.epochs,
                plan.damping,
            ),
        )
        width, self.weighted = layout_of(state.table).factors, simulation.weighted
        self.sums = np.zeros((state.table.shape[0], sums_width(width, self.weighted)))
        self.centre, self.intercept = np.zeros(width + 3), np.zeros(3)

    def add(
        self, table: npt.NDArray[np.float32], intercept: DoubleArray, chunk: Block
    ) -> npt.NDArray[np.int32]:
        """Add a partition's updates; returns the rows that it has changed."""
        changed, packed, centre = contributions(self.state.table, table, self.coupling, self.weighted)
        add_rows(self.sums, changed, packed)
        self.centre += centre
        self.intercept += intercept_contributions(
            self.state.intercept, intercept, self.coupling, self.weighted
        )
        return changed

    def merged(self) -> Parameters:
        """The new parameters."""
        table = self.state.table.copy()
        moved = apply_merge(table, self.sums, self.coupling)
        apply_centre(self.state.table, table, self.centre, moved)
        intercept = apply_intercept_merge(self.state.intercept, self.intercept, self.coupling)
        return replace(self.state, table=table, intercept=intercept)


class _Mean:
    """The mean of the partitions' parameters and accumulators: plain, or weighted by how often each met a feature."""

    def __init__(self, simulation: Simulation, state: Parameters) -> None:
        self.state, self.partitions = state, simulation.partitions
        self.counted = simulation.rule == "count-weighted mean"
        self.changes, self.counts = np.zeros(state.table.shape), np.zeros(state.table.shape[0])
        self.intercept = np.zeros(3)

    def add(
        self, table: npt.NDArray[np.float32], intercept: DoubleArray, chunk: Block
    ) -> npt.NDArray[np.int32]:
        """Add a partition's changes; returns the rows that it has changed."""
        met, times = np.unique(chunk.indices, return_counts=True)
        change = table[met] - self.state.table[met]
        self.changes[met] += change * times[:, None] if self.counted else change
        self.counts[met] += times
        self.intercept += intercept - self.state.intercept
        changed: npt.NDArray[np.int32] = met
        return changed

    def merged(self) -> Parameters:
        """The new parameters."""
        by = np.maximum(self.counts, 1.0)[:, None] if self.counted else float(self.partitions)
        table = (self.state.table + self.changes / by).astype(np.float32)
        return replace(
            self.state, table=table, intercept=self.state.intercept + self.intercept / self.partitions
        )


@dataclass(frozen=True)
class Prepared:
    """A set in memory, popular features first, in the units of the data."""

    data: DataSet
    train: Block
    test: Block
    counts: npt.NDArray[np.float64]

    @classmethod
    @lru_cache(maxsize=1)
    def of(cls, data: DataSet) -> "Prepared":
        """Read a set; the last one is kept."""
        rows = data.read("train")
        features, counts = np.unique(rows.ids, return_counts=True)
        popular = np.argsort(-counts, kind="stable")
        rank = np.empty(popular.size, np.int32)
        rank[popular] = np.arange(popular.size)
        train = replace(block_of(rows, features, rank), features=features[popular])
        test = block_of(data.read("test"), features, rank)
        return cls(data, train, test, counts[popular].astype(np.float64))

    @property
    def mean_squared_norm(self) -> float:
        """Mean over the rows of sum x^2: their number of non-zeros, which are all 1."""
        return self.data.nonzeros / self.data.rows

    @property
    def counted(self) -> FeatureCounts:
        """The features: all values are 1."""
        return FeatureCounts(
            self.train.features, self.counts, np.ones(self.counts.size), np.zeros(self.counts.size)
        )

    def scaling(self, settings: Settings) -> FeatureScaling:
        """The features' units of training."""
        return FeatureScaling.of(self.counted, self.train.rows, settings.centres)

    def settings(self, **params: float) -> Settings:
        """The estimators' defaults with some changed; a prior that is given does not adapt."""
        loss = LOGISTIC if self.data.binary else SQUARED
        made = Settings(loss, factor_size=self.data.factor_size, adapt_prior="reg_prior" not in params)
        return replace(made, **params)

    def start(self, settings: Settings) -> ParameterInit:
        """Where training starts from."""
        label = self.train.label
        scale = Scale.of(settings, 1.0, float(label.mean()), float(label.var()), self.mean_squared_norm)
        return ParameterInit(settings, scale)

    def metric(self, loss: float, scale: Scale) -> float:
        """The deciding metric from a mean loss in the units of training."""
        return loss if self.data.binary else (2.0 * loss) ** 0.5 * scale.label_deviation


def curve(
    data: DataSet, partitions: int, epochs: int, rule: Rule = "this merge", **params: float
) -> list[float]:
    """The test metric by epoch; the test rows are the validation rows. The means merge once per epoch."""
    prepared = Prepared.of(data)
    settings = prepared.settings(max_epochs=epochs, **{"patience": epochs} | params)
    start = prepared.start(settings)
    whole = scaled(prepared.train, start.scale)
    order = np.random.default_rng(0).permutation(whole.rows)
    rounds = decide_rounds(whole.rows, partitions) if rule == "this merge" else 1
    chunks = [whole.take(chunk) for chunk in np.array_split(order, partitions * rounds)]
    test = scaled(prepared.test, start.scale)
    simulation = Simulation(chunks, test, settings, partitions, rounds, prepared.mean_squared_norm, rule)
    state = start.at(whole.features, prepared.scaling(settings), prepared.counts)
    prior = settings.prior(judged=True)
    if partitions > 1 and rule == "this merge":
        plan = Plan(0, 0, True, settings.step_size, 1.0, 1.0, prior=prior.first)
        state = simulation.warm_up(state, plan)
    outcome = train(simulation, state, settings, first_number=1, prior=prior)
    return [prepared.metric(epoch.validation_loss, start.scale) for epoch in outcome.history]


def fitted(data: DataSet, **params: float) -> tuple[float, int]:
    """The test metric of a model fitted as one partition is, the test rows unseen, and its number of epochs."""
    prepared = Prepared.of(data)
    start = prepared.start(prepared.settings(**params))
    outcome = fit_in_memory(prepared.train, start, prepared.counted, VALIDATION_FRACTION)
    test, state = scaled(prepared.test, start.scale), outcome.state
    loss = measure(state.table, float(state.intercept[0]), test, everything(test), start.settings.loss)
    return prepared.metric(loss.mean, start.scale), outcome.best_epoch
