"""Rows put together of the features of several fields."""

import numpy as np
import numpy.typing as npt

from spark_fm.core.compiled.compile import compiled_exactly

LongArray = npt.NDArray[np.int64]
DoubleArray = npt.NDArray[np.float64]

FEW = 32


@compiled_exactly
def place_one(
    at: LongArray, ids: LongArray, values: DoubleArray, out_ids: LongArray, out_values: DoubleArray
) -> None:
    """Write each row's id, where it is not below 0, to the row's place ``at``, which goes one on.

    An empty ``values`` counts as ones; an empty ``out_values`` is not written.
    """
    for row in range(ids.size):
        if ids[row] >= 0:
            out_ids[at[row]] = ids[row]
            if out_values.size > 0:
                out_values[at[row]] = values[row] if values.size > 0 else 1.0
            at[row] += 1


@compiled_exactly
def place_many(
    at: LongArray,
    indptr: LongArray,
    ids: LongArray,
    values: DoubleArray,
    out_ids: LongArray,
    out_values: DoubleArray,
) -> None:
    """Write each row's ids to its place ``at``, which goes on; as :func:`place_one`."""
    for row in range(at.size):
        for j in range(indptr[row], indptr[row + 1]):
            out_ids[at[row]] = ids[j]
            if out_values.size > 0:
                out_values[at[row]] = values[j] if values.size > 0 else 1.0
            at[row] += 1


@compiled_exactly
def _sort_row(ids: LongArray, values: DoubleArray, start: int, end: int) -> None:
    if end - start > FEW:
        # Stable, as what follows: what adds up does so in one order, whatever else is in the row.
        order = np.argsort(ids[start:end], kind="mergesort")
        ids[start:end] = ids[start:end][order]
        if values.size > 0:
            values[start:end] = values[start:end][order]
        return
    for i in range(start + 1, end):
        j, one = i, ids[i]
        x = values[i] if values.size > 0 else 1.0
        while j > start and ids[j - 1] > one:
            ids[j] = ids[j - 1]
            if values.size > 0:
                values[j] = values[j - 1]
            j -= 1
        ids[j] = one
        if values.size > 0:
            values[j] = x


@compiled_exactly
def merge_in_rows(indptr: LongArray, ids: LongArray, values: DoubleArray, out_indptr: LongArray) -> int:
    """Sort each row's ids in place, leave those below 0 out, and keep each once, with the sum of its values.

    Returns
    -------
    How many are left; they lie at the front of ``ids`` and ``values`` (empty: there are none), as ``out_indptr`` says.
    """
    kept = 0
    for row in range(indptr.size - 1):
        start, end = indptr[row], indptr[row + 1]
        out_indptr[row] = kept
        _sort_row(ids, values, start, end)
        for j in range(start, end):
            if ids[j] < 0:
                continue
            if kept > out_indptr[row] and ids[kept - 1] == ids[j]:
                if values.size > 0:
                    values[kept - 1] += values[j]
                continue
            ids[kept] = ids[j]
            if values.size > 0:
                values[kept] = values[j]
            kept += 1
    out_indptr[indptr.size - 1] = kept
    return kept
