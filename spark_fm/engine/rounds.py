"""Rounds as Spark jobs: ship the parameters, train every partition, merge."""

import time
import uuid
from dataclasses import replace
from functools import partial
from types import TracebackType

import numpy as np
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from spark_fm.core.loss import Loss
from spark_fm.core.merge import Coupling, apply_intercept_merge, apply_merge
from spark_fm.core.parameters import Parameters
from spark_fm.core.settings import Scale, Settings
from spark_fm.core.training import Plan, Result, Totals
from spark_fm.engine.jobs import collect
from spark_fm.engine.reduce import reduce_on_executors, shards_of, sum_shard, totals_of
from spark_fm.engine.transport import ship
from spark_fm.engine.worker import UPDATES_DDL, Fixed, Moving, Round, run_round

SHARD_BYTES = 32 * 2**20
DRIVER_COLLECTS_BYTES = 256 * 2**20


class RoundsRunner:
    """Runs rounds over persisted units (a :class:`spark_fm.core.training.Runner`).

    A context manager: what it has shipped is released at its end. With ``all_rows`` set, rows that were held
    out are trained on like the others.
    """

    def __init__(
        self,
        spark: SparkSession,
        units: DataFrame,
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
        self._spark, self._units, self._partitions = spark, units, partitions
        self._settings, self._scale, self._active = settings, scale, active
        self._features = fixed.features.size
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
        return self._round(state, plan, F.col("partition") == 0, most_rows=rows)

    def run(self, state: Parameters, plan: Plan) -> Result[Parameters]:
        """A round over one part of every partition."""
        return self._round(state, plan, F.lit(True), most_rows=None)

    def _round(
        self, state: Parameters, plan: Plan, where: Column, most_rows: int | None
    ) -> Result[Parameters]:
        begun = time.perf_counter()
        settings = self._settings
        scale = plan.scale if settings.loss is Loss.SQUARED else 1.0
        coupling = Coupling.of(plan.step_size, self._active, settings.factor_size, scale, plan.raised)
        width = state.table.shape[1] + 1
        wanted = -(-self._features * width * 4 // SHARD_BYTES)
        on_executors = self._partitions * self._features * width * 4 > DRIVER_COLLECTS_BYTES
        shards = max(1, wanted, min(self._partitions, 64) if on_executors else 1)
        shard_size = max(1, -(-self._features // shards))
        moving = ship(self._spark, Moving(state.table, state.intercept))
        shipped = time.perf_counter()
        try:
            orders = Round(
                self._fixed, moving, plan, settings, self._scale, coupling, shards, shard_size,
                self.all_rows, most_rows,
            )  # fmt: skip
            chosen = self._units.where((F.col("part") == plan.part) & where)
            updates = chosen.select("partition", "number", "data").mapInArrow(
                partial(run_round, orders=orders), UPDATES_DDL
            )
            if on_executors and plan.train:
                updates = reduce_on_executors(updates, shards, self._features, shard_size, width)
            rows = collect(updates)
        finally:
            moving.release()
        collected = time.perf_counter()

        totals = totals_of(rows)
        summed = sum(totals.values(), np.zeros(13))
        table, intercept = state.table, state.intercept
        if plan.train:
            table = state.table.copy()
            for shard, pieces in shards_of(rows).items():
                first = shard * shard_size
                part = state.table[first : first + shard_size]
                sums = sum_shard(pieces, first, part.shape[0], width)
                table[first : first + shard_size] = apply_merge(part, sums, coupling)
            intercept = apply_intercept_merge(state.intercept, summed[:3], coupling)
        after = replace(state, table=table, intercept=intercept)
        start, visited, validation = (
            Totals(float(loss), float(weight), int(count))
            for loss, weight, count in summed[3:12].reshape(3, 3)
        )
        seconds = {
            "ship": shipped - begun,
            "job": collected - shipped,
            "kernel": max((float(t[12]) for t in totals.values()), default=0.0),
            "merge": time.perf_counter() - collected,
        }
        return Result(after, start, visited, validation, after.is_finite(), seconds)


def new_run() -> str:
    """A name that no other run has."""
    return uuid.uuid4().hex
