"""From packed data to a trained model: choose the way to train, train, return to the data's units."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np

from spark_fm.core.fm.level import Level
from spark_fm.core.fm.settings import Prior, Scale, Settings
from spark_fm.core.fm.table import Parameters, padded
from spark_fm.core.fm.weights import ParameterInit, Weights
from spark_fm.core.solver.adagrad.merge import packed_width
from spark_fm.core.solver.early_stopping import HeldOut, fit, held_out_rows
from spark_fm.core.solver.loop import train
from spark_fm.core.solver.plan import Epoch, Outcome, Plan, parts_of
from spark_fm.engine.cluster.broadcast import ship
from spark_fm.engine.cluster.driver_limits import check_model_size, driver_limits, most_to_collect
from spark_fm.engine.cluster.driver_memory import check_room, room
from spark_fm.engine.cluster.execute import task_slots
from spark_fm.engine.packing.packed_data import PackedData
from spark_fm.engine.packing.statistics import Statistics
from spark_fm.engine.training.round_task import StaticBroadcast
from spark_fm.engine.training.rounds import RoundsRunner
from spark_fm.engine.training.single_task import train_in_one_task
from spark_fm.engine.training.store import dealt_chunks

logger = logging.getLogger("spark_fm")

SECONDS_A_FACTOR = 2e-9
SECONDS_A_TASK = 0.3
LARGEST_IN_MEMORY = 2 * 2**30
WARM_UP_ROWS = 1_000
FEWEST_ROWS_A_ROUND = 100
FEWEST_ROUNDS, MOST_ROUNDS = 8, 24
ROWS_OF_FEWEST_ROUNDS = 50_000
ROWS_A_PARTITION_OF_MORE = 15

Report = Callable[["FitEpoch"], None]


@dataclass(frozen=True)
class FitEpoch:
    """One epoch in the units of the data: mean squared error or log-loss, and seconds by phase."""

    number: int
    training_loss: float
    validation_loss: float
    seconds: dict[str, float]


@dataclass(frozen=True)
class Fitted:
    """A trained model and the story of its training; ``judged_rows`` are how many decided when to stop."""

    weights: Weights
    num_features: int
    history: list[FitEpoch]
    best_epoch: int
    stop_reason: str
    rollbacks: int
    judged_rows: int
    partitions: int
    rounds_per_epoch: int
    statistics: Statistics
    seconds: dict[str, float] = field(default_factory=dict)


def is_still_falling(fitted: Fitted, tol: float) -> bool:
    """Whether training stopped at maxIter although its last epoch was an improvement."""
    losses = [e.validation_loss if fitted.judged_rows else e.training_loss for e in fitted.history]
    if fitted.stop_reason != "maxIter" or len(losses) < 2:
        return False
    return losses[-1] < min(losses[:-1]) * (1.0 - tol)


@dataclass(frozen=True)
class Parallelism:
    """How the work is divided: partitions, rounds per epoch, part of the rows held out to choose epochs."""

    partitions: int
    rounds_per_epoch: int
    validation_fraction: float


def decide_partitions(statistics: Statistics, factor_size: int, most: int) -> int:
    """As many partitions as the work of an epoch deserves: one up to 0.3 s of one core's time."""
    width = max(padded(factor_size), 16)
    seconds = statistics.nonzeros * width * SECONDS_A_FACTOR
    return max(1, min(most, round(seconds / SECONDS_A_TASK)))


def decide_rounds(rows: float, partitions: int, effective: float = 1.0) -> int:
    """Merges per epoch: eight, as long as a partition's part of the rows has 100; one partition needs none.

    Partitions of fewer than 50,000 rows gain from more, up to 24, as long as a part has 15 rows for each partition:
    small parts of many partitions lose more by a noisy merge. Rows of uneven weights say as much as the ``effective``
    part of them.
    """
    if partitions == 1:
        return 1
    each = rows / partitions
    wanted = FEWEST_ROUNDS * ROWS_OF_FEWEST_ROUNDS / max(each * effective, 1.0)
    most = min(MOST_ROUNDS, each / (ROWS_A_PARTITION_OF_MORE * partitions))
    rounds = int(max(FEWEST_ROUNDS, min(wanted, most)))
    return max(1, min(rounds, int(each) // FEWEST_ROWS_A_ROUND))


def bytes_of_updates(
    features: int, nonzeros: int, parallelism: Parallelism, factor_size: int, weighted: bool
) -> int:
    """About how many bytes of updates the tasks of a round send: each those of the features that it meets."""
    met = min(features, nonzeros // (parallelism.partitions * parallelism.rounds_per_epoch))
    return parallelism.partitions * met * (packed_width(padded(factor_size), weighted) * 4 + 2)


def _in_memory(statistics: Statistics) -> bool:
    return statistics.nonzeros * 16 + statistics.rows * 32 < LARGEST_IN_MEMORY


def fit_packed(
    packed: PackedData,
    settings: Settings,
    parallelism: Parallelism,
    initial: Weights | None,
    report: Report,
) -> Fitted:
    """Train a model on packed data.

    Parameters
    ----------
    parallelism : 0 partitions or rounds per epoch means: decide by the work
    initial : a model to start from
    report : called after each epoch; after the job when all epochs run in one

    Raises
    ------
    RuntimeError
        When training never got anywhere without numbers that are not finite.
    ValueError
        When the driver has no room for a model of this size.
    """
    begun = time.perf_counter()
    statistics = packed.statistics
    most = task_slots(packed.spark, len(statistics.sources))
    partitions = parallelism.partitions or decide_partitions(statistics, settings.factor_size, most)
    init = ParameterInit(settings, statistics.scale(settings), initial)
    if partitions == 1 and _in_memory(statistics):
        rounds = 1
        outcome, weights = _fit_in_one_task(packed, init, parallelism.validation_fraction)
        for epoch in outcome.history:
            report(in_data_units(epoch, settings, init.scale))
    else:
        rounds = parallelism.rounds_per_epoch or decide_rounds(
            statistics.training_rows, partitions, statistics.effective
        )
        outcome, weights = _fit_in_rounds(
            packed, init, replace(parallelism, partitions=partitions, rounds_per_epoch=rounds), report
        )
    if not (np.isfinite(weights.linear).all() and np.isfinite(weights.factors).all()):
        raise RuntimeError(
            "stepSize: training left the range of single precision; "
            f"found {settings.step_size:g}, expected a smaller step or features of smaller range"
        )
    return Fitted(
        weights=weights,
        num_features=statistics.num_features,
        history=[in_data_units(epoch, settings, init.scale) for epoch in outcome.history],
        best_epoch=outcome.best_epoch,
        stop_reason=outcome.stop_reason,
        rollbacks=outcome.rollbacks,
        judged_rows=statistics.validation_rows
        or held_out_rows(statistics.rows, parallelism.validation_fraction),
        partitions=partitions,
        rounds_per_epoch=rounds,
        statistics=statistics,
        seconds={"train": time.perf_counter() - begun},
    )


def in_data_units(epoch: Epoch, settings: Settings, scale: Scale) -> FitEpoch:
    """An epoch of training as it is reported."""
    training, validation = (
        settings.loss.in_data_units(loss, scale.label_deviation)
        for loss in (epoch.training_loss, epoch.validation_loss)
    )
    return FitEpoch(epoch.number, training, validation, epoch.seconds)


def _fit_in_one_task(
    packed: PackedData, init: ParameterInit, validation_fraction: float
) -> tuple[Outcome[Parameters], Weights]:
    shipped = ship(packed.spark, init)
    try:
        outcome, scaling = train_in_one_task(
            packed.blocks,
            shipped,
            init.settings.factor_size,
            packed.statistics.census,
            validation_fraction,
        )
    finally:
        shipped.release()
    return outcome, init.finish(outcome.state, scaling)


def _fit_in_rounds(
    packed: PackedData, init: ParameterInit, parallelism: Parallelism, report: Report
) -> tuple[Outcome[Parameters], Weights]:
    settings, statistics, features = init.settings, packed.statistics, packed.features
    limits = driver_limits(packed.spark)
    check_model_size(limits, features.ids.size, settings.factor_size)
    check_room(room(packed.spark), features.ids.size, settings.factor_size)
    sent = bytes_of_updates(
        features.ids.size, statistics.nonzeros, parallelism, settings.factor_size, statistics.weighted
    )
    scaling = packed.scaling(settings)
    init = replace(init, scale=statistics.scale(settings, scaling.squared_norm))
    state = init.at(features.ids, scaling, features.counts)
    static = StaticBroadcast(state.feature_penalties.copy())

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
            yield RoundsTrainer(runner, state, init, held, packed.release_blocks)

    held = HeldOut()
    if not statistics.validation_rows:
        held = HeldOut.of(statistics.rows, parallelism.validation_fraction, most_folds=1)
    outcome = fit(
        trainer, held, settings, statistics.validation_rows > 0,
        lambda epoch: report(in_data_units(epoch, settings, init.scale)),
    )  # fmt: skip
    return outcome, init.finish(outcome.state, scaling)


@dataclass(frozen=True)
class RoundsTrainer:
    """Trains in rounds (a :class:`spark_fm.core.solver.early_stopping.Trainer`); ``dealt`` is told when the rows have
    been dealt for the last time.
    """

    runner: RoundsRunner
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
            if epoch.number == 1 and not self.held.refits:
                self.dealt()
            report(epoch)

        return train(
            self.runner, warm, settings, reported,
            first_number=1, untrained=untrained, prior=prior, constant=self.init.constant_loss,
        )  # fmt: skip

    def level(self, state: Parameters) -> Level:
        """Of all rows but the user's validation rows."""
        return self.runner.level(state, self.held.rows > 0)
