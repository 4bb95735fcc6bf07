"""A Markov chain over the parameters of a Factorization Machine: one sweep draws all of them once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from spark_fm.core.solver.gibbs.by_feature import ByFeature, fill_row_table
from spark_fm.core.solver.gibbs.draw_features import draw_features, row_table
from spark_fm.core.solver.gibbs.grouped import Residuals
from spark_fm.core.solver.gibbs.state import LEFT_THE_RANGE, ChainState
from spark_fm.core.sparse.block import Block

FloatArray = npt.NDArray[np.float32]
DoubleArray = npt.NDArray[np.float64]


@dataclass
class Chain:
    """A chain on a block in memory, in the units of training: all features are drawn in turn."""

    block: Block
    state: ChainState
    _by_feature: ByFeature = field(init=False)
    _table: FloatArray = field(init=False)

    def __post_init__(self) -> None:
        self._by_feature = ByFeature.of(self.block, self.state.ids.size)
        self._table = row_table(self.block.rows, self.state.theta.shape[1] - 1)

    @property
    def residuals(self) -> FloatArray:
        """Y - z of each row, as of the last sweep: float32 (rows,)."""
        return self._table[:, self.state.theta.shape[1] - 1]

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
        self._fill()
        before = self._left()
        self.residuals[:] -= np.float32(self.state.begin(number, before))
        self._draw(number, self.state.prior)
        return before.squares / before.weight

    def draw_parameters(
        self, number: int, priors: Sequence[tuple[DoubleArray, DoubleArray]], noise: float
    ) -> None:
        """Draw each group's features with a prior (mean and strength) and noise that are given."""
        self._fill()
        self.state.noise = noise
        self._draw(number, lambda group: priors[group])

    def _draw(self, number: int, prior: Callable[[int], tuple[DoubleArray, DoubleArray]]) -> None:
        by_feature, state = self._by_feature, self.state
        for group in range(len(state.order.groups)):
            mean, strength = prior(group)
            if not draw_features(
                state.order.of_group(group), state.ids, by_feature.indptr, by_feature.rows, by_feature.values,
                self.block.weight, self._table, state.theta, mean, strength, state.noise, state.seed, number,
            ):  # fmt: skip
                raise FloatingPointError(LEFT_THE_RANGE)

    def _fill(self) -> None:
        """The rows' sums and residuals, anew in each sweep, so that rounding does not add up."""
        block, state = self.block, self.state
        values = block.values.astype(np.float32, copy=False)
        fill_row_table(
            block.indptr, block.indices, values, block.label, state.theta, state.intercept, self._table
        )

    def _left(self) -> Residuals:
        weight, exact = self.block.weight, self.residuals.astype(np.float64)
        weighted = exact * weight if weight.size else exact
        total = float(weight.sum(dtype=np.float64)) if weight.size else float(self.block.rows)
        return Residuals(total, float(weighted.sum()), float(weighted @ exact))
