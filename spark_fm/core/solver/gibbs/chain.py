"""A Markov chain over the parameters of a Factorization Machine: one sweep draws all of them once."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from spark_fm.core.solver.gibbs.by_feature import ByFeature, fill_row_table
from spark_fm.core.solver.gibbs.draw_features import draw_features, row_table
from spark_fm.core.solver.gibbs.priors import FieldSums, draw_intercept, draw_noise, draw_prior
from spark_fm.core.sparse.block import Block

FloatArray = npt.NDArray[np.float32]
DoubleArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int32]
LongArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Fields:
    """Which features are drawn together.

    Attributes
    ----------
    members : int32 arrays, the positions of each field's features
    groups : which fields have one prior, lists of their numbers: fields of one feature share theirs
    """

    members: Sequence[IntArray]
    groups: Sequence[Sequence[int]]

    @classmethod
    def of(cls, members: Sequence[IntArray]) -> "Fields":
        """A prior for each field of several features, and one for all fields of one feature."""
        single = [number for number, one in enumerate(members) if one.size == 1]
        groups = [[number] for number, one in enumerate(members) if one.size > 1]
        return cls(members, [*groups, single] if single else groups)


class NotPositiveError(RuntimeError):
    """A conditional without a Cholesky decomposition: numbers beyond what float64 can tell apart."""


@dataclass
class Chain:
    """The state of a chain on a block in memory, in the units of training.

    Attributes
    ----------
    theta : float64 (m, K + 1), each feature's weight and factors
    intercept : w0
    noise : alpha, the precision of a row of weight 1
    """

    block: Block
    ids: LongArray
    fields: Fields
    seed: int
    theta: DoubleArray
    intercept: float
    draws_intercept: bool = True
    noise: float = 1.0
    _by_feature: ByFeature = field(init=False)
    _table: FloatArray = field(init=False)

    def __post_init__(self) -> None:
        self._by_feature = ByFeature.of(self.block, self.ids.size)
        self._table = row_table(self.block.rows, self.theta.shape[1] - 1)

    def sweep(self, number: int) -> float:
        """Draw noise, intercept, and each field's prior and features; the weighted mean squared residual before."""
        block, weight = self.block, self.block.weight
        values = block.values.astype(np.float32, copy=False)
        # Anew in each sweep, so that rounding does not add up.
        fill_row_table(
            block.indptr, block.indices, values, block.label, self.theta, self.intercept, self._table
        )
        residuals = self._table[:, self.theta.shape[1] - 1]
        total = float(weight.sum(dtype=np.float64)) if weight.size else float(block.rows)
        weighted = residuals * weight if weight.size else residuals
        squares = float(weighted.astype(np.float64) @ residuals)
        random = np.random.default_rng([self.seed, number])
        self.noise = draw_noise(total, squares, random)
        if self.draws_intercept:
            drawn = draw_intercept(self.intercept, total, float(weighted.sum(dtype=np.float64)), self.noise, random)
            residuals -= np.float32(drawn - self.intercept)
            self.intercept = drawn
        for group in self.fields.groups:
            members = np.concatenate([self.fields.members[number] for number in group])
            mean, strength = draw_prior(FieldSums.of(self.theta[members]), random)
            if not draw_features(
                members, self.ids, self._by_feature.indptr, self._by_feature.rows, self._by_feature.values,
                weight, self._table, self.theta, mean, strength, self.noise, self.seed, number,
            ):  # fmt: skip
                raise NotPositiveError("a conditional is not positive definite")
        return squares / total
