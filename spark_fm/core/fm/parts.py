"""The largest parts of a prediction: which w_i x_i and which <v_i, v_j> x_i x_j a row's score is mostly made of."""

import numpy as np
import numpy.typing as npt

from spark_fm.core.compiled.compile import compiled
from spark_fm.core.compiled.simd import add8, load8, mul8, prefetch, splat8, store8
from spark_fm.core.fm.table import CACHE_LINE, layout_of

FloatArray = npt.NDArray[np.float32]
DoubleArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int32]

# Between the labels of a pair of features.
TIMES = " x "
LARGE = 1e9


@compiled
def keep(
    part: float, i: int, j: int, count: int, first: IntArray, second: IntArray, parts: DoubleArray
) -> int:
    """Put a part among the largest so far, which are in descending order; gives their number."""
    size = abs(part)
    at = count if count < parts.size else parts.size - 1
    while at > 0 and abs(parts[at - 1]) < size:
        first[at], second[at], parts[at] = first[at - 1], second[at - 1], parts[at - 1]
        at -= 1
    first[at], second[at], parts[at] = i, j, part
    return min(count + 1, parts.size)


@compiled
def _products(scaled: FloatArray, factor_size: int, a: int, n: int, products: FloatArray) -> None:
    """<v_a, v_b> x_a x_b for all b from a on, eight at a time, in float32."""
    for b in range(a // 8 * 8, n, 8):
        total = splat8(np.float32(0.0))
        for f in range(factor_size):
            total = add8(total, mul8(splat8(scaled[f, a]), load8(scaled, f, b)))
        store8(products, 0, b, total)


@compiled
def top_parts(
    table: FloatArray,
    indptr: IntArray,
    indices: IntArray,
    values: DoubleArray,
    counts: IntArray,
    first: IntArray,
    second: IntArray,
    parts: DoubleArray,
) -> None:
    """The largest parts of each row's prediction: of n known features n weights and n (n - 1) / 2 pairs.

    Pairs are chosen by their size in float32; what is chosen is computed in float64.

    Parameters
    ----------
    table : float32 (features, K' + 8), see :class:`spark_fm.core.fm.table.TableLayout`
    indptr, indices, values : a CSR block; an empty ``values`` counts as ones. A negative index is a feature that the
        model does not know.
    counts : int32 (rows,), filled with how many parts there are: at most ``top``, and none that is 0
    first, second : int32 (rows, top), filled with where in the row a part's features are, ``second`` being -1 for
        w_i x_i: positions in ``indices``
    parts : float64 (rows, top), filled with the parts, the largest absolute ones first
    """
    at, top = layout_of(table), parts.shape[1]
    K, rows = at.factors, indptr.size - 1
    longest = 8
    for row in range(rows):
        longest = max(longest, (indptr[row + 1] - indptr[row] + 7) // 8 * 8)
    # A row for each factor: the products of one feature with eight others then need no sum across a register.
    scaled, products = np.zeros((K, longest), np.float32), np.empty((1, longest), np.float32)
    known = np.empty(longest, np.int32)
    chosen_i, chosen_j, chosen = np.empty(top, np.int32), np.empty(top, np.int32), np.empty(top)
    has_values = values.size > 0
    for row in range(rows):
        if row + 1 < rows:
            for j in range(indptr[row + 1], indptr[row + 2]):
                for f in range(0, table.shape[1], CACHE_LINE):
                    prefetch(table, max(indices[j], 0), f)
        count, n = 0, 0
        largest = 1.0
        for j in range(indptr[row], indptr[row + 1]):
            if indices[j] >= 0:
                known[n] = j
                n += 1
                if has_values:
                    largest = max(largest, abs(values[j]))
        # Products of values beyond float32 are compared in units of their largest.
        unit = largest if largest > LARGE else 1.0
        for a in range(n):
            i, x = indices[known[a]], (values[known[a]] if has_values else 1.0)
            part = float(table[i, at.linear]) * x
            if part != 0.0 and (count < top or abs(part) > abs(chosen[count - 1])):
                count = keep(part, known[a], -1, count, chosen_i, chosen_j, chosen)
            for f in range(K):
                scaled[f, a] = np.float32(float(table[i, f]) * (x / unit))
        for a in range(n - 1):
            _products(scaled, K, a, n, products)
            least = abs(chosen[count - 1]) / (unit * unit) if count == top else 0.0
            for b in range(a + 1, n):
                if abs(products[0, b]) > least:
                    part = float(products[0, b]) * unit * unit
                    count = keep(part, known[a], known[b], count, chosen_i, chosen_j, chosen)
                    least = abs(chosen[count - 1]) / (unit * unit) if count == top else 0.0
        final = 0
        for c in range(count):
            p, q = chosen_i[c], chosen_j[c]
            part = chosen[c]
            if q >= 0:
                part = 0.0
                for f in range(K):
                    part += np.float64(table[indices[p], f]) * np.float64(table[indices[q], f])
                part *= (values[p] * values[q]) if has_values else 1.0
            final = keep(part, p, q, final, first[row], second[row], parts[row])
        counts[row] = final
