"""The solver that suits the data: the sampler for ratings and their like, AdaGrad for all else."""

import warnings

from spark_fm.core.fm.settings import Settings
from spark_fm.core.fm.weights import ParameterInit
from spark_fm.engine.packing.packed_data import PackedData
from spark_fm.engine.packing.statistics import Statistics
from spark_fm.engine.training.adagrad import AdaGrad
from spark_fm.engine.training.checkpoints import Checkpoints
from spark_fm.engine.training.gibbs import Gibbs
from spark_fm.engine.training.solver import Parallelism, Report, Solved

MOST_NONZEROS_A_ROW = 16


class Auto:
    """The sampler for regressions on rows of few features that it can draw; else AdaGrad (a :class:`Solver`)."""

    def fit(
        self,
        packed: PackedData,
        init: ParameterInit,
        parallelism: Parallelism,
        report: Report,
        checkpoints: Checkpoints | None = None,
    ) -> Solved:
        """The arguments are those of a :class:`Solver`; the sampler's ``maxIter`` sweeps are its own."""
        if _suits_the_sampler(init.settings, packed.statistics):
            try:
                return Gibbs().fit(packed, init, parallelism, report, checkpoints)
            except ValueError as error:
                warnings.warn(f"solver: 'auto' takes 'adagrad', since {error}", stacklevel=2)
        return AdaGrad().fit(packed, init, parallelism, report, checkpoints)


def _suits_the_sampler(settings: Settings, statistics: Statistics) -> bool:
    few = statistics.nonzeros <= MOST_NONZEROS_A_ROW * statistics.rows
    whole = settings.mini_batch_fraction == 1.0
    return few and whole and not settings.loss.is_binary and not settings.is_constrained
