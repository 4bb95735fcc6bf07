"""Sampling in rounds: one chain, whose fields are drawn one after the other, each in a Spark job.

Rows are dealt by the features of a field of many features, a copy for each such field, so that whoever has a feature's
rows draws it. Of a field of few features the partitions say what their rows sum up to, and the driver draws.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import reduce
from uuid import uuid4

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from spark_fm.core.fm.scaling import FeatureCounts, FeatureScaling
from spark_fm.core.fm.weights import ParameterInit
from spark_fm.core.solver.gibbs.grouped import Residuals, draw_summed
from spark_fm.core.solver.gibbs.in_memory import BURN_IN, columns_between
from spark_fm.core.solver.gibbs.judge import Judge
from spark_fm.core.solver.gibbs.samples import Collector, Samples
from spark_fm.core.solver.gibbs.state import ChainState
from spark_fm.core.solver.plan import Epoch
from spark_fm.engine.cluster.broadcast import Shipped, ship
from spark_fm.engine.cluster.driver_limits import check_collected, check_model_size, driver_limits
from spark_fm.engine.cluster.driver_memory import check_room, room
from spark_fm.engine.packing.census import Census
from spark_fm.engine.packing.dealing import ByField
from spark_fm.engine.packing.packed_data import PackedData
from spark_fm.engine.training.draw_plan import DrawClass, DrawPlan, plan_of
from spark_fm.engine.training.field_task import (
    NO_CLASS,
    FieldParameters,
    FieldRound,
    FieldStatic,
    draw_field,
    predict_rows,
)
from spark_fm.engine.training.start_task import start_of
from spark_fm.engine.training.store import ChunkStore, ChunkTask, dealt_by_field

DoubleArray = npt.NDArray[np.float64]


def sample_in_rounds(
    packed: PackedData, init: ParameterInit, partitions: int, report: Callable[[Epoch], None]
) -> tuple[Samples, FeatureScaling, FeatureCounts]:
    """One chain; ``report`` is called after each sweep.

    Returns
    -------
    Its samples, and in the order of the features their units of training and what was counted of them.
    """
    settings, statistics, features = init.settings, packed.statistics, packed.features
    limits = driver_limits(packed.spark)
    columns = columns_between(settings)
    check_model_size(limits, features.ids.size, settings.sampled_size)
    check_room(room(packed.spark), features.ids.size, columns)
    scaling = packed.scaling(settings)
    init = replace(init, scale=statistics.scale(settings, scaling.squared_norm))
    plan = plan_of(packed, settings, partitions)
    theta, intercept = start_of(packed, init, settings.seed)
    state = ChainState(
        features.ids, plan.order, settings.seed, theta, intercept, settings.fit_intercept, settings.fit_linear
    )
    begun = theta.copy(), intercept
    collector = Collector(features.counts, columns, settings.max_epochs, BURN_IN, settings.samples_kept)
    with _Rounds.over(packed, init, plan, state, partitions) as rounds:
        judge = rounds.judge() if statistics.validation_rows else None
        residuals = rounds.measured()
        for sweep in range(1, settings.max_epochs + 1):
            state.begin(sweep, residuals)
            loss = residuals.squares / residuals.weight
            for group in range(len(plan.order.groups)):
                prior = state.prior(group)
                for one in plan.classes_of(group):
                    residuals = rounds.draw(one, sweep, prior)
            counts = collector.add(
                sweep, loss, state.theta, state.intercept, state.noise, np.empty(0, np.float32)
            )
            judged = math.nan
            if judge is not None:
                judged = judge.sees(rounds.predictions()[0]) if counts else math.nan
                collector.validation.append(judged)
            report(Epoch(sweep, loss, judged, {}))
    samples = collector.result(begun, settings.factor_size, plan.numbers, plan.complete)
    return samples, scaling, features


@dataclass
class _Rounds:
    """Runs the jobs of one chain; ``stores`` has the copy of each class that has one, and one for all others."""

    packed: PackedData
    init: ParameterInit
    plan: DrawPlan
    state: ChainState
    static: Shipped[FieldStatic]
    stores: dict[int, ChunkStore]
    _census: Census | None = None

    @classmethod
    @contextmanager
    def over(
        cls, packed: PackedData, init: ParameterInit, plan: DrawPlan, state: ChainState, partitions: int
    ) -> Iterator["_Rounds"]:
        run, stores = uuid4().hex, dict[int, ChunkStore]()
        with ExitStack() as stack:
            static = ship(packed.spark, FieldStatic(state.ids, plan.classes))
            stack.callback(static.release)
            for number, dealt in plan.shares(packed.features.counts, partitions).items():
                by_field = ship(packed.spark, ByField(dealt))
                stack.callback(by_field.release)
                stores[number] = stack.enter_context(
                    dealt_by_field(packed, partitions, by_field, init.settings, (run, number))
                )
            yield cls(packed, init, plan, state, static, stores)

    @property
    def _any(self) -> ChunkStore:
        return next(iter(self.stores.values()))

    def _run(
        self,
        function: ChunkTask,
        store: ChunkStore,
        number: int,
        sweep: int,
        prior: tuple[DoubleArray, DoubleArray] | None,
        validation: bool,
    ) -> list[dict[str, npt.NDArray[np.float64]]]:
        """What the chunks say, in their order."""
        state, places = self.state, store.places
        parameters = ship(self.packed.spark, FieldParameters(state.theta, state.intercept))
        orders = FieldRound(
            self.static, parameters, self.init.scale, number, sweep, state.seed, state.noise, prior
        )
        chosen = places.validating() if validation else places.training(0)
        try:
            batches = store.run(function, orders, chosen)
        finally:
            parameters.release()
        found = pa.Table.from_batches(batches).to_pylist() if batches else []
        wanted = set(chosen)
        made = [
            {
                "positions": np.frombuffer(row["positions"], np.int32),
                "sums": np.frombuffer(row["sums"]),
                "totals": np.frombuffer(row["totals"]),
            }
            for row in sorted(found, key=lambda row: (row["shard"], row["partition"]))
            if (row["partition"], row["shard"]) in wanted
        ]
        if not validation:
            census = sum((Census(*map(int, one["totals"][3:])) for one in made), Census())
            self._check(census)
        return made

    def _check(self, found: Census) -> None:
        """The training rows must be those that were counted, and the same in every job."""
        if self._census is None:
            rows = self.packed.statistics.training_rows
            replace(found, rows=found.rows).check(replace(found, rows=rows), "")
            self._census = found
        # Each copy has the same rows; dense features and other blocks may store them otherwise.
        replace(found, nonzeros=self._census.nonzeros, features=self._census.features).check(self._census, "")

    def measured(self) -> Residuals:
        """What the sample leaves over on the training rows."""
        found = self._run(draw_field, self._any, NO_CLASS - 1, 0, None, validation=False)
        return _added(found)

    def judge(self) -> Judge:
        """Of the validation rows."""
        _, label, weight = self.predictions()
        return Judge(label, weight.astype(np.float32), self.init.settings)

    def predictions(self) -> DoubleArray:
        """Scores, labels and weights of the validation rows, float64 (3, n)."""
        check_collected(
            driver_limits(self.packed.spark), self.packed.statistics.validation_rows * 24,
            "each sweep's predictions of validation rows",
        )  # fmt: skip
        found = self._run(predict_rows, self._any, NO_CLASS - 1, 0, None, validation=True)
        return np.concatenate([one["sums"].reshape(3, -1) for one in found], axis=1)

    def draw(self, one: DrawClass, sweep: int, prior: tuple[DoubleArray, DoubleArray]) -> Residuals:
        """Draw a class of features.

        Returns
        -------
        What the new sample leaves over on the training rows.
        """
        state, d = self.state, self.state.theta.shape[1]
        if one.number in self.stores and one.is_dealt:
            found = self._run(draw_field, self.stores[one.number], one.number, sweep, prior, validation=False)
            for row in found:
                state.theta[row["positions"]] = row["sums"].reshape(-1, d)
            unmet = np.setdiff1d(one.positions, np.concatenate([row["positions"] for row in found]))
            self._draw_unmet(unmet, sweep, prior)
            return _added(found)
        found = self._run(draw_field, self._any, one.number, sweep, None, validation=False)
        sums = np.zeros((one.positions.size, d * d + 2 * d))
        for row in found:
            sums[np.searchsorted(one.positions, row["positions"])] += row["sums"].reshape(-1, sums.shape[1])
        drawn, after = np.empty((one.positions.size, d)), np.zeros(2)
        if not draw_summed(
            sums, one.positions, state.ids, *prior, state.noise, state.seed, sweep, drawn, after
        ):
            raise FloatingPointError("a conditional is not positive definite")
        state.theta[one.positions] = drawn
        return _added(found).plus(Residuals(0.0, *after.tolist()))

    def _draw_unmet(self, positions: npt.NDArray[np.int32], sweep: int, prior: tuple[DoubleArray, DoubleArray]) -> None:
        """Features that validation rows only have: from the prior."""
        d = self.state.theta.shape[1]
        drawn = np.empty((positions.size, d))
        sums = np.zeros((positions.size, d * d + 2 * d))
        draw_summed(
            sums, positions, self.state.ids, *prior, self.state.noise, self.state.seed, sweep, drawn, np.zeros(2)
        )
        self.state.theta[positions] = drawn


def _added(found: list[dict[str, DoubleArray]]) -> Residuals:
    sums: list[Residuals] = [Residuals(*one["totals"][:3].tolist()) for one in found]
    return reduce(Residuals.plus, sums, Residuals())
