"""Sampling in rounds: one chain, whose fields are drawn one after the other, each in a Spark job.

Rows are dealt by the features of a field of many features, a copy for each such field, so that whoever has a feature's
rows draws it. Of a field of few features the partitions say what their rows sum up to, and the driver draws.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any, NamedTuple
from uuid import uuid4

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from spark_fm.core.fm.weights import ParameterInit
from spark_fm.core.solver.gibbs.fields import NEGLIGIBLE
from spark_fm.core.solver.gibbs.grouped import Residuals, draw_summed
from spark_fm.core.solver.gibbs.in_memory import BURN_IN, columns_between
from spark_fm.core.solver.gibbs.judge import Judge
from spark_fm.core.solver.gibbs.predict import predict
from spark_fm.core.solver.gibbs.samples import Collector
from spark_fm.core.solver.gibbs.state import LEFT_THE_RANGE, ChainState
from spark_fm.core.solver.plan import Epoch
from spark_fm.engine.cluster.broadcast import Shipped, ship
from spark_fm.engine.cluster.driver_limits import check_collected, check_model_size, driver_limits
from spark_fm.engine.cluster.driver_memory import check_room, room
from spark_fm.engine.packing.census import Census
from spark_fm.engine.packing.dealing import ByField
from spark_fm.engine.packing.packed_data import PackedData
from spark_fm.engine.training.checkpoints import Checkpoint, Checkpoints
from spark_fm.engine.training.draw_plan import DrawClass, DrawPlan, plan_of
from spark_fm.engine.training.field_task import (
    NO_CLASS,
    FieldParameters,
    FieldRound,
    FieldStatic,
    draw_field,
    predict_rows,
)
from spark_fm.engine.training.gibbs_task import Sampled
from spark_fm.engine.training.start_task import start_of, watched_of
from spark_fm.engine.training.store import ChunkStore, ChunkTask, dealt_by_field

DoubleArray = npt.NDArray[np.float64]


SOLVER = "gibbs"


def sample_in_rounds(
    packed: PackedData,
    init: ParameterInit,
    partitions: int,
    report: Callable[[Epoch], None],
    checkpoints: Checkpoints | None,
) -> Sampled:
    """One chain; ``report`` is called after each sweep. Where somebody stops it, the samples are those until then."""
    settings, statistics, features = init.settings, packed.statistics, packed.features
    limits = driver_limits(packed.spark)
    columns = columns_between(settings)
    check_model_size(limits, features.ids.size, settings.sampled_size)
    check_room(room(packed.spark), features.ids.size, settings.sampled_size, columns)
    scaling = packed.scaling(settings)
    init = replace(init, scale=replace(init.scale, mean_squared_norm=scaling.squared_norm))
    weights = features.weights / init.scale.weight_mean
    plan = plan_of(packed, settings, partitions, init.scale.weight_mean)
    found = checkpoints.resumed(SOLVER) if checkpoints else None
    if found is None:
        theta, intercept = start_of(packed, init, settings.seed)
    else:
        theta, intercept = found.arrays["theta"].copy(), found.numbers["intercept"]
    state = ChainState(
        features.ids, plan.order, settings.seed, theta, intercept,
        settings.fit_intercept, settings.fit_linear, known=weights > NEGLIGIBLE,
    )  # fmt: skip
    begun = theta.copy(), intercept
    collector = Collector(weights, columns, settings.max_epochs, BURN_IN, settings.samples_kept)
    with _Rounds.over(packed, init, plan, state, partitions) as rounds:
        some = watched_of(packed, init, plan.numbers)
        judge = rounds.judge() if statistics.validation_rows else None
        first, stopped = 1, False
        if found is None:
            residuals = rounds.measured()
        else:
            first, residuals = _gone_on(found, state, collector, judge, report)
        try:
            for sweep in range(first, settings.max_epochs + 1):
                loss, residuals = rounds.sweep(sweep, residuals)
                predicted = predict(some, state.theta, state.intercept).astype(np.float32)
                counts = collector.add(sweep, loss, state.theta, state.intercept, state.noise, predicted)
                judged = math.nan
                if judge is not None:
                    judged = judge.sees(rounds.predictions()[0]) if counts else math.nan
                    collector.validation.append(judged)
                report(Epoch(sweep, loss, judged, {}))
                if checkpoints is not None and checkpoints.due(sweep):
                    _write(checkpoints, partitions, sweep, residuals, state, collector, judge)
        except KeyboardInterrupt:
            if not collector.average.samples:
                raise
            stopped = True
    samples = collector.result(begun, settings.factor_size, plan.numbers, plan.complete)
    return Sampled(samples, scaling, features, stopped)


def _write(
    checkpoints: Checkpoints,
    partitions: int,
    sweep: int,
    residuals: Residuals,
    state: ChainState,
    collector: Collector,
    judge: Judge | None,
) -> None:
    """Write down all that the sweeps after this one depend on."""
    collected, arrays = collector.state()
    numbers = {
        "partitions": partitions,
        "sweep": sweep,
        "intercept": state.intercept,
        "noise": state.noise,
        "residuals": list(residuals),
        "collected": collected,
    }
    arrays["theta"] = state.theta
    if judge is not None:
        numbers["judged"], arrays["judged"] = judge.state()
    checkpoints.write(SOLVER, numbers, arrays)


def _gone_on(
    found: Checkpoint,
    state: ChainState,
    collector: Collector,
    judge: Judge | None,
    report: Callable[[Epoch], None],
) -> tuple[int, Residuals]:
    """The number of the next sweep, and what the last one left over; its sweeps are reported again."""
    numbers, arrays = found.numbers, found.arrays
    state.noise = numbers["noise"]
    collector.restore(numbers["collected"], arrays)
    if judge is not None:
        judge.restore(numbers["judged"], arrays["judged"])
    for sweep, loss in enumerate(collector.losses):
        judged = collector.validation[sweep] if collector.validation else math.nan
        report(Epoch(sweep + 1, loss, judged, {}))
    return numbers["sweep"] + 1, Residuals(*numbers["residuals"])


class _Told(NamedTuple):
    """What a chunk says, see :func:`spark_fm.engine.training.field_task.draw_field`."""

    positions: npt.NDArray[np.int32]
    sums: DoubleArray
    totals: DoubleArray


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
    ) -> list[_Told]:
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
        found: list[dict[str, Any]] = pa.Table.from_batches(batches).to_pylist() if batches else []
        wanted = set(chosen)
        made = [
            _Told(
                np.frombuffer(row["positions"], np.int32),
                np.frombuffer(row["sums"]),
                np.frombuffer(row["totals"]),
            )
            for row in sorted(found, key=lambda row: (row["shard"], row["partition"]))
            if (row["partition"], row["shard"]) in wanted
        ]
        if not validation:
            census = sum((Census(*map(int, one.totals[3:])) for one in made), Census())
            self._check(census)
        return made

    def _check(self, found: Census) -> None:
        """The training rows must be those that were counted, and the same in every job."""
        if self._census is None:
            statistics = self.packed.statistics
            labels = found.fingerprint if statistics.validation_rows else statistics.census.fingerprint
            found.check(replace(found, rows=statistics.training_rows, fingerprint=labels), "")
            self._census = found
        # Each copy has the same rows; dense features and other blocks may store them otherwise.
        replace(found, nonzeros=self._census.nonzeros, features=self._census.features).check(self._census, "")

    def sweep(self, number: int, residuals: Residuals) -> tuple[float, Residuals]:
        """Draw all parameters once.

        Returns
        -------
        The mean squared residual before, and what the new sample leaves over.
        """
        self.state.begin(number, residuals)
        loss = residuals.squares / residuals.weight
        for group in range(len(self.plan.order.groups)):
            prior = self.state.prior(group)
            for one in self.plan.classes_of(group):
                residuals = self.draw(one, number, prior)
        return loss, residuals

    def measured(self) -> Residuals:
        """What the sample leaves over on the training rows."""
        found = self._run(draw_field, self._any, NO_CLASS, 0, None, validation=False)
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
        found = self._run(predict_rows, self._any, NO_CLASS, 0, None, validation=True)
        return np.concatenate([one.sums.reshape(3, -1) for one in found], axis=1)

    def draw(self, one: DrawClass, sweep: int, prior: tuple[DoubleArray, DoubleArray]) -> Residuals:
        """Draw a class of features.

        Returns
        -------
        What the new sample leaves over on the training rows.
        """
        state, d = self.state, self.state.theta.shape[1]
        if one.is_dealt:
            found = self._run(draw_field, self.stores[one.number], one.number, sweep, prior, validation=False)
            for row in found:
                state.theta[row.positions] = row.sums.reshape(-1, d)
            unmet = np.setdiff1d(one.positions, np.concatenate([row.positions for row in found]))
            self._draw_unmet(unmet, sweep, prior)
            return _added(found)
        found = self._run(draw_field, self._any, one.number, sweep, None, validation=False)
        sums = np.zeros((one.positions.size, d * d + 2 * d))
        for row in found:
            sums[np.searchsorted(one.positions, row.positions)] += row.sums.reshape(-1, sums.shape[1])
        drawn, after = np.empty((one.positions.size, d)), np.zeros(2)
        if not draw_summed(
            sums, one.positions, state.ids, *prior, state.noise, state.seed, sweep, drawn, after
        ):
            raise FloatingPointError(LEFT_THE_RANGE)
        state.theta[one.positions] = drawn
        return _added(found).plus(Residuals(0.0, *after.tolist()))

    def _draw_unmet(
        self, positions: npt.NDArray[np.int32], sweep: int, prior: tuple[DoubleArray, DoubleArray]
    ) -> None:
        """Features that validation rows only have: from the prior."""
        d = self.state.theta.shape[1]
        drawn = np.empty((positions.size, d))
        sums = np.zeros((positions.size, d * d + 2 * d))
        draw_summed(
            sums,
            positions,
            self.state.ids,
            *prior,
            self.state.noise,
            self.state.seed,
            sweep,
            drawn,
            np.zeros(2),
        )
        self.state.theta[positions] = drawn


def _added(found: list[_Told]) -> Residuals:
    sums: list[Residuals] = [Residuals(*one.totals[:3].tolist()) for one in found]
    return reduce(Residuals.plus, sums, Residuals())
