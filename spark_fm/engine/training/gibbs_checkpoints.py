"""What a fit that samples in rounds writes down after a sweep, and how it goes on from there."""

import math
from collections.abc import Callable

from spark_fm.core.solver.gibbs.grouped import Residuals
from spark_fm.core.solver.gibbs.judge import Judge
from spark_fm.core.solver.gibbs.samples import Collector
from spark_fm.core.solver.gibbs.state import ChainState
from spark_fm.core.solver.plan import Epoch
from spark_fm.engine.training.checkpoints import Checkpoint, Checkpoints

SOLVER = "gibbs"


def write(
    checkpoints: Checkpoints,
    partitions: int,
    sweep: int,
    residuals: Residuals,
    state: ChainState,
    collector: Collector,
    judge: Judge | None,
) -> None:
    """Write down all that the sweeps after this one depend on."""
    collected, arrays = collector.state()
    numbers = {
        "partitions": partitions,
        "sweep": sweep,
        "intercept": state.intercept,
        "noise": state.noise,
        "residuals": list(residuals),
        "collected": collected,
    }
    arrays["theta"] = state.theta
    if judge is not None:
        numbers["judged"], arrays["judged"] = judge.state()
    checkpoints.write(SOLVER, numbers, arrays)


def gone_on(
    found: Checkpoint,
    state: ChainState,
    collector: Collector,
    judge: Judge | None,
    report: Callable[[Epoch], None],
) -> tuple[int, Residuals]:
    """The number of the next sweep, and what the last one left over; its sweeps are reported again."""
    numbers, arrays = found.numbers, found.arrays
    state.noise = numbers["noise"]
    collector.restore(numbers["collected"], arrays)
    if judge is not None:
        judge.restore(numbers["judged"], arrays["judged"])
    for sweep, loss in enumerate(collector.losses):
        judged = collector.validation[sweep] if collector.validation else math.nan
        report(Epoch(sweep + 1, loss, judged, {}))
    return numbers["sweep"] + 1, Residuals(*numbers["residuals"])
