"""Which of a model's fields describe a context, and which an item."""

import logging
from collections.abc import Sequence
from typing import NamedTuple

from pyspark.sql import DataFrame

from spark_fm.cli.config import Recommend
from spark_fm.core.fm.fields import Field

logger = logging.getLogger("spark_fm.cli")


class Sides(NamedTuple):
    """The names of the fields of either side."""

    contexts: list[str]
    items: list[str]


def sides_of(fields: Sequence[Field], recommend: Recommend, contexts: DataFrame, items: DataFrame) -> Sides:
    """Divide the fields between contexts and items.

    A field that reads the key of the contexts is theirs, one that reads the key of the items is theirs; any other is
    of the side whose table has its columns. A field whose columns no table has is left out of all scores, with a line
    in the log: its features are unknown ones. ``recommend.itemFields`` names the items' fields instead; the others are
    then the contexts'.

    Raises
    ------
    ValueError
        When a field reads both keys, both tables have its columns, or a side has no field.
    """
    names = [one.name for one in fields]
    for name in recommend.itemFields:
        if name not in names:
            raise ValueError(f"recommend.itemFields: found {name!r}, expected some of: {', '.join(names)}")
    sides = Sides([], [])
    for one in fields:
        here = [set(table.columns).issuperset(one.columns) for table in (contexts, items)]
        if recommend.itemFields:
            wanted = one.name in recommend.itemFields
            here = [here[0] and not wanted, here[1] and wanted]
        elif recommend.context in one.columns and recommend.item in one.columns:
            raise ValueError(
                f"recommend: field {one.name!r} reads both {recommend.context!r} and {recommend.item!r}, expected "
                "fields that are the context's or the item's"
            )
        elif recommend.context in one.columns or recommend.item in one.columns:
            is_item = recommend.item in one.columns
            here = [here[0] and not is_item, here[1] and is_item]
        if all(here):
            raise ValueError(
                f"recommend.itemFields: both contexts and items have the columns of field {one.name!r} "
                f"({', '.join(one.columns)}), expected the names of the items' fields"
            )
        if not any(here):
            logger.warning(
                "field %r is left out: no table of its side has %s", one.name, " and ".join(one.columns)
            )
        for side, is_of in zip(sides, here, strict=True):
            if is_of:
                side.append(one.name)
    for key, side in sides._asdict().items():
        if not side:
            needed = ", ".join(sorted({column for one in fields for column in one.columns}))
            raise ValueError(f"recommend.{key}: found the columns of no field, expected some of: {needed}")
    return sides
