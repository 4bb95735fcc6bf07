"""The state of a chain, and what is drawn of it where the rows are not: noise, intercept and priors."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from spark_fm.core.solver.gibbs.fields import DrawOrder
from spark_fm.core.solver.gibbs.grouped import Residuals
from spark_fm.core.solver.gibbs.priors import FieldSums, draw_intercept, draw_noise, draw_prior

BoolArray = npt.NDArray[np.bool_]
DoubleArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int32]
LongArray = npt.NDArray[np.int64]

LEFT_THE_RANGE = (
    "solver: 'gibbs' left the range of double precision; expected features and labels of smaller range, or solver "
    "'adagrad'"
)
# The strength of a prior around 0 of what shall stay there.
PINNED = 1e12


@dataclass
class ChainState:
    """The state of a chain, in the units of training; ``seed`` and the sweep's number say what is drawn next.

    Attributes
    ----------
    ids : int64 (m,), the features' ids
    theta : float64 (m, K + 1), each feature's weight and factors
    intercept : w0
    known : bool (m,), of which features the rows say something, None for all: only these say what is usual of their
        field
    noise : alpha, the precision of a label
    """

    ids: LongArray
    order: DrawOrder
    seed: int
    theta: DoubleArray
    intercept: float
    fits_intercept: bool = True
    fits_linear: bool = True
    noise: float = 1.0
    known: BoolArray | None = None
    _random: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    def begin(self, sweep: int, residuals: Residuals) -> float:
        """Draw noise and intercept from what the rows leave over.

        Returns
        -------
        The change of the intercept.

        Raises
        ------
        FloatingPointError
            When the residuals are not finite.
        """
        if not np.isfinite(residuals.squares):
            raise FloatingPointError(LEFT_THE_RANGE)
        random = np.random.default_rng([self.seed, sweep])
        self._random = np.random.default_rng([self.seed, sweep, 1])
        self.noise = draw_noise(residuals.weight, residuals.squares, random)
        if not self.fits_intercept:
            return 0.0
        before = self.intercept
        self.intercept = draw_intercept(before, residuals.weight, residuals.total, self.noise, random)
        return self.intercept - before

    def prior(self, group: int) -> tuple[DoubleArray, DoubleArray]:
        """Draw mean and strength of a group's features; the groups must come in their order."""
        members = self.order.of_group(group)
        if self.known is not None:
            members = members[self.known[members]]
        mean, strength = draw_prior(FieldSums.of(self.theta[members]), self._random)
        if not self.fits_linear:
            mean[0], strength[0] = 0.0, PINNED
        return mean, strength
