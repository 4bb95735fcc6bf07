"""Rounds as Spark jobs: ship the parameters, train every partition, merge."""

import os
import time
from dataclasses import replace
from types import TracebackType

import numpy as np
import numpy.typing as npt
from pyspark.sql import SparkSession

from spark_fm.core.fm.constraints import project
from spark_fm.core.fm.level import Level
from spark_fm.core.fm.quantized import QuantizedTable
from spark_fm.core.fm.settings import Scale, Settings
from spark_fm.core.fm.table import Parameters, layout_of
from spark_fm.core.solver.adagrad.merge import Coupling, apply_intercept_merge
from spark_fm.core.solver.plan import Plan, Result
from spark_fm.engine.cluster.broadcast import Shipped, ship
from spark_fm.engine.cluster.execute import task_slots
from spark_fm.engine.packing.census import Census
from spark_fm.engine.training.aggregate import Updates, merged
from spark_fm.engine.training.round_task import (
    PHASES,
    ChunkTotals,
    ParameterBroadcast,
    Round,
    StaticBroadcast,
    measure_level,
    run_round,
)
from spark_fm.engine.training.store import ChunkStore

SHARD_ROWS = 2**16  # the most that uint16 can tell apart


class RoundsRunner:
    """Runs rounds over persisted chunks (a :class:`spark_fm.core.solver.loop.Runner`).

    A context manager: what it has shipped is released at its end.

    Raises
    ------
    InputChangedError
        In a round that does not find the rows that were ``counted``.
    """

    def __init__(
        self,
        spark: SparkSession,
        chunks: ChunkStore,
        settings: Settings,
        scale: Scale,
        static: StaticBroadcast,
        counted: Census,
    ) -> None:
        self.rounds_per_epoch = chunks.places.parts
        self.merges = chunks.places.partitions > 1
        self._spark, self._chunks = spark, chunks
        self._settings, self._scale = settings, scale
        self._static = ship(spark, static)
        self._counted, self._found = counted, dict[int, Census]()

    def __enter__(self) -> "RoundsRunner":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._static.release()

    @property
    def has_met_all(self) -> bool:
        """Whether every chunk has been met, so that none is still to be dealt."""
        return len(self._found) == self._chunks.places.parts + 1

    def warm_up(self, state: Parameters, plan: Plan, rows: int) -> Result[Parameters]:
        """A round over one partition's first rows: all move the common directions only once."""
        return self._round(state, plan, self._chunks.places.training(plan.part)[:1], most_rows=rows)

    def run(self, state: Parameters, plan: Plan) -> Result[Parameters]:
        """A round over one part of every partition, which measures the validation rows where an epoch begins."""
        places = self._chunks.places
        validating = places.validating() if plan.begins else []
        return self._round(state, plan, places.training(plan.part) + validating, most_rows=None)

    def level(self, state: Parameters, with_validation: bool) -> Level:
        """The level of the predictions on all training rows; on rows held out too where these are no others."""
        plan = Plan(0, 0, False, 0.0, 1.0, 1.0)
        parameters, orders = self._orders(state, plan, None)
        try:
            batches = self._chunks.run(measure_level, orders, self._chunks.places.all())
        finally:
            parameters.release()
        found: dict[tuple[int, int], npt.NDArray[np.float64]] = {}
        for batch in batches:
            for row in batch.to_pylist():
                found[row["shard"], row["partition"]] = np.frombuffer(row["totals"])
        census, total = Census(), Level.none(self._settings.loss)
        for (part, _), numbers in sorted(found.items()):
            census += Census(*map(int, numbers[:4]))
            if part < self.rounds_per_epoch or with_validation:
                total += Level.of_numbers(numbers[4:])
        self._check(census)
        return total

    def _orders(
        self, state: Parameters, plan: Plan, most_rows: int | None
    ) -> tuple[Shipped[ParameterBroadcast], Round]:
        settings = self._settings
        coupling = Coupling.of(
            plan.step_size,
            self._scale.mean_squared_norm,
            settings.factor_size,
            plan.scale,
            plan.epochs,
            plan.damping,
        )
        parameters = ship(self._spark, ParameterBroadcast(QuantizedTable.of(state.table), state.intercept))
        return parameters, Round(
            self._static, parameters, plan, settings, self._scale, coupling,
            state.table.shape[0], SHARD_ROWS, self.rounds_per_epoch, most_rows,
        )  # fmt: skip

    def _round(
        self, state: Parameters, plan: Plan, chunks: list[tuple[int, int]], most_rows: int | None
    ) -> Result[Parameters]:
        begun = time.perf_counter()
        parameters, orders = self._orders(state, plan, most_rows)
        shipped = time.perf_counter()
        try:
            found = Updates.of(self._chunks.run(run_round, orders, chunks))
        finally:
            parameters.release()
        collected = time.perf_counter()

        width = layout_of(state.table).factors
        by_chunk = {number: ChunkTotals.of(numbers, width) for number, numbers in found.totals.items()}
        if most_rows is None:
            self._count(by_chunk, plan)
        totals = sum(by_chunk.values(), ChunkTotals.none(width))
        table, intercept = state.table, state.intercept
        if plan.train:
            table = merged(
                table, found, SHARD_ROWS, orders.coupling, totals.centre, self._scale.weighted,
                os.cpu_count() or 1,
            )  # fmt: skip
            if self._settings.nonnegative:
                # A merge goes further than the partitions did, and may go below 0.
                project(table)
            intercept = apply_intercept_merge(intercept, totals.intercept, orders.coupling)
        after = replace(state, table=table, intercept=intercept)
        finite = after.is_finite()
        in_tasks = self._seconds_in_tasks(totals, len(by_chunk))
        seconds = {
            "parameters out": shipped - begun,
            **in_tasks,
            "Spark": collected - shipped - sum(in_tasks.values()),
            "merge": time.perf_counter() - collected,
        }
        validation = self._settings.validation_metric.totals(totals.validation)
        return Result(after, totals.start, totals.train, validation, finite, seconds)

    def _count(self, by_chunk: dict[int, ChunkTotals], plan: Plan) -> None:
        """Compare what the chunks have with what they had before, and once all are known with what was counted."""
        places = self._chunks.places
        here: dict[int, Census] = {plan.part: Census()}
        if plan.begins:
            here[places.parts] = Census()
        for number, totals in by_chunk.items():
            part = plan.part if number < places.partitions else places.parts
            here[part] += totals.census
        for part, census in here.items():
            census.check(self._found.setdefault(part, census), "")
        if self.has_met_all:
            self._check(sum(self._found.values(), Census()))

    def _check(self, found: Census) -> None:
        # Dense features have entries that the input has not, and chunks have positions instead of features.
        as_counted = replace(found, nonzeros=self._counted.nonzeros, features=self._counted.features)
        as_counted.check(self._counted, "")

    def _seconds_in_tasks(self, totals: ChunkTotals, tasks: int) -> dict[str, float]:
        """Seconds by phase of the tasks, as if they kept all cores equally busy."""
        at_once = min(tasks, task_slots(self._spark, tasks))
        return dict(zip(PHASES, (totals.seconds / max(1, at_once)).tolist(), strict=True))
