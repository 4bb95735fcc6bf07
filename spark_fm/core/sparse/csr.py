"""Loops over the rows of a CSR matrix that numpy has no single pass for."""

import numpy as np
import numpy.typing as npt

from spark_fm.core.compiled.compile import compiled

IntArray = npt.NDArray[np.int32]
LongArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float32]
DoubleArray = npt.NDArray[np.float64]
ShortArray = npt.NDArray[np.uint16]

ESCAPE = 0xFFFF


@compiled
def first_unsorted(indptr: LongArray, ids: LongArray) -> int:
    """Where ids stop to ascend strictly within their row; -1 when all do."""
    for row in range(indptr.size - 1):
        for j in range(indptr[row] + 1, indptr[row + 1]):
            if ids[j] <= ids[j - 1]:
                return int(j)
    return -1


@compiled
def take_rows(
    indptr: IntArray,
    indices: IntArray,
    values: FloatArray | DoubleArray,
    rows: LongArray,
    out_indptr: IntArray,
    out_indices: IntArray,
    out_values: FloatArray | DoubleArray,
) -> None:
    """Copy the given rows, in the given order; an empty ``values`` counts as ones and stays empty.

    ``out_indptr`` comes filled; ``out_indices`` and ``out_values`` are as long as it says.
    """
    has_values = values.size > 0
    for r in range(rows.size):
        start, to = indptr[rows[r]], out_indptr[r]
        for j in range(out_indptr[r + 1] - to):
            out_indices[to + j] = indices[start + j]
            if has_values:
                out_values[to + j] = values[start + j]


@compiled
def count_occurrences(
    indptr: IntArray,
    indices: IntArray,
    values: FloatArray | DoubleArray,
    weight: FloatArray,
    skip: npt.NDArray[np.bool_],
    counts: DoubleArray,
    means: DoubleArray,
    spreads: DoubleArray,
    summed: DoubleArray,
) -> None:
    """Add each feature's non-zeros to their ``counts``, the sums of the rows' weights ``summed``, and, weighted, their
    ``means`` and sums of squared deviations ``spreads``.

    One by one (B. Welford, Technometrics 4, 1962; D. West, Communications of the ACM 22, 1979), so that a mean that is
    large beside its spread does no harm. Rows marked in ``skip`` (empty: none) do not count. An empty ``values`` or
    ``weight`` counts as ones; an empty ``summed`` is as ``counts``.
    """
    for row in range(indptr.size - 1):
        if skip.size > 0 and skip[row]:
            continue
        g = float(weight[row]) if weight.size > 0 else 1.0
        for j in range(indptr[row], indptr[row + 1]):
            i = indices[j]
            counts[i] += 1.0
            total = counts[i]
            if summed.size > 0:
                summed[i] += g
                total = summed[i]
            x = float(values[j]) if values.size > 0 else 1.0
            off = x - means[i]
            if off != 0.0:
                means[i] += g * off / total
                spreads[i] += g * off * (x - means[i])


@compiled
def with_dense(
    indptr: IntArray,
    indices: IntArray,
    values: FloatArray | DoubleArray,
    dense: IntArray,
    place: IntArray,
    mean: DoubleArray,
    inverse: DoubleArray,
    out_indptr: IntArray,
    out_indices: IntArray,
    out_values: FloatArray,
) -> None:
    """Each row's values as (x - mean) * inverse, with an entry for every dense feature: a zero of it is a value.

    Parameters
    ----------
    dense : int32 (d,), the dense features; place : int32 (features,), their places in it, -1 for the others
    mean, inverse : float64 (features,)
    out_indptr : int32 (rows + 1,) and the others as long as it says, filled here
    """
    at = 0
    for row in range(indptr.size - 1):
        out_indptr[row] = at
        for k in range(dense.size):
            out_indices[at + k] = dense[k]
            out_values[at + k] = -mean[dense[k]] * inverse[dense[k]]
        to = at + dense.size
        for j in range(indptr[row], indptr[row + 1]):
            i = indices[j]
            x = ((float(values[j]) if values.size > 0 else 1.0) - mean[i]) * inverse[i]
            if place[i] >= 0:
                out_values[at + place[i]] = x
            else:
                out_indices[to] = i
                out_values[to] = x
                to += 1
        at = to
    out_indptr[indptr.size - 1] = at


@compiled
def _count_long(indices: IntArray) -> int:
    count = 0
    for i in range(indices.size):
        count += indices[i] >= ESCAPE
    return count


@compiled
def _shorten(indices: IntArray, short: ShortArray, long: IntArray) -> None:
    at = 0
    for i in range(indices.size):
        if indices[i] >= ESCAPE:
            short[i] = ESCAPE
            long[at] = indices[i]
            at += 1
        else:
            short[i] = indices[i]


@compiled
def lengthen(short: ShortArray, long: IntArray, indices: IntArray) -> None:
    """The indices that :func:`shorten` took apart."""
    at = 0
    for i in range(short.size):
        if short[i] == ESCAPE:
            indices[i] = long[at]
            at += 1
        else:
            indices[i] = short[i]


def shorten(indices: IntArray) -> tuple[ShortArray, IntArray] | None:
    """Indices as uint16, where 65535 says that the next of a second array is meant; None when that is no shorter."""
    escaped = int(_count_long(indices))
    if escaped * 2 >= indices.size:
        return None
    short, long = np.empty(indices.size, np.uint16), np.empty(escaped, np.int32)
    _shorten(indices, short, long)
    return short, long
