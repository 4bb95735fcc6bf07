"""Weights: a trained model in the units of the data, and the way from and to the units of training."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from spark_fm.core.parameters import Parameters, initial_parameters, padded
from spark_fm.core.settings import Scale, Settings, spread

FloatArray = npt.NDArray[np.float32]
LongArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Weights:
    """A Factorization Machine: z(x) = intercept + sum w_i x_i + sum_{i<j} <v_i, v_j> x_i x_j.

    Attributes
    ----------
    features : int64 (m,), ascending
        Ids of the features that have parameters; any other contributes nothing.
    linear : float32 (m,)
        w
    factors : float32 (m, K)
        V
    intercept : float
        w0
    """

    features: LongArray
    linear: FloatArray
    factors: FloatArray
    intercept: float

    @property
    def table(self) -> FloatArray:
        """The weights in the layout that :func:`spark_fm.core.kernel.score_rows` reads."""
        size = self.factors.shape[1]
        table = np.zeros((self.features.size, padded(size) + 4), np.float32)
        table[:, :size] = self.factors
        table[:, -4] = self.linear
        return table

    def find(self, ids: LongArray) -> npt.NDArray[np.intp]:
        """Rows of the given ids, -1 where an id has no parameters."""
        if not self.features.size:
            return np.full(ids.shape, -1, np.intp)
        rows = np.searchsorted(self.features, ids)
        rows[rows == self.features.size] = 0
        return np.where(self.features[rows] == ids, rows, -1)


@dataclass(frozen=True)
class Start:
    """Where training starts from: fresh parameters, and an earlier model's where there is one."""

    settings: Settings
    scale: Scale
    model: Weights | None = None

    def at(
        self,
        features: LongArray,
        inverse_scale: FloatArray | None,
        counts: npt.NDArray[np.float64] | None = None,
    ) -> Parameters:
        """Parameters, in the units of training, whose rows follow ``features`` (in any order).

        ``counts`` says how often each feature occurs; without it there is no prior.
        """
        settings = self.settings
        ascending = np.sort(features)
        intercept = self.scale.intercept
        if self.model is not None and settings.fit_intercept:
            intercept = (self.model.intercept - self.scale.label_mean) / self.scale.label_deviation
        made = initial_parameters(
            ascending, settings.factor_size, intercept, settings.init_std, settings.seed
        )
        table = made.table[np.searchsorted(ascending, features)]
        if counts is not None:
            table[:, -1] = spread(counts, self.scale.active)
        if self.model is not None:
            rows = self.model.find(features)
            here = rows >= 0
            inverse = np.ones(features.size) if inverse_scale is None else inverse_scale
            by = 1.0 / (inverse[here].astype(np.float64))
            deviation = self.scale.label_deviation
            table[here, -4] = self.model.linear[rows[here]] * by / deviation
            table[here, : settings.factor_size] = (
                self.model.factors[rows[here]] * (by / np.sqrt(deviation))[:, None]
            )
        return replace(made, features=features, table=table)

    def finish(self, trained: Parameters, inverse_scale: FloatArray | None) -> Weights:
        """The trained parameters in the units of the data.

        Features that no step has touched are left out; those of an earlier model stay as they were.
        """
        settings, scale, K = self.settings, self.scale, trained.factor_size
        untouched = 0.0 if self.model is None else self.at(trained.features, inverse_scale).linear
        # A step with a tiny gradient moves the weight but leaves an accumulator of 1.0 as it is in float32.
        touched = (trained.table[:, -3:-1] > 1.0).any(axis=1) | (trained.linear != untouched)
        features = trained.features[touched]
        order = np.argsort(features)
        inverse = np.ones(touched.size) if inverse_scale is None else inverse_scale
        by = inverse[touched][order].astype(np.float64)
        deviation = scale.label_deviation
        linear = trained.linear[touched][order] * by * deviation
        factors = trained.factors[touched][order] * (by * np.sqrt(deviation))[:, None]
        if not settings.fit_linear:
            linear = np.zeros_like(linear)
        intercept = float(trained.intercept[0]) * deviation + scale.label_mean
        weights = Weights(features[order], linear.astype(np.float32), factors.astype(np.float32), intercept)
        if self.model is None:
            return weights
        old = np.setdiff1d(self.model.features, weights.features)
        rows = self.model.find(old)
        union = np.concatenate([weights.features, old])
        order = np.argsort(union)
        return Weights(
            union[order],
            np.concatenate([weights.linear, self.model.linear[rows]])[order],
            np.concatenate([weights.factors, self.model.factors[rows].reshape(-1, K)])[order],
            intercept,
        )
