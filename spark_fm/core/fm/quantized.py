"""A table of parameters in fewer bytes, for the way to the workers.

The factors of a feature are sent as int16 in steps of the 32767th part of the largest, which is far below the noise of
a training step; the weight and the accumulators as they are. The table's last column, the features' own penalties, is
left out: it stays the same for a whole run. With 16 factors that makes 48 bytes a feature of 80.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spark_fm.core.compiled.compile import compiled
from spark_fm.core.fm.table import TAIL

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
        steps = np.empty((table.shape[0], table.shape[1] - TAIL), np.int16)
        _round(table, heads, steps)
        return cls(heads, steps)

    def restore(self, own: FloatArray, positions: IntArray | None, table: FloatArray) -> None:
        """Fill a table, float32 (n, K' + 8).

        Parameters
        ----------
        own : float32 (m,), the last column
        positions : int32 (n,), which rows; None for all
        """
        chosen = np.empty(0, np.int32) if positions is None else positions
        _restore(self.heads, self.steps, own, chosen, table)


@compiled
def _round(table: FloatArray, heads: FloatArray, steps: ShortArray) -> None:
    width = steps.shape[1]
    for i in range(table.shape[0]):
        largest = 0.0
        for f in range(width):
            largest = max(largest, abs(float(table[i, f])))
        heads[i, 0] = largest / STEPS
        heads[i, 1:] = table[i, width + 4 : width + 7]
        by = STEPS / largest if largest > 0.0 else 0.0
        for f in range(width):
            steps[i, f] = np.int16(np.rint(float(table[i, f]) * by))


@compiled
def _restore(
    heads: FloatArray, steps: ShortArray, own: FloatArray, positions: IntArray, table: FloatArray
) -> None:
    width = steps.shape[1]
    for i in range(table.shape[0]):
        row = positions[i] if positions.size > 0 else i
        for f in range(width):
            table[i, f] = heads[row, 0] * np.float32(steps[row, f])
        table[i, width : width + 4] = np.float32(0.0)
        table[i, width + 4 : width + 7] = heads[row, 1:]
        table[i, width + 7] = own[row]
