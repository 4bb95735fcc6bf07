"""Which of a model's fields describe a context, and which an item."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from spark_fm.core.fm.fields import Field


class Keyed(NamedTuple):
    """A table of one side: the column of its keys, and all columns."""

    key: str
    columns: Collection[str]

    def has(self, field: Field) -> bool:
        """Whether the columns of a field are there."""
        return set(self.columns).issuperset(field.columns)


class Sides(NamedTuple):
    """The names of the fields of either side, and of those whose columns no table has."""

    contexts: list[str]
    items: list[str]
    left_out: list[str]


def sides_of(
    fields: Sequence[Field], contexts: Keyed, items: Keyed, item_fields: Collection[str] = (), where: str = ""
) -> Sides:
    """Divide the fields between contexts and items.

    A field that reads the key of the contexts is theirs, one that reads the key of the items is theirs; any other is
    of the side whose table has its columns. ``item_fields`` names the items' fields instead; the others are then the
    contexts'. Features of fields that are left out are unknown ones.

    Parameters
    ----------
    where : what stands before the names of options in sentences

    Raises
    ------
    ValueError
        When a field reads columns of both sides, both tables have its columns, or a side has no field.
    """
    names = [one.name for one in fields]
    for name in item_fields:
        if name not in names:
            raise ValueError(f"{where}itemFields: found {name!r}, expected some of: {', '.join(names)}")
    sides = Sides([], [], [])
    for one in fields:
        of_context, of_item = _places(one, contexts, items, item_fields)
        if of_context and of_item:
            raise ValueError(
                f"{where}itemFields: both contexts and items have the columns of field {one.name!r} "
                f"({', '.join(one.columns)}), expected the names of the items' fields"
            )
        side = sides.contexts if of_context else sides.items if of_item else sides.left_out
        side.append(one.name)
    for name, side in (("contexts", sides.contexts), ("items", sides.items)):
        if not side:
            needed = ", ".join(sorted({column for one in fields for column in one.columns}))
            raise ValueError(f"{where}{name}: found the columns of no field, expected some of: {needed}")
    return sides


def _places(one: Field, contexts: Keyed, items: Keyed, item_fields: Collection[str]) -> tuple[bool, bool]:
    """Whether a field is of the contexts, and whether it is of the items."""
    reads_both_keys = contexts.key in one.columns and items.key in one.columns
    in_both_together = {*contexts.columns, *items.columns}.issuperset(one.columns)
    apart = in_both_together and not contexts.has(one) and not items.has(one)
    if apart or reads_both_keys:
        raise ValueError(
            f"field {one.name!r}: found columns of both sides ({', '.join(one.columns)}), expected fields of one side "
            "each: what it adds to a score is no product of two vectors"
        )
    if item_fields:
        may = one.name not in item_fields, one.name in item_fields
    elif contexts.key in one.columns or items.key in one.columns:
        may = contexts.key in one.columns, items.key in one.columns
    else:
        may = True, True
    return contexts.has(one) and may[0], items.has(one) and may[1]
