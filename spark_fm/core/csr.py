"""Loops over the rows of a CSR matrix that numpy has no single pass for."""

import numpy as np
import numpy.typing as npt

from spark_fm.core.compile import compiled

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
    values: FloatArray,
    rows: LongArray,
    out_indptr: IntArray,
    out_indices: IntArray,
    out_values: FloatArray,
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
    values: FloatArray,
    skip: npt.NDArray[np.bool_],
    counts: DoubleArray,
    squares: DoubleArray,
) -> None:
    """Add each feature's non-zeros to ``counts`` and its squared values to ``squares``.

    Rows marked in ``skip`` (empty: none) do not count. An empty ``values`` counts as ones.
    """
    for row in range(indptr.size - 1):
        if skip.size > 0 and skip[row]:
            continue
        for j in range(indptr[row], indptr[row + 1]):
            counts[indices[j]] += 1.0
            x = float(values[j]) if values.size > 0 else 1.0
            squares[indices[j]] += x * x


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
