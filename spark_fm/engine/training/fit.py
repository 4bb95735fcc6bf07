"""From packed data to a trained model: by the solver that was asked for."""

import time
from dataclasses import dataclass, field

import numpy as np

from spark_fm.core.fm.settings import Settings
from spark_fm.core.fm.weights import ParameterInit, Weights
from spark_fm.engine.packing.packed_data import PackedData
from spark_fm.engine.packing.statistics import Statistics
from spark_fm.engine.training.adagrad import AdaGrad
from spark_fm.engine.training.auto import Auto
from spark_fm.engine.training.checkpoints import Checkpoints
from spark_fm.engine.training.gibbs import Gibbs
from spark_fm.engine.training.solver import Parallelism, Report, Solved, Solver

SOLVERS: dict[str, Solver] = {"adagrad": AdaGrad(), "gibbs": Gibbs(), "auto": Auto()}


@dataclass(frozen=True)
class Fitted:
    """What a fit has found, on what data, and the seconds of its phases."""

    solved: Solved
    statistics: Statistics
    seconds: dict[str, float] = field(default_factory=dict)


def is_still_falling(solved: Solved, tol: float) -> bool:
    """Whether training stopped at maxIter although its last epoch was an improvement."""
    losses = [e.validation_loss if solved.judged_rows else e.training_loss for e in solved.history]
    if solved.stop_reason != "maxIter" or len(losses) < 2:
        return False
    return losses[-1] < min(losses[:-1]) * (1.0 - tol)


def fit_packed(
    packed: PackedData,
    settings: Settings,
    parallelism: Parallelism,
    initial: Weights | None,
    report: Report,
    solver: str = "adagrad",
    checkpoints: Checkpoints | None = None,
) -> Fitted:
    """Train a model on packed data.

    Parameters
    ----------
    parallelism, report, checkpoints : see :meth:`spark_fm.engine.training.solver.Solver.fit`
    initial : a model to start from
    solver : its name in ``SOLVERS``

    Raises
    ------
    RuntimeError
        When training never got anywhere without numbers that are not finite.
    ValueError
        As of the solver.
    """
    begun = time.perf_counter()
    init = ParameterInit(settings, packed.statistics.scale(settings), initial)
    with packed.blamed():
        solved = SOLVERS[solver].fit(packed, init, parallelism, report, checkpoints)
    if not (np.isfinite(solved.weights.linear).all() and np.isfinite(solved.weights.factors).all()):
        raise RuntimeError(
            "stepSize: training left the range of single precision; "
            f"found {settings.step_size:g}, expected a smaller step or features of smaller range"
        )
    if checkpoints is not None:
        checkpoints.clear()
    return Fitted(solved, packed.statistics, {"train": time.perf_counter() - begun})
