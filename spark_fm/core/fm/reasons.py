"""Why an item has its score for a context: the largest of the parts that this item, and no other, adds to it."""

import numpy as np
import numpy.typing as npt

from spark_fm.core.compiled.compile import compiled
from spark_fm.core.fm.parts import keep
from spark_fm.core.fm.table import layout_of

FloatArray = npt.NDArray[np.float32]
DoubleArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int32]
LongArray = npt.NDArray[np.int64]


@compiled
def _product(table: FloatArray, i: int, j: int, factors: int) -> float:
    total = 0.0
    for f in range(factors):
        total += np.float64(table[i, f]) * np.float64(table[j, f])
    return total


@compiled
def _keep_large(
    part: float, i: int, j: int, count: int, first: IntArray, second: IntArray, parts: DoubleArray
) -> int:
    if part == 0.0 or (count == parts.size and abs(part) <= abs(parts[count - 1])):
        return count
    return int(keep(part, i, j, count, first, second, parts))


@compiled
def top_reasons(
    table: FloatArray,
    context_ptr: LongArray,
    context_rows: IntArray,
    context_values: DoubleArray,
    item_ptr: LongArray,
    item_rows: IntArray,
    item_values: DoubleArray,
    contexts: LongArray,
    items: LongArray,
    counts: IntArray,
    first: IntArray,
    second: IntArray,
    parts: DoubleArray,
) -> None:
    """The largest parts, by absolute size, that an item's features add to z: w_f x_f, <v_f, v_g> x_f x_g among
    themselves, and <v_e, v_f> x_e x_f with each feature e of the context.

    What the context's features add by themselves is the same for all items, and no reason for one.

    Parameters
    ----------
    table : float32 (features, K' + 8), see :class:`spark_fm.core.fm.table.TableLayout`
    context_ptr, context_rows, context_values : contexts as CSR; the features are rows of the table
    item_ptr, item_rows, item_values : items as CSR
    contexts, items : int64 (pairs,), of which context and which item the reasons are asked
    counts : int32 (pairs,), filled with how many reasons there are: at most ``top``, and none that is 0
    first, second : int32 (pairs, top), filled with the features of a part, as rows of the table: the context's first;
        ``second`` is -1 for w_f x_f
    parts : float64 (pairs, top), filled with the parts, the largest first
    """
    at = layout_of(table)
    K = at.factors
    for p in range(contexts.size):
        count = 0
        for a in range(item_ptr[items[p]], item_ptr[items[p] + 1]):
            i, x = item_rows[a], item_values[a]
            count = _keep_large(
                np.float64(table[i, at.linear]) * x, i, -1, count, first[p], second[p], parts[p]
            )
            for b in range(a + 1, item_ptr[items[p] + 1]):
                part = _product(table, i, item_rows[b], K) * x * item_values[b]
                count = _keep_large(part, i, item_rows[b], count, first[p], second[p], parts[p])
            for c in range(context_ptr[contexts[p]], context_ptr[contexts[p] + 1]):
                part = _product(table, context_rows[c], i, K) * x * context_values[c]
                count = _keep_large(part, context_rows[c], i, count, first[p], second[p], parts[p])
        counts[p] = count
