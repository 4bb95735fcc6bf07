"""How the updates of many partitions become one model.

Every partition trains from the same parameters on its own rows. For one coordinate block (w0, a w_i or a v_i) let G
be its AdaGrad accumulator before the round, dG_p what partition p added to it and d_p the change of its
parameters. The accumulator doubles as an estimate of curvature, so with

    a_p = (2 * step * beta / s2) * dG_p / (sqrt(G + dG_p) + sqrt(G))     progress exponent
    f_p = 1 - exp(-a_p)                                                 fraction of the way to p's optimum

the merged change is each partition's implied optimum d_p / f_p, weighted by its information dG_p, gone
the fraction f_all of the way that one worker would have gone over all rows (dG = sum_p dG_p):

    d = f_all * sum_p dG_p (d_p / f_p) / sum_p dG_p          G <- G + sum_p dG_p

Little progress gives the sum of the updates, full progress their information-weighted mean. What all features have
in common moves every row's prediction, so there every partition has made full progress: the *centre* of the
changes, their mean over the features weighted by information, is that of the partitions' own changes,

    d_i <- d_i + (sum_p sum_i dG_pi d_pi - sum_i dG_i d_i) / sum_i dG_i

With one partition both rules are the identity. ``docs/merge.md`` has the derivation and the measurements.

What adds up over the partitions is N1 = dG_p d_p / f_p and N2 = dG_p. The *sums* lie in one row per
feature: ``[N1 of v (K'), N1 of w, N2 of w, N2 of v]``. What one partition sends is shorter by more than half, a
*packed* row: ``[unit, N1 of w, N2 of w, N2 of v, N1 of v / unit as int8 (K')]``, where the unit makes the largest
of them 127; the rounding is far below the noise of a step. A *centre* is summed up likewise:
``[sum dG d of v (K'), of w, sum dG of w, of v]``.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spark_fm.core.compile import compiled

FloatArray = npt.NDArray[np.float32]
DoubleArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int32]
ByteArray = npt.NDArray[np.int8]
RowArray = npt.NDArray[np.uint16] | npt.NDArray[np.int32]

STEPS = 127.0
HEAD = 16  # bytes of the four float32 at the start of a packed row


BETA_AT_THE_START = 2.0
EPOCHS_TO_FULL_BETA = 16.0


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
        cls,
        step_size: float,
        active: float,
        factor_size: int,
        scale: float,
        epochs: float = 0.0,
        raised: float = 1.0,
    ) -> "Coupling":
        """Beta = m = mean active features of a row for w0, which moves all rows; for the weights 2 at first and more
        by m / 16 with each of the ``epochs`` behind, up to m: what moves fast at first must not be noisy
        at the end. Times max(1, K/4) for the factors, whose accumulator is a mean, and all times ``raised``.
        """
        full = max(active, 1.0)
        beta = min(full, BETA_AT_THE_START + full * epochs / EPOCHS_TO_FULL_BETA)
        rate = 2.0 * step_size * raised / scale
        return cls(rate * full, rate * beta, rate * beta * max(1.0, factor_size / 4.0))


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
    bytes_: ByteArray,
    centre: DoubleArray,
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
        centre[width] += added_w * change_w
        centre[width + 1] += added_w
        centre[width + 2] += added_v
        largest = 0.0
        for f in range(width):
            change = float(after[i, f]) - float(before[i, f])
            centre[f] += added_v * change
            largest = max(largest, abs(change))
        packed[count, 0] = _information(factors, sum_v, added_v) * largest / STEPS
        steps = STEPS / largest if largest > 0.0 else 0.0
        for f in range(width):
            step = np.rint((float(after[i, f]) - float(before[i, f])) * steps)
            bytes_[count, HEAD + f] = np.int8(step)
        count += 1
    return count


@compiled
def _apply(table: FloatArray, sums: DoubleArray, linear: float, factors: float, centre: DoubleArray) -> None:
    width = table.shape[1] - 4
    for i in range(table.shape[0]):
        added_w, added_v = sums[i, width + 1], sums[i, width + 2]
        if added_w > 0.0:
            change_w = sums[i, width] * _fraction(linear, table[i, width + 1], added_w)
            table[i, width] += change_w
            table[i, width + 1] += added_w
            centre[width] += added_w * change_w
            centre[width + 1] += added_w
        if added_v > 0.0:
            share = _fraction(factors, table[i, width + 2], added_v)
            for f in range(width):
                change = sums[i, f] * share
                table[i, f] += change
                centre[f] += added_v * change
            table[i, width + 2] += added_v
            centre[width + 2] += added_v


@compiled
def _shift(before: FloatArray, after: FloatArray, shift: DoubleArray) -> None:
    width = before.shape[1] - 4
    for i in range(before.shape[0]):
        if after[i, width + 1] > before[i, width + 1]:
            after[i, width] += shift[width]
        if after[i, width + 2] > before[i, width + 2]:
            for f in range(width):
                after[i, f] += shift[f]


def contributions(
    before: FloatArray, after: FloatArray, coupling: Coupling
) -> tuple[IntArray, FloatArray, DoubleArray]:
    """N1 and N2 of one partition for those rows of its table that training has touched.

    Parameters
    ----------
    before, after : float32 (features, K' + 4), the table when the round began and after local training

    Returns
    -------
    int32 (touched,), which rows; float32 (touched, 4 + K' / 4), packed rows as in the module's docstring;
    float64 (K' + 3,), their centre.
    """
    rows, width = before.shape[0], before.shape[1] - 4
    positions = np.empty(rows, np.int32)
    packed = np.empty((rows, packed_width(width)), np.float32)
    centre = np.zeros(width + 3)
    count = _contributions(
        before, after, coupling.linear, coupling.factors, positions, packed, packed.view(np.int8), centre
    )
    return positions[:count], packed[:count], centre


def packed_width(width: int) -> int:
    """How many float32 a packed row has room for: three sums, the unit, and four factors each."""
    return (HEAD + width) // 4


@compiled
def _add_packed(sums: DoubleArray, positions: RowArray, packed: FloatArray, bytes_: ByteArray) -> None:
    width = sums.shape[1] - 3
    for i in range(positions.size):
        row = positions[i]
        unit, added_w, added_v = float(packed[i, 0]), float(packed[i, 2]), float(packed[i, 3])
        for f in range(width):
            sums[row, f] += unit * float(bytes_[i, HEAD + f])
        sums[row, width] += float(packed[i, 1])
        sums[row, width + 1] += added_w
        sums[row, width + 2] += added_v


@compiled
def _add_sums(sums: DoubleArray, positions: RowArray, more: FloatArray) -> None:
    for i in range(positions.size):
        row = positions[i]
        for f in range(sums.shape[1]):
            sums[row, f] += float(more[i, f])


def add_rows(sums: DoubleArray, positions: RowArray, more: FloatArray) -> None:
    """Add rows to ``sums``, in place.

    Parameters
    ----------
    sums : float64 (rows, K' + 3)
    positions : int32 or uint16 (n,), which rows of ``sums``
    more : float32 (n, 4 + K' / 4) packed rows, or (n, K' + 3) sums
    """
    if more.shape[1] == sums.shape[1]:
        _add_sums(sums, positions, more)
    else:
        _add_packed(sums, positions, more, more.view(np.int8))


def intercept_contributions(before: DoubleArray, after: DoubleArray, coupling: Coupling) -> DoubleArray:
    """N1 and N2 of one partition for w0: float64 (2,). ``before`` and ``after`` are (w0, G)."""
    added = float(after[1] - before[1])
    info = _information(coupling.intercept, float(before[1]), added)
    return np.array([info * (after[0] - before[0]), added])


def apply_merge(table: FloatArray, sums: DoubleArray, coupling: Coupling) -> DoubleArray:
    """Move a table, in place, by the summed contributions of all partitions.

    Parameters
    ----------
    table : float32 (features, K' + 4); sums : float64 (features, K' + 3)

    Returns
    -------
    float64 (K' + 3,), the centre of what was moved.
    """
    centre = np.zeros(sums.shape[1])
    _apply(table, sums, coupling.linear, coupling.factors, centre)
    return centre


def apply_centre(before: FloatArray, after: FloatArray, own: DoubleArray, merged: DoubleArray) -> None:
    """Shift all touched rows of ``after``, in place, so that the centre of the changes is the partitions' own.

    Parameters
    ----------
    before, after : float32 (features, K' + 4), the table when the round began and after :func:`apply_merge`
    own : float64 (K' + 3,), the sum of the centres that :func:`contributions` returned
    merged : float64 (K' + 3,), the centre that :func:`apply_merge` returned
    """
    width = own.size - 3
    information = np.concatenate([np.full(width, merged[-1]), merged[-2:-1]])
    shift = (own[:-2] - merged[:-2]) / np.maximum(information, np.finfo(np.float64).tiny)
    _shift(before, after, shift)


def apply_intercept_merge(intercept: DoubleArray, sums: DoubleArray, coupling: Coupling) -> DoubleArray:
    """The new (w0, G) from the old and the summed contributions of all partitions."""
    added = float(sums[1])
    if added <= 0.0:
        return np.array(intercept)
    share = _fraction(coupling.intercept, float(intercept[1]), added)
    return np.array([intercept[0] + sums[0] * share, intercept[1] + added])
