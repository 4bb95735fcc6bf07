"""Weights: a trained model in the units of the data, and the way from and to the units of training."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from spark_fm.core.fm.constraints import Constraints
from spark_fm.core.fm.optimizer_state import OptimizerState
from spark_fm.core.fm.scaling import FeatureScaling
from spark_fm.core.fm.settings import Scale, Settings, spread
from spark_fm.core.fm.table import Parameters, aligned_table, initial_parameters, layout_of, over_rows

FloatArray = npt.NDArray[np.float32]
DoubleArray = npt.NDArray[np.float64]
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
    optimizer : OptimizerState or None
        What training can go on with, where it was kept.
    """

    features: LongArray
    linear: FloatArray
    factors: FloatArray
    intercept: float
    optimizer: OptimizerState | None = None

    @property
    def table(self) -> FloatArray:
        """The weights in the layout that :func:`spark_fm.core.solver.adagrad.step.score_rows` reads."""
        size = self.factors.shape[1]
        table = aligned_table(self.features.size, size)
        table[:] = 0.0
        table[:, :size] = self.factors
        table[:, layout_of(table).linear] = self.linear
        return table

    def find(self, ids: LongArray) -> npt.NDArray[np.intp]:
        """Rows of the given ids, -1 where an id has no parameters."""
        if not self.features.size:
            return np.full(ids.shape, -1, np.intp)
        rows = np.searchsorted(self.features, ids)
        rows[rows == self.features.size] = 0
        return np.where(self.features[rows] == ids, rows, -1)

    def renumbered(self, ids: LongArray) -> "Weights":
        """The same parameters under other ids, int64 (m,); features whose id is below 0 are left out."""
        rows = np.argsort(ids, kind="stable")[int((ids < 0).sum()) :]
        optimizer = self.optimizer
        if optimizer is not None:
            optimizer = replace(optimizer, roots=optimizer.roots[rows])
        return Weights(ids[rows], self.linear[rows], self.factors[rows], self.intercept, optimizer)


@dataclass(frozen=True)
class _Known:
    """Of the features that are ``here``: float32 (h,) weights, (h, K) factors and (h, 2) sums of squared gradients; and
    w0 and its sum: in the units of training.
    """

    here: npt.NDArray[np.bool_]
    linear: FloatArray
    factors: FloatArray
    intercept: float
    sums: FloatArray
    intercept_sum: float


@dataclass(frozen=True)
class ParameterInit:
    """Where training starts from: fresh parameters, and an earlier model's where there is one."""

    settings: Settings
    scale: Scale
    model: Weights | None = None

    @property
    def constant_loss(self) -> float:
        """The loss of the best constant prediction, in the units of training."""
        return self.settings.loss.constant_loss(self.scale.intercept)

    def at(
        self,
        features: LongArray,
        scaling: FeatureScaling | None = None,
        counts: npt.NDArray[np.float64] | None = None,
        weights: npt.NDArray[np.float64] | None = None,
    ) -> Parameters:
        """Parameters, in the units of training, whose rows follow ``features`` (in any order) as ``scaling`` does.

        Without a ``scaling`` the values are as the user gave them. ``counts`` says how often each feature occurs
        and ``weights``, where rows have some, how much these rows weigh; without counts there is no prior.
        """
        settings = self.settings
        made = initial_parameters(
            features, settings.factor_size, self.scale.intercept, settings.init_std, settings.seed
        )
        if counts is not None:
            made.feature_penalties[:] = spread(
                counts if weights is None else weights / self.scale.usual_weight, self.scale.mean_squared_norm
            )
            constraints = self.constraints(features, counts)
            if constraints is not None:
                constraints.begin(made)
        if self.model is None:
            return made
        known = self._known(features, scaling or FeatureScaling.identity(features.size))
        made.linear[known.here] = known.linear
        made.factors[known.here] = known.factors
        made.accumulators[known.here] = known.sums
        made.intercept[:2] = known.intercept, known.intercept_sum
        return made

    def constraints(self, features: LongArray, counts: npt.NDArray[np.float64]) -> Constraints | None:
        """What the steps of ``features``, which occur ``counts`` times, must respect; None where nothing is asked for.

        Those of an earlier model keep their factors, and go on training them, however rare they are now.
        """
        known = np.zeros(features.size, np.bool_)
        if self.model is not None:
            rows = self.model.find(features)
            known[rows >= 0] = (self.model.factors[rows[rows >= 0]] != 0.0).any(axis=1)
        return Constraints.of(self.settings, features, counts, known)

    def _known(self, features: LongArray, scaling: FeatureScaling) -> "_Known":
        """What the earlier model says of the features, in the units of training."""
        assert self.model is not None
        rows = self.model.find(features)
        here = rows >= 0
        factors, linear = (a.astype(np.float64)[rows[here]] for a in (self.model.factors, self.model.linear))
        centred, constant = to_centred(linear, factors, scaling.mean[here])
        deviation, by = self.scale.label_deviation, 1.0 / scaling.inverse[here]
        intercept = self.scale.intercept
        if self.settings.fit_intercept:
            intercept = (self.model.intercept + constant - self.scale.label_mean) / deviation
        sums, intercept_sum = np.ones((linear.size, 2), np.float32), 1.0
        optimizer = self.model.optimizer
        if optimizer is not None and self.settings.keeps_optimizer:
            sums = optimizer.sums(rows[here], scaling.inverse[here], deviation)
            intercept_sum = optimizer.sum_of_intercept(deviation)
        return _Known(
            here,
            (centred * by / deviation).astype(np.float32),
            (factors * (by / np.sqrt(deviation))[:, None]).astype(np.float32),
            intercept,
            sums,
            intercept_sum,
        )

    def finish(self, trained: Parameters, scaling: FeatureScaling) -> Weights:
        """The trained parameters in the units of the data.

        Features that no step has touched are left out; those of an earlier model stay as they were.
        """
        settings, scale, K = self.settings, self.scale, trained.factor_size
        # A step with a tiny gradient moves the weight but leaves an accumulator of 1.0 as it is in float32.
        begun, sums = (
            np.zeros(trained.features.size, np.float32),
            np.ones((trained.features.size, 2), np.float32),
        )
        if self.model is not None:
            known = self._known(trained.features, scaling)
            begun[known.here], sums[known.here] = known.linear, known.sums
        touched = (trained.accumulators > sums).any(axis=1) | (trained.linear != begun)
        if self.model is not None and not touched.any():
            moved = float(trained.intercept[0] - known.intercept) * scale.label_deviation
            optimizer = self.model.optimizer if settings.keeps_optimizer else None
            return replace(self.model, intercept=self.model.intercept + moved, optimizer=optimizer)
        # The intercept that comes back counts on all dense features.
        touched |= scaling.mean != 0.0
        order = np.flatnonzero(touched)[np.argsort(trained.features[touched])]
        features, mean = trained.features[order], scaling.mean[order]
        by, deviation = scaling.inverse[order], scale.label_deviation
        factors = np.empty((order.size, K), np.float32)

        def fill(some: slice) -> None:
            factors[some] = trained.factors[order[some]] * (by[some] * np.sqrt(deviation))[:, None]

        over_rows(order.size, fill)
        centred = trained.linear[order] * by * deviation
        if not settings.fit_linear:
            centred = np.zeros_like(centred)
        linear, middle, constant = centred.astype(np.float32), np.zeros(K), 0.0
        if mean.any():
            # With the factors and weights as they are rounded, so that at the mean nothing is lost.
            exact = factors.astype(np.float64)
            middle = mean @ exact
            linear = from_centred(centred, exact, mean, middle).astype(np.float32)
            constant = constant_of(linear.astype(np.float64), exact, mean, middle)
        intercept = float(trained.intercept[0]) * deviation + scale.label_mean - constant
        weights = Weights(features, linear, factors, intercept)
        if settings.keeps_optimizer:
            sums = trained.accumulators[order]
            optimizer = OptimizerState.of(sums, float(trained.intercept[1]), by, deviation)
            weights = replace(weights, optimizer=optimizer)
        if self.model is None:
            return weights
        return self._with_unmet(weights, trained.features, scaling.mean, middle)

    def _with_unmet(
        self, weights: Weights, met: LongArray, mean: npt.NDArray[np.float64], middle: npt.NDArray[np.float64]
    ) -> Weights:
        """Beside the trained features those of the earlier model that were not trained.

        Where dense features are at their means, they say what they said before.
        """
        assert self.model is not None
        old = np.setdiff1d(self.model.features, weights.features)
        rows, known = self.model.find(old), self.model.find(met)
        factors = self.model.factors[rows].reshape(old.size, weights.factors.shape[1])
        before = mean[known >= 0] @ self.model.factors[known[known >= 0]].astype(np.float64)
        linear = self.model.linear[rows] + factors @ (before - middle)
        union = np.concatenate([weights.features, old])
        order = np.argsort(union)
        optimizer = weights.optimizer
        if optimizer is not None:
            earlier = self.model.optimizer
            unmet = np.zeros((old.size, 2), np.float32) if earlier is None else earlier.roots[rows]
            optimizer = replace(optimizer, roots=np.concatenate([optimizer.roots, unmet])[order])
        return Weights(
            union[order],
            np.concatenate([weights.linear, linear.astype(np.float32)])[order],
            np.concatenate([weights.factors, factors])[order],
            weights.intercept,
            optimizer,
        )


def constant_of(linear: DoubleArray, factors: DoubleArray, mean: DoubleArray, middle: DoubleArray) -> float:
    """What x = mean contributes: sum_i mu_i w_i + (|m|^2 - sum_i mu_i^2 |v_i|^2) / 2 with m = sum_i mu_i v_i."""
    squares = (mean**2) @ (factors * factors).sum(axis=1)
    return float(mean @ linear + 0.5 * (middle @ middle - squares))


def from_centred(
    linear: DoubleArray, factors: DoubleArray, mean: DoubleArray, middle: DoubleArray
) -> DoubleArray:
    """Weights of x from those of x - mean: w_i - (<v_i, m> - mu_i |v_i|^2). The factors stay as they are."""
    weights: DoubleArray = linear - (factors @ middle - mean * (factors * factors).sum(axis=1))
    return weights


def to_centred(linear: DoubleArray, factors: DoubleArray, mean: DoubleArray) -> tuple[DoubleArray, float]:
    """Weights of x - mean from those of x, and what is to be added to the intercept."""
    middle = mean @ factors
    centred = linear + (factors @ middle - mean * (factors * factors).sum(axis=1))
    return centred, constant_of(linear, factors, mean, middle)
