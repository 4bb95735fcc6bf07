"""Which features are drawn together: fields, of which a row has at most one feature."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spark_fm.core.compiled.compile import compiled
from spark_fm.core.sparse.block import Block

IntArray = npt.NDArray[np.int32]
LongArray = npt.NDArray[np.int64]

MOST_FIELDS = 256


@dataclass(frozen=True)
class DrawOrder:
    """The features of each field, in the order in which they are drawn.

    Attributes
    ----------
    members : int32 arrays, the positions of each field's features, in ascending order of their ids
    groups : which fields have one prior, by their numbers: fields of one feature share theirs
    """

    members: Sequence[IntArray]
    groups: Sequence[Sequence[int]]

    @classmethod
    def of(cls, numbers: LongArray, ids: LongArray) -> "DrawOrder":
        """From each feature's field number, int64 (m,), and its id."""
        order = np.lexsort((ids, numbers)).astype(np.int32)
        begins = np.flatnonzero(np.diff(numbers[order])) + 1
        members = np.split(order, begins) if order.size else []
        single = [number for number, one in enumerate(members) if one.size == 1]
        groups = [[number] for number, one in enumerate(members) if one.size > 1]
        return cls(members, [*groups, single] if single else groups)


def ranges_of_fields(block: Block, ids: LongArray) -> LongArray:
    """The field number of each feature, int64 (m,), where no one tells: the fewest ranges of ids such that no row has
    two features of one.

    Two features that are neighbours in a row need an end of a range between them; where ends are put as late as
    possible, they are fewest.

    Raises
    ------
    ValueError
        When these are too many to be what a row has one of each.
    """
    order = np.argsort(ids)
    ranks = np.empty(ids.size, np.int32)
    ranks[order] = np.arange(ids.size, dtype=np.int32)
    before = np.full(ids.size, -1, np.int32)
    _neighbours(block.indptr, ranks[block.indices], before)
    numbers = np.empty(ids.size, np.int64)
    numbers[order] = _cut(before)
    found = int(numbers.max(initial=-1)) + 1
    if found > MOST_FIELDS:
        raise ValueError(
            f"solver: 'gibbs' draws field by field, and no {MOST_FIELDS} ranges of features are such that a row has "
            "at most one of each; expected a features column that names its fields (as FieldEncoder makes), or "
            "solver = 'adagrad'"
        )
    return numbers


@compiled
def _neighbours(indptr: IntArray, ranks: IntArray, before: IntArray) -> None:
    for row in range(indptr.size - 1):
        here = np.sort(ranks[indptr[row] : indptr[row + 1]])
        for j in range(1, here.size):
            before[here[j]] = max(before[here[j]], here[j - 1])


@compiled
def _cut(before: IntArray) -> LongArray:
    numbers = np.empty(before.size, np.int64)
    number, first = 0, 0
    for rank in range(before.size):
        if before[rank] >= first:
            number += 1
            first = rank
        numbers[rank] = number
    return numbers
