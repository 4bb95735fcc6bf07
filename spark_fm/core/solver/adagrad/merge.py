"""How the updates of many partitions become one model.

Every partition trains from the same parameters on its own rows. For one coordinate block (w0, a w_i or a v_i) let G
be its AdaGrad accumulator before the round, dG_p what partition p added to it, I_p the information in p's rows and
d_p the change of its parameters. The information, the sum of the squared gradients, each divided by its row's
weight, is an estimate of curvature; without weights it is dG_p. With

    a_p = (2 * step * beta / s2) * I_p / (sqrt(G + dG_p) + sqrt(G))      progress exponent
    f_p = 1 - exp(-a_p)                                                 fraction of the way to p's optimum

the merged change is each partition's implied optimum d_p / f_p, weighted by its information I_p, gone
the fraction f_all of the way that one worker would have gone over all rows (dG = sum_p dG_p, I = sum_p I_p):

    d = f_all * sum_p I_p (d_p / f_p) / sum_p I_p          G <- G + sum_p dG_p

Little progress gives the sum of the updates, full progress their information-weighted mean. What all features have
in common moves every row's prediction, so there every partition has made full progress: the *centre* of the
changes, their mean over the features weighted by information, is that of the partitions' own changes,

    d_i <- d_i + (sum_p sum_i I_pi d_pi - sum_i I_i d_i) / sum_i I_i

With one partition both rules are the identity. ``docs/merge.md`` has the derivation and the measurements.

What adds up over the partitions is N1 = I_p d_p / f_p, I_p and, where rows have weights, dG_p. The *sums* lie in one
row per feature: ``[N1 of v (K'), N1 of w, I of w, I of v]``, with weights then ``[dG of w, dG of v]``. What one
partition sends is shorter by more than half, a *packed* row: ``[unit, N1 of w, I of w, I of v, N1 of v / unit as
int8 (K')]``, with both dG before the bytes, where the unit makes the largest of them 127; the rounding is
far below the noise of a step. A *centre* is summed up likewise: ``[sum I d of v (K'), of w, sum I of w, of v]``.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spark_fm.core.compiled.compile import compiled, compiled_exactly
from spark_fm.core.fm.table import layout_of

FloatArray = npt.NDArray[np.float32]
DoubleArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int32]
ByteArray = npt.NDArray[np.int8]
RowArray = npt.NDArray[np.uint16] | npt.NDArray[np.int32]

STEPS = 127.0
HEAD = 4  # float32 at the start of a packed row, before its bytes
WEIGHTED_HEAD = 6

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
        mean_squared_norm: float,
        factor_size: int,
        scale: float,
        epochs: float = 0.0,
        damping: float = 1.0,
    ) -> "Coupling":
        """Beta = m = mean active features of a row for w0, which moves all rows; for the weights 2 at first and more
        by m / 16 with each of the ``epochs`` behind, up to m: what moves fast at first must not be noisy
        at the end. Times max(1, K/4) for the factors, whose accumulator is a mean, and all times ``damping``.
        """
        full = max(mean_squared_norm, 1.0)
        beta = min(full, BETA_AT_THE_START + full * epochs / EPOCHS_TO_FULL_BETA)
        rate = 2.0 * step_size * damping / scale
        return cls(rate * full, rate * beta, rate * beta * max(1.0, factor_size / 4.0))


@compiled
def _exponent(rate: float, before: float, added: float, information: float) -> float:
    return float(rate * information / (np.sqrt(before + added) + np.sqrt(before)))


@compiled
def _optimum(rate: float, before: float, added: float, information: float) -> float:
    """I_p / f_p, the factor that turns a change into N1; 0 where nothing was learned."""
    if information <= 0.0:
        return 0.0
    return float(information / -np.expm1(-_exponent(rate, before, added, information)))


@compiled
def _fraction(rate: float, before: float, added: float, information: float) -> float:
    """f_all / sum_p I_p, the factor that turns the sum of N1 into a change; 0 where nothing was learned."""
    if information <= 0.0:
        return 0.0
    return float(-np.expm1(-_exponent(rate, before, added, information)) / information)


@compiled_exactly
def _growth(before: FloatArray, after: FloatArray, row: int, accumulator: int, rest: int) -> float:
    """What was added to an accumulator, its rest included."""
    more = float(after[row, accumulator]) - float(before[row, accumulator])
    return more + (float(after[row, rest]) - float(before[row, rest]))


@compiled_exactly
def _grow(table: FloatArray, row: int, accumulator: int, rest: int, added: float) -> None:
    total = float(table[row, accumulator]) + (float(table[row, rest]) + added)
    table[row, accumulator] = np.float32(total)
    table[row, rest] = np.float32(total - float(np.float32(total)))


@compiled
def _contributions(
    before: FloatArray,
    after: FloatArray,
    linear: float,
    factors: float,
    head: int,
    positions: IntArray,
    packed: FloatArray,
    bytes_: ByteArray,
    centre: DoubleArray,
) -> int:
    at = layout_of(before)
    count = 0
    for i in range(before.shape[0]):
        added_w = _growth(before, after, i, at.linear_accumulator, at.linear_rest)
        added_v = _growth(before, after, i, at.factors_accumulator, at.factors_rest)
        info_w, info_v = added_w, added_v
        if head == WEIGHTED_HEAD:
            info_w = float(after[i, at.linear_information]) - float(before[i, at.linear_information])
            info_v = float(after[i, at.factors_information]) - float(before[i, at.factors_information])
        if info_w <= 0.0 and info_v <= 0.0:
            continue
        sum_w, sum_v = float(before[i, at.linear_accumulator]), float(before[i, at.factors_accumulator])
        positions[count] = i
        change_w = float(after[i, at.linear]) - float(before[i, at.linear])
        packed[count, 1] = _optimum(linear, sum_w, added_w, info_w) * change_w
        packed[count, 2], packed[count, 3] = info_w, info_v
        if head == WEIGHTED_HEAD:
            packed[count, 4], packed[count, 5] = added_w, added_v
        centre[at.factors] += info_w * change_w
        centre[at.factors + 1] += info_w
        centre[at.factors + 2] += info_v
        largest = 0.0
        for f in range(at.factors):
            change = float(after[i, f]) - float(before[i, f])
            centre[f] += info_v * change
            largest = max(largest, abs(change))
        packed[count, 0] = _optimum(factors, sum_v, added_v, info_v) * largest / STEPS
        steps = STEPS / largest if largest > 0.0 else 0.0
        for f in range(at.factors):
            step = np.rint((float(after[i, f]) - float(before[i, f])) * steps)
            bytes_[count, 4 * head + f] = np.int8(step)
        count += 1
    return count


@compiled
def _apply(table: FloatArray, sums: DoubleArray, linear: float, factors: float, centre: DoubleArray) -> None:
    at = layout_of(table)
    growth = sums.shape[1] - 2  # without weights the information itself
    for i in range(table.shape[0]):
        info_w, info_v = sums[i, at.factors + 1], sums[i, at.factors + 2]
        if info_w > 0.0:
            added_w = sums[i, growth]
            change_w = sums[i, at.factors] * _fraction(
                linear, table[i, at.linear_accumulator], added_w, info_w
            )
            table[i, at.linear] += change_w
            _grow(table, i, at.linear_accumulator, at.linear_rest, added_w)
            centre[at.factors] += info_w * change_w
            centre[at.factors + 1] += info_w
        if info_v > 0.0:
            added_v = sums[i, growth + 1]
            share = _fraction(factors, table[i, at.factors_accumulator], added_v, info_v)
            for f in range(at.factors):
                change = sums[i, f] * share
                table[i, f] += change
                centre[f] += info_v * change
            _grow(table, i, at.factors_accumulator, at.factors_rest, added_v)
            centre[at.factors + 2] += info_v


@compiled
def _shift(before: FloatArray, after: FloatArray, shift: DoubleArray) -> None:
    at = layout_of(before)
    for i in range(before.shape[0]):
        if _growth(before, after, i, at.linear_accumulator, at.linear_rest) > 0.0:
            after[i, at.linear] += shift[at.factors]
        if _growth(before, after, i, at.factors_accumulator, at.factors_rest) > 0.0:
            for f in range(at.factors):
                after[i, f] += shift[f]


def contributions(
    before: FloatArray, after: FloatArray, coupling: Coupling, weighted: bool = False
) -> tuple[IntArray, FloatArray, DoubleArray]:
    """N1 and I of one partition for those rows of its table that training has touched.

    Parameters
    ----------
    before, after : float32 (features, K' + 8), the table when the round began and after local training
    weighted : whether the rows had weights, so that the tables have information

    Returns
    -------
    int32 (touched,), which rows; float32 (touched, 4 + K' / 4), with weights (touched, 6 + K' / 4), packed rows
    as in the module's docstring;
    float64 (K' + 3,), their centre.
    """
    rows, width = before.shape[0], layout_of(before).factors
    positions = np.empty(rows, np.int32)
    packed = np.empty((rows, packed_width(width, weighted)), np.float32)
    centre = np.zeros(width + 3)
    count = _contributions(
        before, after, coupling.linear, coupling.factors, WEIGHTED_HEAD if weighted else HEAD,
        positions, packed, packed.view(np.int8), centre,
    )  # fmt: skip
    return positions[:count], packed[:count], centre


def packed_width(width: int, weighted: bool) -> int:
    """How many float32 a packed row has room for: its head, and four factors each."""
    return (WEIGHTED_HEAD if weighted else HEAD) + width // 4


def sums_width(width: int, weighted: bool) -> int:
    """How many sums a feature of ``width`` factors has."""
    return width + (5 if weighted else 3)


@compiled
def _add_packed(
    sums: DoubleArray, head: int, positions: RowArray, packed: FloatArray, bytes_: ByteArray
) -> None:
    width = 4 * (packed.shape[1] - head)
    for i in range(positions.size):
        row, unit = positions[i], float(packed[i, 0])
        for f in range(width):
            sums[row, f] += unit * float(bytes_[i, 4 * head + f])
        for k in range(1, head):
            sums[row, width + k - 1] += float(packed[i, k])


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
    sums : float64 (rows, K' + 3), with weights (rows, K' + 5)
    positions : int32 or uint16 (n,), which rows of ``sums``
    more : float32 (n, 4 + K' / 4) or with weights (n, 6 + K' / 4) packed rows, or sums (n, as many as ``sums``)
    """
    if more.shape[1] == sums.shape[1]:
        _add_sums(sums, positions, more)
    else:
        # The bytes of K' factors take K' / 4 float32: 4 (packed - head) = sums - head + 1.
        head = (4 * more.shape[1] - sums.shape[1] - 1) // 3
        _add_packed(sums, head, positions, more, more.view(np.int8))


def intercept_contributions(
    before: DoubleArray, after: DoubleArray, coupling: Coupling, weighted: bool = False
) -> DoubleArray:
    """N1, I and dG of one partition for w0: float64 (3,). ``before`` and ``after`` are (w0, G, I)."""
    added = float(after[1] - before[1])
    information = float(after[2] - before[2]) if weighted else added
    optimum = _optimum(coupling.intercept, float(before[1]), added, information)
    return np.array([optimum * (after[0] - before[0]), information, added])


def apply_merge(table: FloatArray, sums: DoubleArray, coupling: Coupling) -> DoubleArray:
    """Move a table, in place, by the summed contributions of all partitions.

    Parameters
    ----------
    table : float32 (features, K' + 8); sums : float64 (features, K' + 3 or K' + 5)

    Returns
    -------
    float64 (K' + 3,), the centre of what was moved.
    """
    centre = np.zeros(layout_of(table).factors + 3)
    _apply(table, sums, coupling.linear, coupling.factors, centre)
    return centre


def apply_centre(before: FloatArray, after: FloatArray, own: DoubleArray, merged: DoubleArray) -> None:
    """Shift all touched rows of ``after``, in place, so that the centre of the changes is the partitions' own.

    Parameters
    ----------
    before, after : float32 (features, K' + 8), the table when the round began and after :func:`apply_merge`
    own : float64 (K' + 3,), the sum of the centres that :func:`contributions` returned
    merged : float64 (K' + 3,), the centre that :func:`apply_merge` returned
    """
    width = own.size - 3
    information = np.concatenate([np.full(width, merged[-1]), merged[-2:-1]])
    shift = (own[:-2] - merged[:-2]) / np.maximum(information, np.finfo(np.float64).tiny)
    _shift(before, after, shift)


def apply_intercept_merge(intercept: DoubleArray, sums: DoubleArray, coupling: Coupling) -> DoubleArray:
    """The new (w0, G, I) from the old and the summed contributions of all partitions."""
    information, added = float(sums[1]), float(sums[2])
    if information <= 0.0:
        return np.array(intercept)
    share = _fraction(coupling.intercept, float(intercept[1]), added, information)
    return np.array([intercept[0] + sums[0] * share, intercept[1] + added, intercept[2]])
