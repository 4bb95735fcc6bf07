"""From packed data to a trained model: choose the way to train, train, return to the data's units."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from spark_fm.core.fit import REFIT_ABOVE, held_out_fraction
from spark_fm.core.loss import Loss
from spark_fm.core.merge import packed_width
from spark_fm.core.parameters import Parameters, padded
from spark_fm.core.settings import Prior, Scale, Settings
from spark_fm.core.training import Epoch, Outcome, Plan, train
from spark_fm.core.weights import Start, Weights
from spark_fm.engine.dataset import PackedData, Statistics
from spark_fm.engine.jobs import parallelism
from spark_fm.engine.limits import check_model_size, driver_limits, most_to_collect
from spark_fm.engine.memory import train_in_one_task
from spark_fm.engine.rounds import RoundsRunner
from spark_fm.engine.transport import ship
from spark_fm.engine.worker import Fixed

logger = logging.getLogger("spark_fm")

SECONDS_A_FACTOR = 2e-9
SECONDS_A_TASK = 0.3
LARGEST_IN_MEMORY = 2 * 2**30
WARM_UP_ROWS = 40_000
FEWEST_ROWS_A_ROUND = 100
MOST_ROUNDS = 8

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
    """A trained model and the story of its training."""

    weights: Weights
    num_features: int
    history: list[FitEpoch]
    best_epoch: int
    stop_reason: str
    rollbacks: int
    partitions: int
    rounds_per_epoch: int
    statistics: Statistics
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Division:
    """How the work is divided: partitions, rounds per epoch, part of the rows held out to choose epochs."""

    partitions: int
    rounds_per_epoch: int
    validation_fraction: float


def decide_partitions(statistics: Statistics, factor_size: int, most: int) -> int:
    """As many partitions as the work of an epoch deserves: one up to 0.3 s of one core's time."""
    width = max(padded(factor_size), 16)
    seconds = statistics.nonzeros * width * SECONDS_A_FACTOR
    return max(1, min(most, round(seconds / SECONDS_A_TASK)))


def decide_rounds(rows: int, partitions: int) -> int:
    """One merge per epoch less than partitions, up to eight, as long as a partition's part has 100 rows."""
    return max(1, min(MOST_ROUNDS, partitions - 1, rows // partitions // FEWEST_ROWS_A_ROUND))


def bytes_of_updates(features: int, nonzeros: int, division: Division, factor_size: int) -> int:
    """About how many bytes of updates the tasks of a round send: each those of the features that it meets."""
    met = min(features, nonzeros // (division.partitions * division.rounds_per_epoch))
    return division.partitions * met * (packed_width(padded(factor_size)) * 4 + 2)


def _in_memory(statistics: Statistics) -> bool:
    return statistics.nonzeros * 16 + statistics.rows * 32 < LARGEST_IN_MEMORY


def fit_packed(
    packed: PackedData,
    settings: Settings,
    division: Division,
    initial: Weights | None,
    report: Report,
) -> Fitted:
    """Train a model on packed data.

    Parameters
    ----------
    division : 0 partitions or rounds per epoch means: decide by the work
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
    most = parallelism(packed.spark, statistics.sources)
    partitions = division.partitions or decide_partitions(statistics, settings.factor_size, most)
    start = Start(settings, statistics.scale(settings), initial)
    if partitions == 1 and _in_memory(statistics):
        rounds = 1
        outcome, weights = _fit_in_one_task(packed, start, division.validation_fraction)
        for epoch in outcome.history:
            report(in_data_units(epoch, settings, start.scale))
    else:
        rounds = division.rounds_per_epoch or decide_rounds(statistics.training_rows, partitions)
        outcome, weights = _fit_in_rounds(
            packed, start, replace(division, partitions=partitions, rounds_per_epoch=rounds), report
        )
    if not (np.isfinite(weights.linear).all() and np.isfinite(weights.factors).all()):
        raise RuntimeError(
            "stepSize: training left the range of single precision; "
            f"found {settings.step_size:g}, expected a smaller step or features of smaller range"
        )
    return Fitted(
        weights=weights,
        num_features=statistics.num_features,
        history=[in_data_units(epoch, settings, start.scale) for epoch in outcome.history],
        best_epoch=outcome.best_epoch,
        stop_reason=outcome.stop_reason,
        rollbacks=outcome.rollbacks,
        partitions=partitions,
        rounds_per_epoch=rounds,
        statistics=statistics,
        seconds={"train": time.perf_counter() - begun},
    )


def in_data_units(epoch: Epoch, settings: Settings, scale: Scale) -> FitEpoch:
    """Training's half squared error of scaled labels as mean squared error; log-loss stays."""
    by = 2.0 * scale.label_deviation**2 if settings.loss is Loss.SQUARED else 1.0
    return FitEpoch(epoch.number, epoch.training_loss * by, epoch.validation_loss * by, epoch.seconds)


def _fit_in_one_task(
    packed: PackedData, start: Start, validation_fraction: float
) -> tuple[Outcome[Parameters], Weights]:
    shipped = ship(packed.spark, start)
    try:
        outcome, inverse_scale = train_in_one_task(
            packed.blocks,
            shipped,
            start.settings.factor_size,
            packed.statistics.has_values,
            validation_fraction,
        )
    finally:
        shipped.release()
    return outcome, start.finish(outcome.state, inverse_scale)


def _fit_in_rounds(
    packed: PackedData, start: Start, division: Division, report: Report
) -> tuple[Outcome[Parameters], Weights]:
    settings, statistics = start.settings, packed.statistics
    held_out = 0.0
    if not statistics.validation_rows:
        held_out = held_out_fraction(statistics.rows, division.validation_fraction)
    features = packed.features
    limits = driver_limits(packed.spark)
    check_model_size(limits, features.ids.size, settings.factor_size)
    sent = bytes_of_updates(features.ids.size, statistics.nonzeros, division, settings.factor_size)
    units = packed.units(
        division.partitions,
        division.rounds_per_epoch,
        held_out,
        settings.seed,
        on_executors=sent > most_to_collect(limits),
    )
    inverse_scale = features.inverse_scale if statistics.has_values else None
    state = start.at(features.ids, inverse_scale, features.counts)
    fixed = Fixed(inverse_scale, state.table[:, -1].copy())
    runner = RoundsRunner(
        packed.spark,
        units,
        division.partitions,
        division.rounds_per_epoch,
        settings,
        start.scale,
        fixed,
        statistics.active,
    )
    with runner:

        def run(settings: Settings, all_rows: bool, prior: Prior, report: Report) -> Outcome[Parameters]:
            runner.all_rows = all_rows
            warm, untrained = state, None
            if division.partitions > 1 and start.settings.max_epochs > 0:
                plan = Plan(0, 0, True, settings.step_size, 1.0, 1.0, prior=prior.first)
                warmed = runner.warm_up(state, plan, WARM_UP_ROWS)
                warm, untrained = (warmed.state if warmed.finite else state), warmed.start
            return train(
                runner,
                warm,
                settings,
                lambda epoch: report(in_data_units(epoch, settings, start.scale)),
                first_number=1,
                untrained=untrained,
                prior=prior,
            )

        judged = held_out > 0.0 or statistics.validation_rows > 0
        outcome = run(settings, False, settings.prior(judged), report)
        if held_out > REFIT_ABOVE:
            logger.info("training %d epochs on all rows", outcome.best_epoch)
            again = replace(settings, max_epochs=outcome.best_epoch, tol=-np.inf)
            final = run(again, True, outcome.prior, lambda epoch: None)
            outcome = replace(outcome, state=final.state)
    return outcome, start.finish(outcome.state, inverse_scale)
