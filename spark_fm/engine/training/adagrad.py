"""AdaGrad over the partitions of packed data: in one task, or in rounds whose updates are merged."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import isnan

from spark_fm.core.fm.level import Level
from spark_fm.core.fm.scaling import FeatureCounts
from spark_fm.core.fm.settings import Prior, Scale, Settings
from spark_fm.core.fm.table import Parameters
from spark_fm.core.fm.weights import ParameterInit, Weights
from spark_fm.core.solver.early_stopping import HeldOut, fit, held_out_rows
from spark_fm.core.solver.loop import train
from spark_fm.core.solver.plan import Epoch, Outcome, Plan, parts_of
from spark_fm.engine.cluster.broadcast import ship
from spark_fm.engine.cluster.driver_limits import check_model_size, driver_limits, most_to_collect
from spark_fm.engine.cluster.driver_memory import check_room, room
from spark_fm.engine.cluster.execute import task_slots
from spark_fm.engine.packing.packed_data import PackedData
from spark_fm.engine.training.checkpoints import Checkpoints
from spark_fm.engine.training.journal import SOLVER, Journal, JournaledRunner
from spark_fm.engine.training.parallelism import (
    bytes_of_updates,
    decide_partitions,
    decide_rounds,
    fits_in_memory,
)
from spark_fm.engine.training.round_task import StaticBroadcast
from spark_fm.engine.training.rounds import RoundsRunner
from spark_fm.engine.training.single_task import train_in_one_task
from spark_fm.engine.training.solver import FitEpoch, Parallelism, Report, Solved
from spark_fm.engine.training.store import dealt_chunks

WARM_UP_ROWS = 1_000


class AdaGrad:
    """Row-wise AdaGrad (J. Duchi et al., JMLR 2011), see ``docs/merge.md`` (a :class:`Solver`)."""

    def fit(
        self,
        packed: PackedData,
        init: ParameterInit,
        parallelism: Parallelism,
        report: Report,
        checkpoints: Checkpoints | None = None,
    ) -> Solved:
        """Small work in one task, all epochs; larger in rounds. The arguments are those of a :class:`Solver`."""
        statistics, settings = packed.statistics, init.settings
        most = task_slots(packed.spark, len(statistics.sources))
        resumed = checkpoints.resumed(SOLVER) if checkpoints else None
        if resumed is not None:
            # Other cores than then would decide otherwise.
            together = (parallelism.partitions, parallelism.rounds_per_epoch)
            partitions, rounds = (
                mine or then for mine, then in zip(together, resumed.numbers["parallelism"], strict=True)
            )
            parallelism = replace(parallelism, partitions=partitions, rounds_per_epoch=rounds)
        partitions = parallelism.partitions or decide_partitions(statistics, settings.factor_size, most)
        if partitions == 1 and fits_in_memory(statistics):
            rounds = 1
            outcome, weights, counted = _fit_in_one_task(packed, init, parallelism.validation_fraction)
            for epoch in outcome.history:
                report(in_data_units(epoch, settings, init.scale))
        else:
            rounds = parallelism.rounds_per_epoch or decide_rounds(
                statistics.training_rows, partitions, statistics.effective
            )
            parallelism = replace(parallelism, partitions=partitions, rounds_per_epoch=rounds)
            journal = Journal.of(checkpoints, (partitions, rounds)) if checkpoints else None
            outcome, weights, counted = _fit_in_rounds(packed, init, parallelism, report, journal)
        judged = statistics.validation_rows or held_out_rows(
            statistics.rows, parallelism.validation_fraction, statistics.effective
        )
        if judged and isnan(outcome.first_loss) and settings.validation_metric.needs_both_labels:
            raise ValueError(
                "validationMetric: found one label only among the validation rows, expected both for areaUnderROC"
            )
        return Solved(
            weights=weights,
            history=[in_data_units(epoch, settings, init.scale) for epoch in outcome.history],
            best_epoch=outcome.best_epoch,
            stop_reason=outcome.stop_reason,
            rollbacks=outcome.rollbacks,
            judged_rows=judged,
            partitions=partitions,
            rounds_per_epoch=rounds,
            counted=counted,
        )


def in_data_units(epoch: Epoch, settings: Settings, scale: Scale) -> FitEpoch:
    """An epoch of training as it is reported."""
    loss, metric, deviation = settings.loss, settings.validation_metric, scale.label_deviation
    training = loss.in_data_units(epoch.training_loss, deviation)
    validation = metric.in_data_units(epoch.validation_loss, loss, deviation)
    return FitEpoch(epoch.number, training, validation, epoch.seconds)


def _fit_in_one_task(
    packed: PackedData, init: ParameterInit, validation_fraction: float
) -> tuple[Outcome[Parameters], Weights, FeatureCounts]:
    shipped = ship(packed.spark, init)
    try:
        outcome, scaling, counted = train_in_one_task(
            packed.blocks,
            shipped,
            init.settings.factor_size,
            packed.statistics.census,
            validation_fraction,
        )
    finally:
        shipped.release()
    return outcome, init.finish(outcome.state, scaling), counted


def _fit_in_rounds(
    packed: PackedData,
    init: ParameterInit,
    parallelism: Parallelism,
    report: Report,
    journal: Journal | None,
) -> tuple[Outcome[Parameters], Weights, FeatureCounts]:
    settings, statistics, features = init.settings, packed.statistics, packed.features
    limits = driver_limits(packed.spark)
    check_model_size(limits, features.ids.size, settings.factor_size)
    check_room(room(packed.spark), features.ids.size, settings.factor_size)
    sent = bytes_of_updates(
        features.ids.size, statistics.nonzeros, parallelism, settings.factor_size, statistics.weighted
    )
    scaling = packed.scaling(settings)
    init = replace(init, scale=statistics.scale(settings, scaling.squared_norm))
    state = init.at(features.ids, scaling, features.counts, features.weights)
    static = StaticBroadcast(state.feature_penalties.copy(), init.constraints(features.ids, features.counts))

    @contextmanager
    def trainer(held: HeldOut) -> Iterator[RoundsTrainer]:
        with (
            dealt_chunks(
                packed,
                parallelism.partitions,
                parallelism.rounds_per_epoch,
                held.rows,
                settings,
                on_executors=sent > most_to_collect(limits),
            ) as chunks,
            RoundsRunner(packed.spark, chunks, settings, init.scale, static, statistics.census) as runner,
        ):
            journaled = runner if journal is None else JournaledRunner(runner, journal)
            yield RoundsTrainer(journaled, state, init, held, packed.release_blocks)

    held = HeldOut()
    if not statistics.validation_rows:
        held = HeldOut.of(
            statistics.rows, parallelism.validation_fraction, most_folds=1, effective=statistics.effective
        )
    outcome = fit(
        trainer, held, settings, statistics.validation_rows > 0,
        lambda epoch: report(in_data_units(epoch, settings, init.scale)),
    )  # fmt: skip
    return outcome, init.finish(outcome.state, scaling), features


@dataclass(frozen=True)
class RoundsTrainer:
    """Trains in rounds (a :class:`spark_fm.core.solver.early_stopping.Trainer`); ``dealt`` is told when the rows have
    been dealt for the last time.
    """

    runner: RoundsRunner | JournaledRunner
    state: Parameters
    init: ParameterInit
    held: HeldOut
    dealt: Callable[[], None]

    def train(self, settings: Settings, prior: Prior, report: Callable[[Epoch], None]) -> Outcome[Parameters]:
        """A warm-up on a few rows, so that all partitions move the common directions only once, then all epochs."""
        warm, untrained = self.state, None
        if self.runner.merges and settings.max_epochs > 0:
            part = parts_of(settings.seed, 0, self.runner.rounds_per_epoch)[0]
            plan = Plan(0, part, True, settings.step_size, 1.0, 1.0, prior=prior.first, begins=False)
            warmed = self.runner.warm_up(self.state, plan, WARM_UP_ROWS)
            warm, untrained = (warmed.state if warmed.finite else self.state), warmed.start

        def reported(epoch: Epoch) -> None:
            if self.runner.has_met_all and not self.held.refits:
                self.dealt()
            report(epoch)

        outcome = train(
            self.runner, warm, settings, reported,
            first_number=1, untrained=untrained, prior=prior, constant=self.init.constant_loss,
        )  # fmt: skip
        # After no epoch parameters are what they were: the warm-up only serves the epochs.
        return outcome if outcome.best_epoch else replace(outcome, state=self.state)

    def level(self, state: Parameters) -> Level:
        """Of all rows but the user's validation rows."""
        return self.runner.level(state, self.held.rows > 0)
