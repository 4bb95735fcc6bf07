"""Block Gibbs sampling of packed data: all sweeps in one task."""

from spark_fm.core.fm.weights import ParameterInit
from spark_fm.core.solver.gibbs.in_memory import sample_in_memory
from spark_fm.engine.cluster.broadcast import ship
from spark_fm.engine.packing.packed_data import PackedData
from spark_fm.engine.training.adagrad import in_data_units
from spark_fm.engine.training.parallelism import fits_in_memory
from spark_fm.engine.training.single_task import train_in_one_task
from spark_fm.engine.training.solver import Parallelism, Report, Solved


class Gibbs:
    """The posterior mean by block Gibbs sampling, see ``docs/gibbs.md`` (a :class:`Solver`)."""

    def fit(
        self, packed: PackedData, init: ParameterInit, parallelism: Parallelism, report: Report
    ) -> Solved:
        """All sweeps in one task, whatever the parallelism. The arguments are those of a :class:`Solver`."""
        statistics, settings = packed.statistics, init.settings
        if settings.loss.is_binary:
            raise ValueError("solver: found 'gibbs', which is for regression; expected 'adagrad'")
        if not fits_in_memory(statistics):
            raise ValueError(
                f"solver: 'gibbs' samples in one task, which has no room for {statistics.rows} rows of "
                f"{statistics.nonzeros} non-zeros; expected fewer of them, or 'adagrad'"
            )
        shipped = ship(packed.spark, init)
        try:
            outcome, scaling = train_in_one_task(
                packed.blocks, shipped, settings.factor_size, statistics.census, sample_in_memory
            )
        finally:
            shipped.release()
        history = [in_data_units(epoch, settings, init.scale) for epoch in outcome.history]
        for epoch in history:
            report(epoch)
        return Solved(
            weights=init.finish(outcome.state, scaling),
            history=history,
            best_epoch=outcome.best_epoch,
            stop_reason=outcome.stop_reason,
            rollbacks=0,
            judged_rows=0,
            partitions=1,
            rounds_per_epoch=1,
        )
