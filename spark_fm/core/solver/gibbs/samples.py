"""What a chain leaves behind: the mean of its samples, some of them, and how it went."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from spark_fm.core.fm.table import Parameters, aligned_table
from spark_fm.core.solver.gibbs.average import Average, compressed

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float32]
DoubleArray = npt.NDArray[np.float64]
LongArray = npt.NDArray[np.int64]


@dataclass
class Samples:
    """Of one chain or several, in the units of training and the order of the features.

    Attributes
    ----------
    linear : float64 (m,), float32 (m, columns) ``factors`` and ``intercept`` : the mean
    kept : float32 (S, m, K + 1), some of the samples: w and v
    kept_intercepts, kept_noises : float64 (S,), their w0 and alpha
    losses : float64 (chains, sweeps), the mean squared residual of each sweep's sample before it was drawn
    validation : float64 (chains, sweeps), the metric of the mean so far on validation rows; empty without
    noises : float64 (chains, n), alpha of each sweep after the burn-in
    predictions : float32 (chains, n, rows), what these samples predict for some rows
    numbers : int64 (m,), each feature's field
    """

    linear: DoubleArray
    factors: FloatArray
    intercept: float
    kept: FloatArray
    kept_intercepts: DoubleArray
    kept_noises: DoubleArray
    losses: DoubleArray
    validation: DoubleArray
    noises: DoubleArray
    predictions: FloatArray
    numbers: LongArray

    def parameters(self, features: LongArray, factor_size: int) -> Parameters:
        """The mean in so many factors, at least as many as it has."""
        return parameters_of(features, self.linear, self.factors, self.intercept, factor_size)


def parameters_of(
    features: LongArray,
    linear: npt.NDArray[np.floating],
    factors: npt.NDArray[np.floating],
    intercept: float,
    factor_size: int,
) -> Parameters:
    """Parameters that all count as trained, of given weights and factors."""
    table = aligned_table(features.size, factor_size)
    table[:] = 0.0
    made = Parameters(features, table, np.array([intercept, 1.0, 0.0]), factor_size)
    made.linear[:] = linear
    made.factors[:, : factors.shape[1]] = factors
    made.accumulators[:] = 2.0
    return made


def joined(chains: Sequence[Samples], counts: DoubleArray, factor_size: int) -> Samples:
    """Of several chains: the mean of their means, in so many factors; all else side by side."""
    every = np.concatenate([one.factors for one in chains], axis=1) / np.float32(np.sqrt(len(chains)))
    return Samples(
        linear=np.mean([one.linear for one in chains], axis=0),
        factors=compressed(every, counts, factor_size),
        intercept=float(np.mean([one.intercept for one in chains])),
        kept=np.concatenate([one.kept for one in chains]),
        kept_intercepts=np.concatenate([one.kept_intercepts for one in chains]),
        kept_noises=np.concatenate([one.kept_noises for one in chains]),
        losses=np.concatenate([one.losses for one in chains]),
        validation=np.concatenate([one.validation for one in chains]),
        noises=np.concatenate([one.noises for one in chains]),
        predictions=np.concatenate([one.predictions for one in chains]),
        numbers=chains[0].numbers,
    )


@dataclass
class Collector:
    """Collects the samples of one chain, of which so many of ``sweeps`` come after the burn-in; ``kept`` of them are
    kept, evenly. ``counts`` has how much the rows of each feature weigh.
    """

    counts: DoubleArray
    columns: int
    sweeps: int
    burn_in: int
    keep: int
    average: Average = field(init=False)
    losses: list[float] = field(default_factory=list)
    validation: list[float] = field(default_factory=list)
    _noises: list[float] = field(default_factory=list)
    _predictions: list[FloatArray] = field(default_factory=list)
    _kept: list[tuple[FloatArray, float, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.average = Average(self.counts, self.columns)
        self.burn_in = min(self.burn_in, max(self.sweeps - 1, 0))
        after = self.sweeps - self.burn_in
        self._wanted = set(
            (self.sweeps - np.arange(self.keep) * after // max(self.keep, 1)).tolist() if after else []
        )

    def add(
        self,
        sweep: int,
        loss: float,
        theta: DoubleArray,
        intercept: float,
        noise: float,
        predictions: FloatArray,
    ) -> bool:
        """The sample of a sweep; whether it counts."""
        self.losses.append(loss)
        if sweep <= self.burn_in:
            return False
        self.average.add(theta, intercept)
        self._noises.append(noise)
        self._predictions.append(predictions)
        if sweep in self._wanted:
            self._kept.append((theta.astype(np.float32), intercept, noise))
        return True

    def state(self) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
        """All that was collected, as numbers and arrays: see :meth:`restore`."""
        average, arrays = self.average.state()
        numbers = {
            "average": average,
            "losses": self.losses,
            "validation": self.validation,
            "noises": self._noises,
            "kept": [one[1:] for one in self._kept],
        }
        arrays |= {f"predictions-{i}": one for i, one in enumerate(self._predictions)}
        return numbers, arrays | {f"sample-{i}": one[0] for i, one in enumerate(self._kept)}

    def restore(self, numbers: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Become what :meth:`state` told of."""
        self.average.restore(numbers["average"], arrays)
        self.losses, self.validation = list(numbers["losses"]), list(numbers["validation"])
        self._noises = list(numbers["noises"])
        self._predictions = [arrays[f"predictions-{i}"] for i in range(len(self._noises))]
        self._kept = [
            (arrays[f"sample-{i}"], intercept, noise) for i, (intercept, noise) in enumerate(numbers["kept"])
        ]

    def result(
        self, fallback: tuple[DoubleArray, float], factor_size: int, numbers: LongArray, complete: BoolArray
    ) -> Samples:
        """All of it, the mean in so many factors; of no sample: the ``fallback``, theta and w0."""
        theta, w0 = fallback
        if not self.average.samples:
            self.average.add(theta, w0)
        linear, factors, intercept = self.average.result(factor_size)
        exact, factors, intercept = anchored(
            linear.astype(np.float64), factors, intercept, self.counts, numbers, complete
        )
        kept = [one[0] for one in self._kept]
        return Samples(
            linear=exact, factors=factors, intercept=intercept,
            kept=np.stack(kept) if kept else np.empty((0, *theta.shape), np.float32),
            kept_intercepts=np.array([one[1] for one in self._kept]),
            kept_noises=np.array([one[2] for one in self._kept]),
            losses=np.array([self.losses]),
            # Whoever stopped it may have done so before the last one was measured.
            validation=np.array([[*self.validation, np.nan][: len(self.losses)]] if self.validation else [[]]),
            noises=np.array([self._noises]),
            predictions=np.stack(self._predictions)[None] if self._predictions else np.empty((1, 0, 0), np.float32),
            numbers=numbers,
        )  # fmt: skip


def anchored(
    linear: DoubleArray,
    factors: FloatArray,
    intercept: float,
    counts: DoubleArray,
    numbers: LongArray,
    complete: BoolArray,
) -> tuple[DoubleArray, FloatArray, float]:
    """The same scores of rows as trained, by parameters that are 0 on average within each complete field.

    What all features of a field have in common is the intercept's and the other fields' then, so a feature that no row
    had, whose parameters are 0, counts as the average one. Only where every row has exactly one feature of a field, of
    value 1, is that the same model.
    """
    met = counts > 0.0
    linear, exact = np.where(met, linear, 0.0), np.where(met[:, None], factors.astype(np.float64), 0.0)
    moved = met & complete[numbers]
    fields = complete.size
    some = np.bincount(numbers[moved], minlength=fields).astype(float)
    of_field = np.zeros((fields, exact.shape[1]))
    np.add.at(of_field, numbers[moved], exact[moved])
    means = of_field / np.maximum(some, 1.0)[:, None]
    weights = np.bincount(numbers[moved], linear[moved], fields) / np.maximum(some, 1.0)
    total = means.sum(axis=0)
    exact[moved] -= means[numbers[moved]]
    linear[moved] -= weights[numbers[moved]]
    # <u_i - m_f, sum of the other fields' means>; for what is of no complete field, of all of them.
    linear[moved] += ((total - means[numbers[moved]]) * exact[moved]).sum(axis=1)
    rest = met & ~complete[numbers]
    linear[rest] += exact[rest] @ total
    pairs = 0.5 * (total @ total - (means * means).sum())
    return linear, exact.astype(np.float32), intercept + float(weights.sum()) + float(pairs)
