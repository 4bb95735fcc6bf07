"""The loss of given parameters on rows."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spark_fm.core.fm.losses import Loss
from spark_fm.core.fm.score import score_rows
from spark_fm.core.sparse.block import Block

START_SAMPLE = 4096
GROUPS = 8
FEWEST_ROWS_FOR_GROUPS = 64
IntArray = npt.NDArray[np.int32]
FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Totals:
    """A weighted sum of losses, the sum of the weights, and how many rows they are."""

    loss: float = 0.0
    weight: float = 0.0
    rows: int = 0

    def __add__(self, other: "Totals") -> "Totals":
        return Totals(self.loss + other.loss, self.weight + other.weight, self.rows + other.rows)

    @property
    def mean(self) -> float:
        """The mean loss; not a number when there is no row."""
        return self.loss / self.weight if self.weight > 0 else math.nan


def measure(table: FloatArray, intercept: float, block: Block, rows: IntArray, loss: Loss) -> Totals:
    """The loss of given parameters on some rows of a block."""
    z = np.empty(rows.size)
    indices = np.asarray(block.indices, np.int32)
    score_rows(table, intercept, block.indptr, indices, block.values, rows, z)
    weight = block.weight[rows] if block.weight.size else block.weight
    total = loss.sum(z, block.label[rows], weight)
    return Totals(total, float(weight.sum(dtype=np.float64)) if weight.size else rows.size, rows.size)


def measure_typical(table: FloatArray, intercept: float, block: Block, rows: IntArray, loss: Loss) -> Totals:
    """The loss on a sample of rows as the guard wants it: the median of the means of eight groups.

    One row with very many non-zeros moves with all others, and its loss may be that of all others together: it is no
    sign that training diverges.
    """
    rows = rows[:START_SAMPLE]
    if rows.size < FEWEST_ROWS_FOR_GROUPS:
        return measure(table, intercept, block, rows, loss)
    groups = [measure(table, intercept, block, rows[group::GROUPS], loss) for group in range(GROUPS)]
    weight = sum(group.weight for group in groups)
    typical = float(np.median([group.mean for group in groups if group.weight > 0.0]))
    return Totals(typical * weight, weight, rows.size)
