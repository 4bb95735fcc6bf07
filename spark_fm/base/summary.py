"""What a training run tells: losses by epoch, time by phase, why it stopped."""

from dataclasses import asdict, dataclass, field, fields
from math import isnan, nan
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from spark_fm.core.fm.fields import FieldLayout
from spark_fm.engine.training.fit import Fitted
from spark_fm.engine.training.solver import FitEpoch

NEWER = {"validationMetric", "chains", "rHat", "sampledFields"}


@dataclass(frozen=True)
class FMTrainingSummary:
    """The story of one training run.

    Attributes
    ----------
    lossName : str
        "mean squared error" or "log-loss"
    trainingLoss : list of float, one per epoch
        Mean loss of the rows as the epoch visited them, each before its own step.
    validationLoss : list of float, one per epoch
        Mean loss of the validation rows, or of the rows held out to choose the number of epochs, after the epoch;
        NaN when there are none. With another ``validationMetric`` that: rmse, mae, or 1 - areaUnderROC, so that
        smaller is better.
    bestEpoch : int
        The epoch whose parameters the model has; counted from 1, 0 is the start.
    stopReason : str
        "patience" (the validation loss stopped improving), "noImprovement" (no epoch was better than the constant, or
        than initialModel: that is the model), "tol" (the training loss stopped improving), "maxIter", or
        "diverged" (the model has the last good parameters), "sampled" (solver gibbs
        draws ``maxIter`` sweeps), or "stopped" (by the user, while it sampled in rounds).
    rows, trainingRows, nonzeros : int
        Rows of a weight above 0, those of them not marked for validation, and stored feature values.
    validationRows : int
        How many rows decided when to stop: those marked for validation, or held out to choose the number of epochs
        (each time, where that is done several times). Where it is 0, nothing could: training ended by tol or maxIter.
    partitions, roundsPerEpoch : int
        How the work was divided.
    seconds : dict of str to float
        Wall-clock seconds by phase: "pack", "train", and where rounds were Spark jobs, the sums of ``epochSeconds``.
    epochSeconds : list of dict of str to float
        For each epoch whose rounds were Spark jobs, seconds by phase: "parameters out" (the driver ships them), then
        in the workers, as if all cores were equally busy, "parameters in", "blocks in" (waiting for rows), "kernel"
        and "updates", then "Spark" (the rest of the job) and "merge".
    validationMetric : str
        By what validation rows judged.
    chains : int
        Of solver gibbs, how many; else 0.
    rHat : dict of str to float
        Of solver gibbs split R-hat: "prediction", of the predictions of 100 rows, at most 1.1 where the chains have
        met, and "noise", of the noise's precision, which is above 1.5 after many a good fit.
    sampledFields : dict of str to int
        Of solver gibbs the fields whose features had a prior in common, by name or "first..last" id, and how many
        features each has.

    Examples
    --------
    >>> from spark_fm import FMRegressor
    >>> rows = [([u, 20 + i], float((u + i) % 2)) for u in range(20) for i in range(10)]
    >>> frame = spark.createDataFrame(rows, "features array<int>, label double").coalesce(1)
    >>> summary = FMRegressor(factorSize=4, maxIter=40, seed=1).fit(frame).summary
    >>> summary.lossName, summary.rows, summary.validationRows, summary.partitions
    ('mean squared error', 200, 20, 1)
    >>> len(summary.validationLoss) == summary.totalIterations
    True
    >>> summary.validationLoss[summary.bestEpoch - 1] == min(summary.validationLoss)
    True
    >>> summary.seconds.keys() >= {"pack", "train"}
    True
    """

    lossName: str
    trainingLoss: list[float]
    validationLoss: list[float]
    bestEpoch: int
    stopReason: str
    rows: int
    trainingRows: int
    nonzeros: int
    validationRows: int
    partitions: int
    roundsPerEpoch: int
    seconds: dict[str, float]
    epochSeconds: list[dict[str, float]]
    validationMetric: str = "loss"
    chains: int = 0
    rHat: dict[str, float] = field(default_factory=dict)
    sampledFields: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(
        cls, fitted: Fitted, loss_name: str, validation_metric: str, layout: FieldLayout | None = None
    ) -> "FMTrainingSummary":
        """The summary of a finished run; the ``layout`` has the names of fields."""
        seconds, solved, statistics = dict(fitted.seconds), fitted.solved, fitted.statistics
        sampler = solved.sampler
        for epoch in solved.history:
            for phase, spent in epoch.seconds.items():
                seconds[phase] = seconds.get(phase, 0.0) + spent
        return cls(
            lossName=loss_name,
            trainingLoss=[epoch.training_loss for epoch in solved.history],
            validationLoss=[epoch.validation_loss for epoch in solved.history],
            bestEpoch=solved.best_epoch,
            stopReason=solved.stop_reason,
            rows=statistics.rows,
            trainingRows=statistics.training_rows,
            nonzeros=statistics.nonzeros,
            validationRows=solved.judged_rows,
            partitions=solved.partitions,
            roundsPerEpoch=solved.rounds_per_epoch,
            seconds=seconds,
            epochSeconds=[epoch.seconds for epoch in solved.history if epoch.seconds],
            validationMetric=validation_metric,
            chains=sampler.chains if sampler else 0,
            rHat=dict(sampler.r_hat) if sampler else {},
            sampledFields={_named(ids, layout): size for ids, size in sampler.fields.items()}
            if sampler
            else {},
        )

    def to_json(self) -> dict[str, Any]:
        """What JSON can hold: where there is no loss, None."""
        found = asdict(self)
        found["trainingLoss"] = [None if isnan(loss) else loss for loss in self.trainingLoss]
        found["validationLoss"] = [None if isnan(loss) else loss for loss in self.validationLoss]
        found["rHat"] = {name: None if isnan(value) else value for name, value in self.rHat.items()}
        return found

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> "FMTrainingSummary":
        """The inverse of :meth:`to_json`.

        Raises
        ------
        ValueError
            When an entry is missing, or is none.
        """
        names = {one.name for one in fields(cls)}
        # Models of version 0.2 were all judged by the loss, and don't say so; nor do they know of samplers.
        if not isinstance(found, dict) or found.keys() | NEWER != names:
            raise ValueError(f"found the summary {found!r}, expected the entries {', '.join(sorted(names))}")
        losses = {
            name: [nan if loss is None else float(loss) for loss in found[name]]
            for name in ("trainingLoss", "validationLoss")
        }
        r_hat = {
            name: nan if value is None else float(value) for name, value in found.get("rHat", {}).items()
        }
        return cls(**(found | losses | {"rHat": r_hat}))

    @property
    def totalIterations(self) -> int:
        """Number of epochs run, those after the best one included."""
        return len(self.trainingLoss)

    @property
    def objectiveHistory(self) -> list[float]:
        """The training loss of each epoch: pyspark.ml's name for :attr:`trainingLoss`."""
        return self.trainingLoss

    def plot(self, path: str | Path) -> None:
        """Draw the learning curve to an image file (needs matplotlib: the extra ``plots``).

        Raises
        ------
        ImportError
            When matplotlib is not installed.
        """
        from matplotlib.figure import Figure

        figure = Figure(figsize=(7, 4.2), layout="constrained")
        axes: Any = figure.subplots()
        epochs = range(1, self.totalIterations + 1)
        axes.plot(epochs, self.trainingLoss, marker="o", markersize=3, label="training")
        if self.validationMetric in ("loss", "logLoss"):
            axes.plot(epochs, self.validationLoss, marker="o", markersize=3, label="validation")
        else:
            # It has other units than the loss.
            name = "1 - areaUnderROC" if self.validationMetric == "areaUnderROC" else self.validationMetric
            beside = axes.twinx()
            beside.set_ylabel(f"{name} of the validation rows")
            axes.plot([], [], color="C1", marker="o", markersize=3, label=f"validation: {name}")
            beside.plot(epochs, self.validationLoss, color="C1", marker="o", markersize=3)
        if self.bestEpoch:
            axes.axvline(self.bestEpoch, color="grey", linestyle=":", label="best epoch")
        axes.set(xlabel="epoch", ylabel=self.lossName, title="Learning curve")
        axes.legend()
        figure.savefig(path, dpi=150)


def _named(ids: tuple[int, int], layout: FieldLayout | None) -> str:
    """The name of the field that has the features from first to last, where there is one."""
    numbers = (layout or FieldLayout(())).field_numbers(np.array(ids))
    if layout is not None and numbers[0] == numbers[1] >= 0:
        return layout.fields[int(numbers[0])].name
    return f"{ids[0]}..{ids[1]}" if ids[0] != ids[1] else str(ids[0])


class Progress:
    """A progress bar over epochs with the losses beside it; silent unless ``shown``."""

    def __init__(self, epochs: int, shown: bool) -> None:
        self._bar = tqdm(total=epochs, unit="epoch", disable=not shown, desc="FM")

    def __call__(self, epoch: FitEpoch) -> None:
        """Show one finished epoch."""
        losses = {"training": f"{epoch.training_loss:.5g}"}
        if epoch.validation_loss == epoch.validation_loss:
            losses["validation"] = f"{epoch.validation_loss:.5g}"
        self._bar.set_postfix(losses)
        # An epoch may be taken back.
        self._bar.update(epoch.number - self._bar.n)

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.close()
