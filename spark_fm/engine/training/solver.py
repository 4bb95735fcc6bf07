"""The seam at which solvers plug in: what each is given, and what it returns."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from spark_fm.core.fm.posterior import Posterior
from spark_fm.core.fm.scaling import FeatureCounts
from spark_fm.core.fm.weights import ParameterInit, Weights
from spark_fm.engine.packing.packed_data import PackedData
from spark_fm.engine.training.checkpoints import Checkpoints

Report = Callable[["FitEpoch"], None]
STOP_REASONS = ("patience", "tol", "maxIter", "noImprovement", "diverged", "sampled", "stopped")


@dataclass(frozen=True)
class FitEpoch:
    """One epoch in the units of the data: mean squared error or log-loss, of validation rows the metric that judges
    (smaller is better), and seconds by phase.
    """

    number: int
    training_loss: float
    validation_loss: float
    seconds: dict[str, float]


@dataclass(frozen=True)
class Parallelism:
    """How the work is divided: partitions, rounds per epoch, part of the rows held out to choose epochs."""

    partitions: int
    rounds_per_epoch: int
    validation_fraction: float


@dataclass(frozen=True)
class SamplerReport:
    """How a sampler went.

    Attributes
    ----------
    chains : how many
    r_hat : split R-hat of what was watched, by its name
    fields : how many features each field has that had a prior, by its first and last
    posterior : samples, where they were asked for
    still_falling : whether the loss was much lower in the last quarter of the sweeps than in the one before
    """

    chains: int
    r_hat: dict[str, float]
    fields: dict[tuple[int, int], int]
    posterior: Posterior | None = None
    still_falling: bool = False


@dataclass(frozen=True)
class Solved:
    """A trained model in the units of the data, and the story of its training.

    Attributes
    ----------
    weights : the model
    history : one line for each epoch
    best_epoch : after which epoch the model was taken, 0 for the parameters to begin with
    stop_reason : one of ``STOP_REASONS``
    rollbacks : how many rounds were taken back
    judged_rows : how many rows decided when to stop
    partitions, rounds_per_epoch : how the work was divided
    counted : what the training rows say of each feature, where the solver knows it
    sampler : of a sampler
    """

    weights: Weights
    history: list[FitEpoch]
    best_epoch: int
    stop_reason: str
    rollbacks: int
    judged_rows: int
    partitions: int
    rounds_per_epoch: int
    counted: FeatureCounts | None = None
    sampler: SamplerReport | None = None


class FitStoppedError(KeyboardInterrupt):
    """Somebody stopped a fit that had ``solved`` something already."""

    def __init__(self, solved: Solved) -> None:
        super().__init__(
            "the fit was stopped; the estimator's stoppedModel is the mean of the sweeps until then"
        )
        self.solved = solved


class Solver(Protocol):
    """Finds the weights of a Factorization Machine on packed data."""

    def fit(
        self,
        packed: PackedData,
        init: ParameterInit,
        parallelism: Parallelism,
        report: Report,
        checkpoints: Checkpoints | None = None,
    ) -> Solved:
        """Train from ``init``, which has the settings too.

        Parameters
        ----------
        parallelism : 0 partitions or rounds per epoch means: decide by the work
        report : to be called after each epoch; after the job when all epochs run in one
        checkpoints : where to write some, and what to go on from; all that runs in one job has none

        Raises
        ------
        ValueError
            When the driver has no room for a model of this size, or the data are not what the solver is for.
        """
