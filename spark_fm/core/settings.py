"""What a training run is asked to do, and what the data say about their own scale."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spark_fm.core.loss import Loss, best_constant

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
    init_std : standard deviation of the initial factors
    max_epochs : passes over the data at most
    tol : relative improvement of the loss below which an epoch counts as none
    patience : epochs without improvement of the validation loss before training stops
    mini_batch_fraction : part of the rows that an epoch visits, drawn anew each epoch
    seed : every random choice derives from it
    """

    loss: Loss
    factor_size: int = 8
    fit_intercept: bool = True
    fit_linear: bool = True
    step_size: float = 0.1
    reg_linear: float = 0.003
    reg_factors: float = 0.01
    reg_prior: float = 0.3
    init_std: float = 0.01
    max_epochs: int = 100
    tol: float = 1e-6
    patience: int = 10
    mini_batch_fraction: float = 1.0
    seed: int = 0

    @property
    def prior_of_factors(self) -> float:
        """How many times the prior's penalty on a weight that on a factor is: sqrt(2 K)."""
        return math.sqrt(2.0 * self.factor_size)

    def own_penalties(self, counts: FloatArray, active: float) -> npt.NDArray[np.float32]:
        """The prior's penalty on the weight of features that occur ``counts`` times, per visit: float32 (m,).

        Never more than what takes a factor to zero in one first step: a larger penalty would overshoot.
        """
        largest = 1.0 / (self.step_size * max(self.prior_of_factors, 1.0))
        spread = self.reg_prior * active / np.maximum(counts, 1.0)
        return np.minimum(spread, largest).astype(np.float32)


@dataclass(frozen=True)
class Scale:
    """The units in which training runs, so that one step size suits all data.

    Labels are trained as (label - label_mean) / label_deviation for regression and as they are for
    classification; weights are divided by ``weight_mean``, so only their ratios matter. ``active`` is the mean number
    of non-zeros of a row.
    """

    label_mean: float = 0.0
    label_deviation: float = 1.0
    weight_mean: float = 1.0
    intercept: float = 0.0
    active: float = 0.0

    @classmethod
    def of(
        cls,
        settings: Settings,
        weight_mean: float,
        label_mean: float,
        label_variance: float,
        active: float = 0.0,
    ) -> "Scale":
        """The scale of data whose (weighted) labels have the given mean and variance.

        Without an intercept the label is not shifted, only divided by its root mean square.
        """
        if settings.loss is Loss.LOGISTIC:
            start = best_constant(settings.loss, label_mean) if settings.fit_intercept else 0.0
            return cls(weight_mean=weight_mean, intercept=start, active=active)
        if settings.fit_intercept:
            deviation, shift = label_variance**0.5, label_mean
        else:
            deviation, shift = (label_variance + label_mean * label_mean) ** 0.5, 0.0
        # A constant label leaves only rounding behind: then there is nothing to divide by.
        if deviation <= 1e-9 * abs(label_mean) or deviation == 0.0:
            deviation = 1.0
        return cls(shift, deviation, weight_mean, active=active)
