"""What takes part in a comparison: something that fits a data set and tells how well, how fast and how large."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from benchmarks.memory import PeakMemory
from benchmarks.sets import DataSet

DoubleArray = npt.NDArray[np.float64]

SCORED_ROWS = 400_000


@dataclass(frozen=True)
class Fit:
    """One fit.

    Attributes
    ----------
    seconds : of the fit alone, packing included
    metrics : of the test rows; the first one decides
    memory : cells of the peak memory during the fit
    rows_per_second : scored, the second time
    """

    seconds: float
    metrics: dict[str, float]
    memory: dict[str, object]
    rows_per_second: float = float("nan")

    @property
    def quality(self) -> float:
        """The metric that decides: RMSE or log-loss."""
        return next(iter(self.metrics.values()))


class Contender(Protocol):
    """A model with its params on one data set."""

    name: str
    family: str

    def curve(self) -> list[float]:
        """The deciding test metric after 1, 2, ... epochs; empty when it cannot be told by epoch."""

    def fit(self, epochs: int | None = None) -> Fit:
        """Fit for so many epochs; None: as its user would."""

    def close(self) -> None:
        """Give back what is held."""


def deciding_metric(data: DataSet) -> str:
    """The metric by which models are compared on a set; smaller is better."""
    return "log-loss" if data.binary else "RMSE"


def metrics(data: DataSet, label: DoubleArray, score: DoubleArray) -> dict[str, float]:
    """RMSE of predictions; or log-loss and AUC of probabilities of class 1."""
    if not data.binary:
        return {"RMSE": float(np.sqrt(np.mean((label - score) ** 2)))}
    p = np.clip(score, 1e-15, 1.0 - 1e-15)
    loss = -np.mean(np.where(label > 0, np.log(p), np.log1p(-p)))
    # Ties get the mean of their ranks.
    _, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    positives = float(label.sum())
    area = (ranks[label > 0].sum() - positives * (positives + 1) / 2) / (positives * (label.size - positives))
    return {"log-loss": float(loss), "AUC": float(area)}


def peer_memory(memory: PeakMemory) -> dict[str, object]:
    """Cells of a single-machine peer: its process is the driver."""
    return {"driver Python MB": round(memory.others)}
