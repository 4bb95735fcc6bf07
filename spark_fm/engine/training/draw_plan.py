"""In what order a sampler draws features in rounds, and where the rows of each lie."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spark_fm.core.fm.settings import Settings
from spark_fm.core.solver.gibbs.fields import (
    LARGEST_REPEATED_FIELD,
    NEGLIGIBLE,
    DrawOrder,
    classes_of,
    known_fields,
    places_of,
    ranks_without_field,
    with_found,
)
from spark_fm.engine.packing.packed_data import PackedData
from spark_fm.engine.training.field_survey import incomplete_and_repeated, neighbours, together

BoolArray = npt.NDArray[np.bool_]
DoubleArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int32]
LongArray = npt.NDArray[np.int64]

MOST_CLASSES = 64
BYTES_OF_SUMS = 2**22


@dataclass(frozen=True)
class DrawClass:
    """Features of one field that never meet in a row, drawn in one job.

    Attributes
    ----------
    number : which class this is
    positions : int32, ascending
    is_dealt : whether a copy of the rows is dealt by them; else the partitions sum up
    """

    number: int
    positions: IntArray
    is_dealt: bool


@dataclass(frozen=True)
class DrawPlan:
    """The fields of all features, and the classes of each group of fields in the order in which they are drawn.

    Attributes
    ----------
    numbers : int64 (m,), each feature's field
    complete : bool, of which fields every row has exactly one feature, of value 1
    classes : int16 (m,), each feature's class
    """

    numbers: LongArray
    complete: BoolArray
    order: DrawOrder
    classes: npt.NDArray[np.int16]
    groups: list[list[DrawClass]]

    def classes_of(self, group: int) -> list[DrawClass]:
        """Those of a group of fields."""
        return self.groups[group]

    def shares(self, counts: DoubleArray, partitions: int) -> dict[int, npt.NDArray[np.int16]]:
        """To which partition the rows with each feature go, for each class that has a copy of the rows; where none
        has, one copy for all.

        The features take turns, the most frequent first, so that partitions have about as many rows.
        """
        made = {}
        for one in (one for group in self.groups for one in group if one.is_dealt):
            shares = np.full(self.numbers.size, -1, np.int16)
            busiest = one.positions[np.argsort(-counts[one.positions], kind="stable")]
            turns = np.arange(busiest.size) % (2 * partitions)
            shares[busiest] = np.minimum(turns, 2 * partitions - 1 - turns)
            made[one.number] = shares
        return made or {-1: np.full(self.numbers.size, -1, np.int16)}


def plan_of(packed: PackedData, settings: Settings, partitions: int, weight_of_row: float) -> DrawPlan:
    """The plan for packed data, whose rows of the given weight count as one row.

    Raises
    ------
    ValueError
        When a row has so many features of a field that they would have to be drawn one by one.
    """
    ids, vocabulary = packed.features.ids, packed.vocabulary(settings)
    numbers = known_fields(ids, settings.fields)
    if (numbers < 0).any():
        ranks = ranks_without_field(numbers, ids)
        numbers = with_found(numbers, ranks, neighbours(packed, vocabulary, ranks))
    lacking, repeated = incomplete_and_repeated(packed, vocabulary, numbers)
    complete = lacking < NEGLIGIBLE * weight_of_row
    order = DrawOrder.of(numbers, ids)
    d = settings.sampled_size + 1
    most_summed = max(1, BYTES_OF_SUMS // (8 * (d * d + 2 * d) * partitions))
    groups, number = list[list[DrawClass]](), 0
    for group in order.groups:
        made = []
        for field in group:
            members = order.members[field]
            for some in _classes(packed, settings, members, bool(repeated[numbers[members[0]]])):
                made.append(DrawClass(number, np.sort(some), some.size > most_summed))
                number += 1
        groups.append(made)
    if number > MOST_CLASSES:
        raise ValueError(
            f"solver: 'gibbs' in {partitions} partitions draws features that never meet in a row together, and found "
            f"{number} such groups, expected at most {MOST_CLASSES}: numPartitions 1, where one task has room for all "
            "rows, or solver 'adagrad'"
        )
    classes = np.empty(ids.size, np.int16)
    for one in (one for group in groups for one in group):
        classes[one.positions] = one.number
    return DrawPlan(numbers, complete, order, classes, groups)


def _classes(packed: PackedData, settings: Settings, members: IntArray, repeated: bool) -> list[IntArray]:
    """The features of a field, in ascending order of their ids, by what never meets."""
    if not repeated:
        return [members]
    if members.size > LARGEST_REPEATED_FIELD:
        ids = packed.features.ids[members]
        raise ValueError(
            f"solver: 'gibbs' in rounds draws features that never meet in a row together; found rows with several of "
            f"the {members.size:,} features {ids.min()} to {ids.max()}, expected at most {LARGEST_REPEATED_FIELD:,} "
            "such features: numPartitions 1, where one task has room for all rows, or solver 'adagrad'"
        )
    places = places_of(members, packed.features.ids.size)
    return classes_of(members, together(packed, packed.vocabulary(settings), places))
