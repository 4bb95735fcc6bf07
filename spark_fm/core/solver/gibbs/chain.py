"""A Markov chain over the parameters of a Factorization Machine: one sweep draws all of them once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from spark_fm.core.solver.gibbs.by_feature import ByFeature, fill_row_table
from spark_fm.core.solver.gibbs.draw_features import draw_features, row_table
from spark_fm.core.solver.gibbs.fields import DrawOrder
from spark_fm.core.solver.gibbs.priors import FieldSums, draw_intercept, draw_noise, draw_prior
from spark_fm.core.sparse.block import Block

FloatArray = npt.NDArray[np.float32]
DoubleArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int32]
LongArray = npt.NDArray[np.int64]

# The strength of a prior around 0 of what shall stay there.
PINNED = 1e12


@dataclass
class Chain:
    """The state of a chain on a block in memory, in the units of training.

    Attributes
    ----------
    ids : int64 (m,), the features' ids
    theta : float64 (m, K + 1), each feature's weight and factors
    intercept : w0
    noise : alpha, the precision of a row of weight 1
    """

    block: Block
    ids: LongArray
    order: DrawOrder
    seed: int
    theta: DoubleArray
    intercept: float
    fits_intercept: bool = True
    fits_linear: bool = True
    noise: float = 1.0
    _by_feature: ByFeature = field(init=False)
    _table: FloatArray = field(init=False)

    def __post_init__(self) -> None:
        self._by_feature = ByFeature.of(self.block, self.ids.size)
        self._table = row_table(self.block.rows, self.theta.shape[1] - 1)

    def sweep(self, number: int) -> float:
        """Draw noise, intercept, and each field's prior and features.

        Returns
        -------
        The weighted mean squared residual before.

        Raises
        ------
        FloatingPointError
            When a conditional has no Cholesky decomposition: numbers beyond what float64 can tell apart.
        """
        squares, total = self._begin(number)
        random = np.random.default_rng([self.seed, number, 1])
        self._draw(number, lambda members: self._drawn_prior(members, random))
        return squares / total

    def _drawn_prior(self, members: IntArray, random: np.random.Generator) -> tuple[DoubleArray, DoubleArray]:
        mean, strength = draw_prior(FieldSums.of(self.theta[members]), random)
        if not self.fits_linear:
            mean[0], strength[0] = 0.0, PINNED
        return mean, strength

    def draw_parameters(
        self, number: int, priors: Sequence[tuple[DoubleArray, DoubleArray]], noise: float
    ) -> None:
        """Draw each group's features with a prior (mean and strength) and noise that are given."""
        self._fill()
        self.noise = noise
        given = iter(priors)
        self._draw(number, lambda members: next(given))

    def _draw(self, number: int, prior: Callable[[IntArray], tuple[DoubleArray, DoubleArray]]) -> None:
        by_feature = self._by_feature
        for group in self.order.groups:
            members = np.concatenate([self.order.members[one] for one in group])
            mean, strength = prior(members)
            if not draw_features(
                members, self.ids, by_feature.indptr, by_feature.rows, by_feature.values, self.block.weight,
                self._table, self.theta, mean, strength, self.noise, self.seed, number,
            ):  # fmt: skip
                raise FloatingPointError("a conditional is not positive definite")

    def _fill(self) -> None:
        """The rows' sums and residuals, anew in each sweep, so that rounding does not add up."""
        block = self.block
        values = block.values.astype(np.float32, copy=False)
        fill_row_table(
            block.indptr, block.indices, values, block.label, self.theta, self.intercept, self._table
        )

    def _begin(self, number: int) -> tuple[float, float]:
        """Draw noise and intercept; the weighted sum of squared residuals before, and of the weights."""
        weight = self.block.weight
        self._fill()
        residuals = self._table[:, self.theta.shape[1] - 1]
        exact = residuals.astype(np.float64)
        weighted = exact * weight if weight.size else exact
        total = float(weight.sum(dtype=np.float64)) if weight.size else float(self.block.rows)
        squares = float(weighted @ exact)
        if not np.isfinite(squares):
            raise FloatingPointError("the residuals are not finite")
        random = np.random.default_rng([self.seed, number])
        self.noise = draw_noise(total, squares, random)
        if self.fits_intercept:
            drawn = draw_intercept(self.intercept, total, float(weighted.sum()), self.noise, random)
            residuals -= np.float32(drawn - self.intercept)
            self.intercept = drawn
        return squares, total
