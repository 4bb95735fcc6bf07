"""A table of parameters in fewer bytes, for the way to the workers.

The factors of a feature are sent as int16 in steps of the 32767th part of the largest, which is far below the noise of
a training step; the weight and the accumulators as they are. The features' own penalties are
left out: they stay the same for a whole run. With 16 factors that makes 48 bytes a feature of 80.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spark_fm.core.compiled.compile import compiled
from spark_fm.core.fm.table import layout_of, over_rows

FloatArray = npt.NDArray[np.float32]
ShortArray = npt.NDArray[np.int16]
IntArray = npt.NDArray[np.int32]

STEPS = 32767.0


@dataclass(frozen=True)
class QuantizedTable:
    """A table with rounded factors.

    Attributes
    ----------
    heads : float32 (m, 4), of each feature the unit of its steps, the weight and the accumulators of both
    steps : int16 (m, K'), the factors in those units
    """

    heads: FloatArray
    steps: ShortArray

    @classmethod
    def of(cls, table: FloatArray) -> "QuantizedTable":
        """A table's, float32 (m, K' + 8)."""
        heads = np.empty((table.shape[0], 4), np.float32)
        steps = np.empty((table.shape[0], layout_of(table).factors), np.int16)
        over_rows(table.shape[0], lambda some: _round(table[some], heads[some], steps[some]))
        return cls(heads, steps)

    def restore(self, feature_penalties: FloatArray, positions: IntArray | None, table: FloatArray) -> None:
        """Fill a table, float32 (n, K' + 8).

        Parameters
        ----------
        feature_penalties : float32 (m,)
        positions : int32 (n,), which rows; None for all
        """
        chosen = np.empty(0, np.int32) if positions is None else positions
        _restore(self.heads, self.steps, feature_penalties, chosen, table)


@compiled
def _round(table: FloatArray, heads: FloatArray, steps: ShortArray) -> None:
    at = layout_of(table)
    for i in range(table.shape[0]):
        largest = 0.0
        for f in range(at.factors):
            largest = max(largest, abs(float(table[i, f])))
        heads[i, 0] = largest / STEPS
        heads[i, 1] = table[i, at.linear]
        heads[i, 2], heads[i, 3] = table[i, at.linear_accumulator], table[i, at.factors_accumulator]
        by = STEPS / largest if largest > 0.0 else 0.0
        for f in range(at.factors):
            steps[i, f] = np.int16(np.rint(float(table[i, f]) * by))


@compiled
def _restore(
    heads: FloatArray,
    steps: ShortArray,
    feature_penalties: FloatArray,
    positions: IntArray,
    table: FloatArray,
) -> None:
    at = layout_of(table)
    for i in range(table.shape[0]):
        row = positions[i] if positions.size > 0 else i
        for f in range(at.factors):
            table[i, f] = heads[row, 0] * np.float32(steps[row, f])
        table[i, at.linear_rest], table[i, at.factors_rest] = np.float32(0.0), np.float32(0.0)
        table[i, at.linear_information], table[i, at.factors_information] = np.float32(0.0), np.float32(0.0)
        table[i, at.linear] = heads[row, 1]
        table[i, at.linear_accumulator], table[i, at.factors_accumulator] = heads[row, 2], heads[row, 3]
        table[i, at.feature_penalty] = feature_penalties[row]
