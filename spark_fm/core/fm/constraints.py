"""What keeps parameters within bounds that the data do not set: penalties by field, rare features, no negative ones."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from spark_fm.core.fm.settings import Settings
from spark_fm.core.fm.table import Parameters, layout_of, over_rows

FloatArray = npt.NDArray[np.float32]
LongArray = npt.NDArray[np.int64]


class Constraints(NamedTuple):
    """What the step of each feature must respect.

    Attributes
    ----------
    penalties : float32 (m,), what all L2 penalties of the feature are multiplied by
    has_factors : bool (m,), False where the factors stay as they are
    nonnegative : whether weights and factors below 0 become 0 after each step
    """

    penalties: FloatArray
    has_factors: npt.NDArray[np.bool_]
    nonnegative: bool

    @classmethod
    def of(
        cls,
        settings: Settings,
        features: LongArray,
        counts: npt.NDArray[np.float64],
        known: npt.NDArray[np.bool_],
    ) -> "Constraints | None":
        """Those of ``features`` that occur ``counts`` times; None where the settings ask for none.

        Features that are ``known``, bool (m,), have factors however rare they are.
        """
        if not settings.is_constrained:
            return None
        penalties = np.ones(features.size, np.float32)
        for first, end, factor in settings.penalty_factors:
            penalties[(first <= features) & (features < end)] = factor
        return cls(penalties, known | (counts >= settings.min_factor_count), settings.nonnegative)

    def take(self, rows: npt.NDArray[np.int32] | None) -> "Constraints":
        """Those of the given features; None for all."""
        if rows is None:
            return self
        return Constraints(self.penalties[rows], self.has_factors[rows], self.nonnegative)

    def begin(self, parameters: Parameters) -> None:
        """Change fresh parameters, in place, so that they respect the constraints."""
        parameters.factors[~self.has_factors] = 0.0
        if self.nonnegative:
            np.abs(parameters.factors, out=parameters.factors)


def project(table: FloatArray) -> None:
    """Weights and factors below 0 become 0, in place; float32 (features, K' + 8)."""
    at = layout_of(table)

    def cut(some: slice) -> None:
        for part in (table[some, : at.factors], table[some, at.linear]):
            np.maximum(part, np.float32(0.0), out=part)

    over_rows(table.shape[0], cut)
