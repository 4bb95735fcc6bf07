"""Block Gibbs sampling of packed data: whole chains in tasks, or one chain whose fields are drawn in rounds."""

import warnings
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from spark_fm.core.fm.posterior import Posterior
from spark_fm.core.fm.scaling import FeatureCounts, FeatureScaling
from spark_fm.core.fm.settings import Settings
from spark_fm.core.fm.weights import ParameterInit
from spark_fm.core.solver.gibbs.convergence import is_still_falling, r_hat
from spark_fm.core.solver.gibbs.samples import Samples, parameters_of
from spark_fm.core.solver.plan import Epoch
from spark_fm.engine.cluster.broadcast import ship
from spark_fm.engine.cluster.execute import task_slots
from spark_fm.engine.packing.packed_data import PackedData
from spark_fm.engine.packing.statistics import Statistics
from spark_fm.engine.training.adagrad import in_data_units
from spark_fm.engine.training.checkpoints import Checkpoints
from spark_fm.engine.training.gibbs_rounds import SOLVER, sample_in_rounds
from spark_fm.engine.training.gibbs_task import Sampled, sample_in_tasks
from spark_fm.engine.training.parallelism import decide_partitions_of_sampler, fits_in_memory
from spark_fm.engine.training.solver import FitStoppedError, Parallelism, Report, SamplerReport, Solved

# Weights of more than so many rows a row, or of less than one for so many, are not what rows were counted by.
MOST_A_ROW = 3.0


class Gibbs:
    """The posterior mean by block Gibbs sampling, see ``docs/gibbs.md`` (a :class:`Solver`)."""

    def fit(
        self,
        packed: PackedData,
        init: ParameterInit,
        parallelism: Parallelism,
        report: Report,
        checkpoints: Checkpoints | None = None,
    ) -> Solved:
        """Small work in one task for each chain; larger in rounds. The arguments are those of a :class:`Solver`."""
        statistics, settings = packed.statistics, init.settings
        _check(settings)
        init = replace(init, scale=replace(init.scale, weight_mean=_weight_of_row(statistics)))
        most = task_slots(packed.spark, len(statistics.sources))
        resumed = checkpoints.resumed(SOLVER) if checkpoints else None
        partitions = parallelism.partitions or (
            resumed.numbers["partitions"]
            if resumed
            else decide_partitions_of_sampler(statistics, settings.sampled_size, most)
        )
        one_task = partitions == 1 and fits_in_memory(statistics)
        try:
            if one_task:
                sampled = _in_tasks(packed, init, report)
            else:
                sampled = sample_in_rounds(
                    packed, init, partitions, lambda epoch: report(in_data_units(epoch, settings, init.scale)),
                    checkpoints,
                )  # fmt: skip
        except FloatingPointError as error:
            raise ValueError(str(error)) from error
        solved = _solved(sampled, init, partitions)
        if sampled.stopped:
            raise FitStoppedError(solved)
        return solved


def _weight_of_row(statistics: Statistics) -> float:
    """The weight that counts as one row: 1, since weights are counts. Where they can't be, only their ratios count, and
    they sum to as many rows as they are worth.
    """
    rows, total, largest = statistics.training_rows, statistics.weight_sum, statistics.weight_max
    if total <= MOST_A_ROW * rows and largest * MOST_A_ROW >= 1.0:
        return 1.0
    warnings.warn(
        f"weightCol: solver 'gibbs' takes weights for counts of rows, and those of {rows:,} rows sum to {total:.4g}, "
        f"the largest being {largest:.4g}; expected a sum of at most {MOST_A_ROW:g} a row and some weight of 1 / "
        f"{MOST_A_ROW:g}: only their ratios count, as if they summed to {total / statistics.usual_weight:.4g}",
        stacklevel=2,
    )
    return statistics.usual_weight


def _in_tasks(packed: PackedData, init: ParameterInit, report: Report) -> Sampled:
    settings = init.settings
    shipped = ship(packed.spark, init)
    try:
        sampled = sample_in_tasks(
            packed.blocks, shipped, packed.statistics.census, settings.chains, settings.factor_size,
            init.scale.weight_mean,
        )  # fmt: skip
    finally:
        shipped.release()
    for epoch in _history(sampled.samples):
        report(in_data_units(epoch, settings, init.scale))
    return sampled


def _solved(sampled: Sampled, init: ParameterInit, partitions: int) -> Solved:
    samples, scaling, counted, stopped = sampled
    settings = init.settings
    history = [in_data_units(epoch, settings, init.scale) for epoch in _history(samples)]
    return Solved(
        weights=init.finish(samples.parameters(counted.ids, settings.factor_size), scaling),
        history=history,
        best_epoch=len(history),
        stop_reason="stopped" if stopped else "sampled",
        rollbacks=0,
        judged_rows=0,
        partitions=partitions,
        rounds_per_epoch=1,
        counted=counted,
        sampler=_report(samples, init, scaling, counted),
    )


def _check(settings: Settings) -> None:
    """What is asked for must be what the sampler does.

    Raises
    ------
    ValueError
        Naming the param.
    """
    for name, found, wanted in (
        ("solver", "'gibbs', which is for regression", not settings.loss.is_binary),
        ("keepOptimizerState", "True with solver 'gibbs'", not settings.keeps_optimizer),
        ("nonnegative", "True with solver 'gibbs'", not settings.nonnegative),
        (
            "minFactorCount",
            f"{settings.min_factor_count} with solver 'gibbs'",
            settings.min_factor_count <= 1,
        ),
        ("regParamByField", "penalties with solver 'gibbs'", not settings.penalty_factors),
        (
            "miniBatchFraction",
            f"{settings.mini_batch_fraction} with solver 'gibbs'",
            settings.mini_batch_fraction == 1.0,
        ),
    ):
        if not wanted:
            raise ValueError(f"{name}: found {found}; expected its default, or solver 'adagrad'")


def _history(samples: Samples) -> Sequence[Epoch]:
    """The sweeps, each the mean of the chains'."""
    losses = samples.losses.mean(axis=0)
    judged = samples.validation.mean(axis=0) if samples.validation.size else np.full(losses.size, np.nan)
    return [Epoch(i + 1, float(loss), float(judged[i]), {}) for i, loss in enumerate(losses)]


def _report(
    samples: Samples, init: ParameterInit, scaling: FeatureScaling, counted: FeatureCounts
) -> SamplerReport:
    settings = init.settings
    found = {"noise": r_hat(samples.noises), "prediction": r_hat(samples.predictions)}
    posterior = None
    if samples.kept_intercepts.size:
        size = settings.sampled_size
        weights = [
            init.finish(parameters_of(counted.ids, theta[:, 0], theta[:, 1:], intercept, size), scaling)
            for theta, intercept in zip(samples.kept, samples.kept_intercepts.tolist(), strict=True)
        ]
        posterior = Posterior.of(weights, init.scale.label_deviation**2 / samples.kept_noises)
    return SamplerReport(
        chains=len(samples.losses),
        r_hat=found,
        fields=_fields(samples, counted),
        posterior=posterior,
        still_falling=is_still_falling(samples.losses),
    )


def _fields(samples: Samples, counted: FeatureCounts) -> dict[tuple[int, int], int]:
    """How many features each field has, by its first and last id."""
    made = {}
    for number in range(int(samples.numbers.max(initial=-1)) + 1):
        ids = counted.ids[samples.numbers == number]
        if ids.size:
            made[int(ids.min()), int(ids.max())] = int(ids.size)
    return made
