"""Rounds as Spark jobs: ship the parameters, train every partition, merge."""

import os
import time
from dataclasses import replace
from types import TracebackType

from pyspark.sql import SparkSession

from spark_fm.core.loss import Loss
from spark_fm.core.merge import Coupling, apply_intercept_merge
from spark_fm.core.parameters import Parameters
from spark_fm.core.rounded import Rounded
from spark_fm.core.settings import Scale, Settings
from spark_fm.core.training import Plan, Result
from spark_fm.engine.jobs import parallelism
from spark_fm.engine.reduce import Updates, merged
from spark_fm.engine.transport import ship
from spark_fm.engine.units import Units
from spark_fm.engine.worker import PHASES, Fixed, Moving, Round, UnitTotals

SHARD_ROWS = 2**16  # the most that uint16 can tell apart


class RoundsRunner:
    """Runs rounds over persisted units (a :class:`spark_fm.core.training.Runner`).

    A context manager: what it has shipped is released at its end. With ``all_rows`` set, rows that were held
    out are trained on like the others.
    """

    def __init__(
        self,
        spark: SparkSession,
        units: Units,
        partitions: int,
        rounds_per_epoch: int,
        settings: Settings,
        scale: Scale,
        fixed: Fixed,
        active: float,
    ) -> None:
        self.rounds_per_epoch = rounds_per_epoch
        self.merges = partitions > 1
        self.all_rows = False
        self._spark, self._units = spark, units
        self._settings, self._scale, self._active = settings, scale, active
        self._fixed = ship(spark, fixed)

    def __enter__(self) -> "RoundsRunner":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._fixed.release()

    def warm_up(self, state: Parameters, plan: Plan, rows: int) -> Result[Parameters]:
        """A round over one partition's first rows: all move the common directions only once."""
        return self._round(state, plan, most_rows=rows)

    def run(self, state: Parameters, plan: Plan) -> Result[Parameters]:
        """A round over one part of every partition."""
        return self._round(state, plan, most_rows=None)

    def _round(self, state: Parameters, plan: Plan, most_rows: int | None) -> Result[Parameters]:
        begun = time.perf_counter()
        settings = self._settings
        scale = plan.scale if settings.loss is Loss.SQUARED else 1.0
        coupling = Coupling.of(
            plan.step_size, self._active, settings.factor_size, scale, plan.epochs, plan.raised
        )
        features, width = state.table.shape[0], state.table.shape[1] - 1
        moving = ship(self._spark, Moving(Rounded.of(state.table), state.intercept))
        shipped = time.perf_counter()
        try:
            orders = Round(
                self._fixed, moving, plan, settings, self._scale, coupling,
                features, width, SHARD_ROWS, self.all_rows, most_rows,
            )  # fmt: skip
            found = Updates.of(self._units.updates(orders))
        finally:
            moving.release()
        collected = time.perf_counter()

        all_totals = [UnitTotals.of(numbers) for numbers in found.totals.values()]
        totals = sum(all_totals, UnitTotals.none(width))
        table, intercept = state.table, state.intercept
        if plan.train:
            table = merged(table, found, SHARD_ROWS, coupling, totals.centre, os.cpu_count() or 1)
            intercept = apply_intercept_merge(intercept, totals.intercept, coupling)
        after = replace(state, table=table, intercept=intercept)
        finite = after.is_finite()
        in_tasks = self._seconds_in_tasks(totals, len(all_totals))
        seconds = {
            "parameters out": shipped - begun,
            **in_tasks,
            "Spark": collected - shipped - sum(in_tasks.values()),
            "merge": time.perf_counter() - collected,
        }
        return Result(after, totals.start, totals.train, totals.validation, finite, seconds)

    def _seconds_in_tasks(self, totals: UnitTotals, tasks: int) -> dict[str, float]:
        """Seconds by phase of the tasks, as if they kept all cores equally busy."""
        at_once = min(tasks, parallelism(self._spark, tasks))
        return dict(zip(PHASES, (totals.seconds / max(1, at_once)).tolist(), strict=True))
