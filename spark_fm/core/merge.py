"""How the updates of many partitions become one model.

Every partition trains from the same parameters on its own rows. For one coordinate block (w0, a w_i or a v_i) let G
be its AdaGrad accumulator before the round, dG_p what partition p added to it and d_p the change of its
parameters. The accumulator doubles as an estimate of curvature, so with

    a_p = (2 * step * beta / s2) * dG_p / (sqrt(G + dG_p) + sqrt(G))     progress exponent
    f_p = 1 - exp(-a_p)                                                 fraction of the way to p's optimum

the merged change is each partition's implied optimum d_p / f_p, weighted by its information dG_p, gone
the fraction f_all of the way that one worker would have gone over all rows (dG = sum_p dG_p):

    d = f_all * sum_p dG_p (d_p / f_p) / sum_p dG_p          G <- G + sum_p dG_p^2 / sum_p dG_p

Little progress gives the sum of the updates, full progress their information-weighted mean; what a single
partition touched it keeps whole. ``docs/merge.md`` has the derivation and the measurements.

What adds up over the partitions is N1 = dG_p d_p / f_p, N2 = dG_p and N3 = dG_p^2. The *sums* lie in one row per
feature: ``[N1 of v (K'), N1 of w, N2 of w, N2 of v, N3 of w, N3 of v]``. What one partition sends is shorter by half, a
*packed* row: ``[unit, N1 of w, N2 of w, N2 of v, N1 of v / unit as int16 (K')]``, where the unit makes the largest
of them 32767. The rounding is far below the noise of a step, and N3 follows from N2.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spark_fm.core.compile import compiled

FloatArray = npt.NDArray[np.float32]
DoubleArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int32]
ShortArray = npt.NDArray[np.int16]

STEPS = 32767.0
PACKED_SHORTS = 8  # int16 values that the four float32 at the start of a packed row take


@dataclass(frozen=True)
class Coupling:
    """What all partitions of a round share: 2 * step * beta / s2 for w0, the weights and the factors.

    beta says how much shorter a coordinate's way is than its own curvature says, because the
    coordinates of a row move its prediction together; s2 is the curvature's scale in units of squared
    gradients: 1 for log-loss, the mean squared residual for squared loss.
    """

    intercept: float
    linear: float
    factors: float

    @classmethod
    def of(
        cls, step_size: float, active: float, factor_size: int, scale: float, raised: float = 1.0
    ) -> "Coupling":
        """Beta = mean active features of a row, times max(1, K/4) for the factors, times ``raised``."""
        rate = 2.0 * step_size * raised * max(active, 1.0) / scale
        return cls(rate, rate, rate * max(1.0, factor_size / 4.0))


@compiled
def _exponent(rate: float, before: float, added: float) -> float:
    return float(rate * added / (np.sqrt(before + added) + np.sqrt(before)))


@compiled
def _information(rate: float, before: float, added: float) -> float:
    """dG_p / f_p, the factor that turns a change into N1; 0 where nothing was added."""
    if added <= 0.0:
        return 0.0
    return float(added / -np.expm1(-_exponent(rate, before, added)))


@compiled
def _fraction(rate: float, before: float, added: float) -> float:
    """f_all / sum_p dG_p, the factor that turns the sum of N1 into a change; 0 where nothing was added."""
    if added <= 0.0:
        return 0.0
    return float(-np.expm1(-_exponent(rate, before, added)) / added)


@compiled
def _contributions(
    before: FloatArray,
    after: FloatArray,
    linear: float,
    factors: float,
    positions: IntArray,
    packed: FloatArray,
    shorts: ShortArray,
) -> int:
    width = before.shape[1] - 4
    count = 0
    for i in range(before.shape[0]):
        sum_w, sum_v = float(before[i, width + 1]), float(before[i, width + 2])
        added_w = float(after[i, width + 1]) - sum_w
        added_v = float(after[i, width + 2]) - sum_v
        if added_w <= 0.0 and added_v <= 0.0:
            continue
        positions[count] = i
        change_w = float(after[i, width]) - float(before[i, width])
        packed[count, 1] = _information(linear, sum_w, added_w) * change_w
        packed[count, 2], packed[count, 3] = added_w, added_v
        largest = 0.0
        for f in range(width):
            largest = max(largest, abs(float(after[i, f]) - float(before[i, f])))
        packed[count, 0] = _information(factors, sum_v, added_v) * largest / STEPS
        steps = STEPS / largest if largest > 0.0 else 0.0
        for f in range(width):
            step = np.rint((float(after[i, f]) - float(before[i, f])) * steps)
            shorts[count, PACKED_SHORTS + f] = np.int16(step)
        count += 1
    return count


@compiled
def _apply(table: FloatArray, sums: DoubleArray, linear: float, factors: float) -> None:
    width = table.shape[1] - 4
    for i in range(table.shape[0]):
        added_w, added_v = sums[i, width + 1], sums[i, width + 2]
        if added_w > 0.0:
            table[i, width] += sums[i, width] * _fraction(linear, table[i, width + 1], added_w)
            table[i, width + 1] += sums[i, width + 3] / added_w
        if added_v > 0.0:
            share = _fraction(factors, table[i, width + 2], added_v)
            for f in range(width):
                table[i, f] += sums[i, f] * share
            table[i, width + 2] += sums[i, width + 4] / added_v


def contributions(before: FloatArray, after: FloatArray, coupling: Coupling) -> tuple[IntArray, FloatArray]:
    """N1, N2 and N3 of one partition for those rows of its table that training has touched.

    Parameters
    ----------
    before, after : float32 (features, K' + 4), the table when the round began and after local training

    Returns
    -------
    int32 (touched,), which rows; float32 (touched, 4 + K' / 2), packed rows as in the module's docstring.
    """
    rows, width = before.shape[0], before.shape[1] - 4
    positions = np.empty(rows, np.int32)
    packed = np.empty((rows, packed_width(width)), np.float32)
    shorts = packed.view(np.int16)
    count = _contributions(before, after, coupling.linear, coupling.factors, positions, packed, shorts)
    return positions[:count], packed[:count]


def packed_width(width: int) -> int:
    """How many float32 a packed row has room for: three sums, the unit, and two factors each."""
    return (PACKED_SHORTS + width) // 2


@compiled
def _add_packed(
    sums: DoubleArray, positions: IntArray, first: int, packed: FloatArray, shorts: ShortArray
) -> None:
    width = sums.shape[1] - 5
    for i in range(positions.size):
        row = positions[i] - first
        unit, added_w, added_v = float(packed[i, 0]), float(packed[i, 2]), float(packed[i, 3])
        for f in range(width):
            sums[row, f] += unit * float(shorts[i, PACKED_SHORTS + f])
        sums[row, width] += float(packed[i, 1])
        sums[row, width + 1] += added_w
        sums[row, width + 2] += added_v
        sums[row, width + 3] += added_w * added_w
        sums[row, width + 4] += added_v * added_v


@compiled
def _add_sums(sums: DoubleArray, positions: IntArray, first: int, more: FloatArray) -> None:
    for i in range(positions.size):
        row = positions[i] - first
        for f in range(sums.shape[1]):
            sums[row, f] += float(more[i, f])


def add_rows(sums: DoubleArray, positions: IntArray, first: int, more: FloatArray) -> None:
    """Add rows to ``sums``, in place.

    Parameters
    ----------
    sums : float64 (rows, K' + 5), the sums of the table's rows from ``first`` on
    positions : int32 (n,), which rows of the table
    more : float32 (n, 4 + K' / 2) packed rows, or (n, K' + 5) sums
    """
    if more.shape[1] == sums.shape[1]:
        _add_sums(sums, positions, first, more)
    else:
        _add_packed(sums, positions, first, more, more.view(np.int16))


def intercept_contributions(before: DoubleArray, after: DoubleArray, coupling: Coupling) -> DoubleArray:
    """N1, N2 and N3 of one partition for w0: float64 (3,). ``before`` and ``after`` are (w0, G)."""
    added = float(after[1] - before[1])
    info = _information(coupling.intercept, float(before[1]), added)
    return np.array([info * (after[0] - before[0]), added, added * added])


def apply_merge(table: FloatArray, sums: DoubleArray, coupling: Coupling) -> None:
    """Move a table, in place, by the summed contributions of all partitions.

    Parameters
    ----------
    table : float32 (features, K' + 4); sums : float64 (features, K' + 5)
    """
    _apply(table, sums, coupling.linear, coupling.factors)


def apply_intercept_merge(intercept: DoubleArray, sums: DoubleArray, coupling: Coupling) -> DoubleArray:
    """The new (w0, G) from the old and the summed contributions of all partitions."""
    added = float(sums[1])
    if added <= 0.0:
        return np.array(intercept)
    share = _fraction(coupling.intercept, float(intercept[1]), added)
    return np.array([intercept[0] + sums[0] * share, intercept[1] + sums[2] / added])
