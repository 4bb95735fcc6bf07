"""What a training run is asked to do, and what the data say about their own scale."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spark_fm.core.fm.losses import Loss
from spark_fm.core.fm.validation import LOSS, ValidationMetric

FloatArray = npt.NDArray[np.float32] | npt.NDArray[np.float64]


@dataclass(frozen=True)
class Settings:
    """Hyperparameters of one training run.

    Attributes
    ----------
    loss : which loss is minimised
    factor_size : K, the length of the factor vectors
    step_size : AdaGrad step
    reg_linear, reg_factors : L2 penalties on the weights and factors that a row touches
    reg_prior : strength p of a Gaussian prior: an L2 penalty of p m on each weight and p m sqrt(2 K) on each
        factor, m being the mean number of non-zeros of a row, once per epoch and so spread over the
        feature's occurrences. It keeps the sum over a row of m weights, or m^2 / 2 pairs, of order one.
    adapt_prior : whether validation rows choose the strength, see
        :func:`spark_fm.core.solver.early_stopping.judged`
    init_std : standard deviation of the initial factors
    max_epochs : passes over the data at most
    tol : relative improvement of the loss below which an epoch counts as none
    patience : epochs without improvement of the validation loss before training stops
    mini_batch_fraction : part of the rows that an epoch visits, drawn anew each epoch
    seed : every random choice derives from it
    validation_metric : by what validation rows judge
    penalty_factors : (first, end, factor) for ranges of features: all their L2 penalties are multiplied by the factor
    min_factor_count : features that occur in fewer training rows have a weight and no factors
    nonnegative : whether weights and factors are kept at or above 0
    fields : (first, end) of the features of each known field, ascending
    sampler_factor_size : of the models that a sampler draws; 0: as ``factor_size``
    samples_kept : how many of these are kept
    chains : how many chains of them are drawn side by side
    keeps_optimizer : whether a model to start from, and the one that is made, have the state of the optimizer
    """

    loss: Loss
    factor_size: int = 8
    fit_intercept: bool = True
    fit_linear: bool = True
    step_size: float = 0.1
    reg_linear: float = 0.003
    reg_factors: float = 0.01
    reg_prior: float = 0.3
    adapt_prior: bool = False
    init_std: float = 0.01
    max_epochs: int = 100
    tol: float = 1e-6
    patience: int = 7
    mini_batch_fraction: float = 1.0
    seed: int = 0
    validation_metric: ValidationMetric = LOSS
    penalty_factors: tuple[tuple[int, int, float], ...] = ()
    min_factor_count: int = 0
    nonnegative: bool = False
    fields: tuple[tuple[int, int], ...] = ()
    sampler_factor_size: int = 0
    samples_kept: int = 0
    chains: int = 1
    keeps_optimizer: bool = False

    @property
    def sampled_size(self) -> int:
        """K of the models that a sampler draws."""
        return self.sampler_factor_size or self.factor_size

    @property
    def centres(self) -> bool:
        """Whether dense features are centred: what that leaves behind needs an intercept and weights of either sign to
        go to.
        """
        return self.fit_intercept and self.fit_linear and not self.nonnegative

    @property
    def is_constrained(self) -> bool:
        """Whether features differ in more than how often they occur, see :class:`spark_fm.core.fm.constraints`."""
        return bool(self.penalty_factors) or self.min_factor_count > 1 or self.nonnegative

    @property
    def prior_of_factors(self) -> float:
        """How many times the prior's penalty on a weight that on a factor is: sqrt(2 K)."""
        return math.sqrt(2.0 * self.factor_size)

    def largest_penalty(self, step_size: float) -> float:
        """What takes a factor to zero in one first step: a larger penalty by the prior would overshoot."""
        return 1.0 / (step_size * max(self.prior_of_factors, 1.0))

    def prior(self, judged: bool) -> "Prior":
        """How strong the prior is while training goes on, where nothing is searched for.

        How much a prior helps depends on the data (``docs/regularisation.md``): it is worth 3 % of the loss where
        most features are rare and say little, and costs 13 % of the error where the factors of users with a few
        rows carry the model. So where validation rows judge (``judged``), it is weak until the model overfits.
        Where nothing judges, it is in between.
        """
        if not self.adapt_prior:
            return Prior(self.reg_prior, self.reg_prior)
        if judged:
            return Prior(self.reg_prior / 30.0, self.reg_prior)
        return Prior(self.reg_prior / 3.0, self.reg_prior / 3.0)


@dataclass(frozen=True)
class Prior:
    """Strengths of the prior: ``first`` for so many ``epochs``, ``later`` after them.

    ``epochs`` None leaves it to the validation loss when to change, and whether.
    """

    first: float
    later: float
    epochs: float | None = None

    @property
    def changes(self) -> bool:
        """Whether there are two strengths to choose from."""
        return self.first != self.later

    def at(self, epochs: float) -> float:
        """The strength after so many epochs."""
        return self.first if self.epochs is None or epochs < self.epochs else self.later


def spread(counts: FloatArray, mean_squared_norm: float) -> npt.NDArray[np.float32]:
    """The penalty per visit, at strength 1, on the weight of features that occur ``counts`` times, or in rows of such
    weights in all: float32 (m,).
    """
    return (mean_squared_norm / np.maximum(counts, 1.0)).astype(np.float32)


@dataclass(frozen=True)
class Scale:
    """The units in which training runs, so that one step size suits all data.

    Labels are trained as (label - label_mean) / label_deviation for regression and as they are for
    classification; weights, where rows are ``weighted``, are divided by ``weight_mean``: by their mean for AdaGrad, for
    which only their ratios matter, and by what counts as one row for a sampler.
    A row of ``usual_weight`` says as much as one of as many rows of equal weights as all together are worth: rows of
    next to no weight do not change it.
    """

    label_mean: float = 0.0
    label_deviation: float = 1.0
    weight_mean: float = 1.0
    intercept: float = 0.0
    mean_squared_norm: float = 0.0
    weighted: bool = False
    usual_weight: float = 1.0

    @property
    def effective(self) -> float:
        """The part of as many rows of equal weights that says as much as the rows (L. Kish, Survey Sampling, 1965):
        (sum of c)^2 / (rows * sum of c^2).
        """
        return self.weight_mean / self.usual_weight

    @classmethod
    def of(
        cls,
        settings: Settings,
        weight_mean: float,
        label_mean: float,
        label_variance: float,
        mean_squared_norm: float = 0.0,
        weighted: bool = False,
        usual_weight: float = 1.0,
    ) -> "Scale":
        """The scale of data whose (weighted) labels have the given mean and variance."""
        label = settings.loss.label_scale(label_mean, label_variance, settings.fit_intercept)
        return cls(
            label.mean,
            label.deviation,
            weight_mean,
            label.intercept,
            mean_squared_norm,
            weighted,
            usual_weight,
        )
