"""Which features have one prior, and which are drawn together: fields, of which a row has at most one feature."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spark_fm.core.compiled.compile import compiled
from spark_fm.core.sparse.block import Block

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float32]
DoubleArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int32]
LongArray = npt.NDArray[np.int64]
Ranges = tuple[tuple[int, int], ...]

MOST_FIELDS = 256
LARGEST_REPEATED_FIELD = 1024
# Rows that weigh less than so much of one row, all together, are as if absent where something is there or not.
NEGLIGIBLE = 1e-3


@dataclass(frozen=True)
class DrawOrder:
    """The features of each field, in the order in which they are drawn.

    Attributes
    ----------
    members : int32 arrays, the positions of each field's features, one for each field, in ascending order of their
        ids unless they are drawn in classes
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

    def of_group(self, group: int) -> IntArray:
        """The positions of all features of a group."""
        return np.concatenate([self.members[field] for field in self.groups[group]])


def known_fields(ids: LongArray, ranges: Ranges) -> LongArray:
    """The number of the range, first to end, in ascending order, that has each id: int64 (m,); -1 where none has."""
    firsts, ends = (np.array([one[side] for one in ranges], np.int64) for side in (0, 1))
    if not firsts.size:
        return np.full(ids.size, -1, np.int64)
    numbers = np.searchsorted(firsts, ids, side="right") - 1
    known: LongArray = np.where((numbers >= 0) & (ids < ends[numbers]), numbers, -1)
    return known


def ranks_without_field(numbers: LongArray, ids: LongArray) -> IntArray:
    """The rank of each feature's id among those of no field: int32 (m,), -1 for the features of fields."""
    free = np.flatnonzero(numbers < 0)
    ranks = np.full(ids.size, -1, np.int32)
    ranks[free[np.argsort(ids[free])]] = np.arange(free.size, dtype=np.int32)
    return ranks


def met_before(block: Block, ranks: IntArray) -> IntArray:
    """Of the features with a rank, which is the largest smaller one that has been beside it in a row; -1 for none.

    Of several blocks, the largest of theirs.
    """
    before = np.full(int(ranks.max(initial=-1)) + 1, -1, np.int32)
    _neighbours(block.indptr, ranks[block.indices], before)
    return before


def with_found(numbers: LongArray, ranks: IntArray, before: IntArray) -> LongArray:
    """Fields for all features: those of no field fall into the fewest ranges such that no row has two of one.

    Two features that are neighbours in a row need an end of a range between them; where ends are put as late as
    possible, they are fewest.

    Raises
    ------
    ValueError
        When these are too many to be what a row has one of each.
    """
    found = _cut(before)
    if int(found.max(initial=-1)) >= MOST_FIELDS:
        raise ValueError(
            f"solver: 'gibbs' draws field by field, and no {MOST_FIELDS} ranges of features are such that a row has "
            "at most one of each; expected a features column that names its fields (as FieldEncoder makes), or "
            "solver 'adagrad'"
        )
    made: LongArray = numbers.copy()
    free = ranks >= 0
    made[free] = numbers.max(initial=-1) + 1 + found[ranks[free]]
    return made


def incomplete_fields(block: Block, numbers: LongArray) -> tuple[DoubleArray, BoolArray]:
    """How much the rows weigh that have not exactly one feature of a field, of value 1, float64 (fields,); and of which
    fields a row has several.
    """
    fields = int(numbers.max(initial=-1)) + 1
    lacking, repeated = np.zeros(fields), np.zeros(fields, np.bool_)
    _count(block.indptr, block.indices, block.values, block.weight, numbers, lacking, repeated)
    return lacking, repeated


def met_together(block: Block, places: IntArray) -> BoolArray:
    """Which of the features with a place, -1 for none, have been in one row: bool (n * n,), for places from 0 on."""
    size = int(places.max(initial=-1)) + 1
    found = np.zeros((size, size), np.bool_)
    _meet(block.indptr, places[block.indices], found)
    return found.ravel()


def never_together(met: BoolArray) -> LongArray:
    """Classes of features, int64 (n,), of which none has two that met, bool (n, n): greedily, the busiest first."""
    classes = np.full(met.shape[0], -1, np.int64)
    for one in np.argsort(-met.sum(axis=1), kind="stable"):
        taken = set(classes[met[one]].tolist())
        classes[one] = next(number for number in range(met.shape[0]) if number not in taken)
    return classes


def places_of(members: IntArray, features: int) -> IntArray:
    """The place of each of so many features among the ``members``, -1 for all others: int32."""
    places = np.full(features, -1, np.int32)
    places[members] = np.arange(members.size, dtype=np.int32)
    return places


def classes_of(members: IntArray, met: BoolArray) -> list[IntArray]:
    """The features of a field, in the order of their ids, by classes of which no row has two."""
    classes = never_together(met)
    return [members[classes == one] for one in range(int(classes.max(initial=-1)) + 1)]


@compiled
def _meet(indptr: IntArray, places: IntArray, found: npt.NDArray[np.bool_]) -> None:
    here = np.empty(found.shape[0], np.int32)
    for row in range(indptr.size - 1):
        size = 0
        for at in range(indptr[row], indptr[row + 1]):
            if places[at] >= 0:
                here[size] = places[at]
                size += 1
        for a in range(size):
            for b in range(a):
                found[here[a], here[b]] = True
                found[here[b], here[a]] = True


@compiled
def _count(
    indptr: IntArray,
    indices: IntArray,
    values: npt.NDArray[np.float32] | npt.NDArray[np.float64],
    weight: FloatArray,
    numbers: LongArray,
    lacking: DoubleArray,
    repeated: BoolArray,
) -> None:
    found = np.zeros(lacking.size, np.int64)
    other = np.zeros(lacking.size, np.bool_)
    for row in range(indptr.size - 1):
        found[:] = 0
        other[:] = False
        for at in range(indptr[row], indptr[row + 1]):
            number = numbers[indices[at]]
            found[number] += 1
            if found[number] > 1:
                repeated[number] = True
            if values.size and values[at] != 1.0:
                other[number] = True
        for number in range(found.size):
            if found[number] != 1 or other[number]:
                lacking[number] += float(weight[row]) if weight.size else 1.0


@compiled
def _neighbours(indptr: IntArray, ranks: IntArray, before: IntArray) -> None:
    for row in range(indptr.size - 1):
        here = np.sort(ranks[indptr[row] : indptr[row + 1]])
        for j in range(1, here.size):
            if here[j - 1] >= 0:
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
