"""The K items with the largest inner products, exactly, while the items pass by in tiles.

A product in float32 of many contexts and many items (BLAS) only says which pairs may be among the best: they are
computed again in float64. Higher scores come first, equal ones by position.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spark_fm.core.compiled.compile import compiled_exactly

FloatArray = npt.NDArray[np.float32]
DoubleArray = npt.NDArray[np.float64]
LongArray = npt.NDArray[np.int64]

ITEMS_A_TILE, CONTEXTS_A_TILE = 1024, 256
# Beyond it, sums in float32 may overflow on their way to a small result.
LARGEST_SUM = 1e37
SMALLEST_ERROR = 1e-36
SCANNED = 64


@compiled_exactly
def _is_worse(z: float, at: int, than_z: float, than_at: int) -> bool:
    return z < than_z or (z == than_z and at > than_at)


@compiled_exactly
def _sift(scores: DoubleArray, positions: LongArray, i: int, size: int) -> None:
    """Move the entry ``i`` of a heap, whose root is the worst, down to where it belongs."""
    z, at = scores[i], positions[i]
    while 2 * i + 1 < size:
        child = 2 * i + 1
        if child + 1 < size and _is_worse(
            scores[child + 1], positions[child + 1], scores[child], positions[child]
        ):
            child += 1
        if not _is_worse(scores[child], positions[child], z, at):
            break
        scores[i], positions[i] = scores[child], positions[child]
        i = child
    scores[i], positions[i] = z, at


@compiled_exactly
def _is_among(sorted_positions: LongArray, first: int, end: int, position: int) -> bool:
    while first < end:
        middle = (first + end) // 2
        if sorted_positions[middle] == position:
            return True
        if sorted_positions[middle] < position:
            first = middle + 1
        else:
            end = middle
    return False


@compiled_exactly
def _are_below(products: FloatArray, limit: np.float32) -> bool:
    # Counted in 32 bits and without a branch, so that it is compiled to vector instructions.
    others = np.int32(0)
    for product in products:
        others += np.int32(0) if product < limit else np.int32(1)
    return bool(others == 0)


@compiled_exactly
def _visit(
    products: FloatArray,
    errors: DoubleArray,
    contexts: DoubleArray,
    items: DoubleArray,
    first: int,
    scores: DoubleArray,
    positions: LongArray,
    found: LongArray,
    excluded_ptr: LongArray,
    excluded: LongArray,
) -> None:
    """Take the items of a tile into the heaps of some contexts; ``first`` is the position of the tile's first item."""
    k, width, count = scores.shape[1], contexts.shape[1], items.shape[0]
    for row in range(contexts.shape[0]):
        limit = np.float32(-np.inf)
        if found[row] == k:
            limit = np.float32(scores[row, 0] - errors[row])
        of_row = products[row]
        j = 0
        while j < count:
            if _are_below(of_row[j : j + SCANNED], limit):
                j += SCANNED
                continue
            for here in range(j, min(j + SCANNED, count)):
                if of_row[here] < limit:
                    continue
                position = first + here
                if _is_among(excluded, excluded_ptr[row], excluded_ptr[row + 1], position):
                    continue
                z = 0.0
                for f in range(width):
                    z += contexts[row, f] * items[here, f]
                if found[row] < k:
                    i = found[row]
                    scores[row, i], positions[row, i] = z, position
                    found[row] += 1
                    if found[row] < k:
                        continue
                    for parent in range(k // 2 - 1, -1, -1):
                        _sift(scores[row], positions[row], parent, k)
                elif _is_worse(scores[row, 0], positions[row, 0], z, position):
                    scores[row, 0], positions[row, 0] = z, position
                    _sift(scores[row], positions[row], 0, k)
                limit = np.float32(scores[row, 0] - errors[row])
            j += SCANNED


@dataclass(frozen=True)
class Excluded:
    """Positions of the items that each context leaves out, as CSR: int64, ascending within a context."""

    indptr: LongArray
    positions: LongArray

    @classmethod
    def nothing(cls, contexts: int) -> "Excluded":
        """For contexts that leave nothing out."""
        return cls(np.zeros(contexts + 1, np.int64), np.empty(0, np.int64))

    @classmethod
    def of_pairs(cls, rows: LongArray, positions: LongArray, contexts: int) -> "Excluded":
        """From pairs (row of the context, position of the item) in any order; a pair may repeat."""
        order = np.lexsort((positions, rows))
        counts = np.bincount(rows, minlength=contexts)
        return cls(np.concatenate([[0], np.cumsum(counts)]), positions[order])


class TopK:
    """The best items so far of some contexts.

    Parameters
    ----------
    contexts : float64 (contexts, n), the vectors phi
    k : how many items, at least 1
    excluded : what each context leaves out
    """

    def __init__(self, contexts: DoubleArray, k: int, excluded: Excluded) -> None:
        rows = contexts.shape[0]
        self._contexts, self._excluded = contexts, excluded
        with np.errstate(over="ignore"):
            self._short = contexts.astype(np.float32)
        self._sizes = np.abs(contexts)
        self._scores = np.empty((rows, k))
        self._positions = np.empty((rows, k), np.int64)
        self._found = np.zeros(rows, np.int64)
        self._products = np.empty(CONTEXTS_A_TILE * ITEMS_A_TILE, np.float32)

    def visit(self, items: DoubleArray, first: int) -> None:
        """Take in items: float64 (items, n), the vectors psi of the items from position ``first`` on."""
        for start in range(0, items.shape[0], ITEMS_A_TILE):
            self._visit_tile(items[start : start + ITEMS_A_TILE], first + start)

    def _visit_tile(self, items: DoubleArray, first: int) -> None:
        with np.errstate(over="ignore", invalid="ignore"):
            short = np.ascontiguousarray(items.astype(np.float32).T)
            errors = _largest_errors(self._sizes @ np.abs(items).max(axis=0), items.shape[1])
        for start in range(0, self._contexts.shape[0], CONTEXTS_A_TILE):
            some = slice(start, start + CONTEXTS_A_TILE)
            contexts = self._contexts[some]
            shape = (contexts.shape[0], items.shape[0])
            products = self._products[: shape[0] * shape[1]].reshape(shape)
            with np.errstate(over="ignore", invalid="ignore"):
                np.matmul(self._short[some], short, out=products)
            _visit(
                products,
                errors[some],
                contexts,
                items,
                first,
                self._scores[some],
                self._positions[some],
                self._found[some],
                self._excluded.indptr[start : start + contexts.shape[0] + 1],
                self._excluded.positions,
            )

    def result(self) -> tuple[LongArray, LongArray, DoubleArray]:
        """How many items each context has, int64 (contexts,); all their positions and scores, best first."""
        kept = np.arange(self._scores.shape[1]) < self._found[:, None]
        rows = np.repeat(np.arange(self._found.size), self._found)
        positions, scores = self._positions[kept], self._scores[kept]
        order = np.lexsort((positions, -scores, rows))
        return self._found, positions[order], scores[order]


def _largest_errors(sums: DoubleArray, width: int) -> DoubleArray:
    """By how much a product in float32 may miss, where the sizes of its terms add up to ``sums`` at most."""
    errors: DoubleArray = (width + 4) * 2.0**-23 * sums + SMALLEST_ERROR
    return np.where(sums < LARGEST_SUM, errors, np.inf)
