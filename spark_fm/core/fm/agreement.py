"""Whether a column's features are those that a model knows by the same ids; and where they are not, which are which.

A field's checksum tells whether its features are the same ones, those without a name too. Where a side has none, names
tell, as far as both sides know them.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from spark_fm.core.fm.fields import Field, FieldLayout

LongArray = npt.NDArray[np.int64]


def difference(model: FieldLayout, column: FieldLayout) -> str:
    """Where a column first differs from what a model knows, as a part of a sentence; "" where nowhere.

    What only one side knows is no difference: it contributes nothing to a score.
    """
    pairs = list(_overlapping(model.fields, column.fields))
    certain = tuple(one for one, other in pairs if _both_checked(one, other) and not _apart(one, other))
    shared = np.array(sorted(model.names.keys() & column.names.keys()), np.int64)
    shared = shared[FieldLayout(certain).field_numbers(shared) < 0]
    mine, theirs = _joined(model, shared), _joined(column, shared)
    for feature, here, there in zip(shared.tolist(), mine, theirs, strict=True):
        if here != there:
            return (
                f"feature {feature} is {model.label(feature)!r} in the model and {column.label(feature)!r} in the "
                "column"
            )
    for one, other in pairs:
        first, end = np.searchsorted(shared, [max(one.first, other.first), min(one.end, other.end)])
        # What pyspark.ml's encoders leave are names; which of them are a field is a guess, and may be another one.
        guessed = first < end and not one.checksum and not other.checksum
        found = _other_value(one, other) if guessed else _apart(one, other)
        if found:
            return found
    return ""


def is_as_numbered(model: FieldLayout, features: LongArray, column: FieldLayout) -> bool:
    """Whether a column has a model's features, int64 (m,), under the same ids, as far as both know."""
    if difference(model, column):
        return False
    known = features[model.field_numbers(features) >= 0]
    missing = known[column.field_numbers(known) < 0]
    return all(feature in column.names for feature in missing.tolist())


def followed(model: FieldLayout, features: LongArray, column: FieldLayout) -> LongArray:
    """The ids that a model's ``features``, int64 (m,) in ascending order, have in a column: int64 (m,), -1 where none.

    Fields are the same by their names, and so are the features of a field: by their places where the field has not
    changed, else by the names of all.

    Raises
    ------
    ValueError
        When that does not tell; what it says is a part of a sentence.
    """
    ids = np.full(features.size, -1, np.int64)
    fields, named = {one.name: one for one in column.fields}, column.values_by_field()
    told = np.array(sorted(model.names), np.int64)
    for one in model.fields:
        here = slice(*np.searchsorted(features, [one.first, one.end]).tolist())
        other = fields.get(one.name)
        if other is None or here.start == here.stop:
            continue
        own = told[slice(*np.searchsorted(told, [one.first, one.end]).tolist())]
        if _is_unchanged(one, other, {i: model.names[i] for i in own.tolist()}, column):
            ids[here] = features[here] - one.first + other.first
            continue
        if _other_value(one, other):
            raise ValueError(_other_value(one, other))
        known = named.get(one.name, {})
        values = _names(model, features[here])
        if values is None or len(known) < other.size:
            raise ValueError(
                f"field {one.name!r} has other features now, and not all have a name of their own there and in the "
                f"model ({len(known)} of {other.size} in the column)"
            )
        ids[here] = [known.get(value, -1) for value in values]
    free = np.flatnonzero(model.field_numbers(features) < 0)
    values = _names(model, features[free])
    if values is None:
        raise ValueError("some features of the model have neither a field nor a name of their own")
    ids[free] = [named.get(None, {}).get(value, -1) for value in values]
    return ids


def _names(layout: FieldLayout, features: LongArray) -> list[str] | None:
    """The names of all the features; None where one has none, or two have the same."""
    found = [layout.names[i] for i in features.tolist() if i in layout.names]
    return found if len(set(found)) == features.size else None


def _is_unchanged(one: Field, other: Field, names: Mapping[int, str], column: FieldLayout) -> bool:
    """Whether a column's field has the features of a model's, whose ``names`` are given, at another place maybe."""
    if one.size != other.size or _other_value(one, other):
        return False
    if _both_checked(one, other):
        return one.checksum == other.checksum
    by = other.first - one.first
    return all(column.names.get(i + by, name) == name for i, name in names.items())


def _overlapping(fields: Sequence[Field], others: Sequence[Field]) -> Iterator[tuple[Field, Field]]:
    """Pairs of fields that have an id in common."""
    at = 0
    for one in fields:
        while at < len(others) and others[at].end <= one.first:
            at += 1
        last = at
        while last < len(others) and others[last].first < one.end:
            yield one, others[last]
            last += 1


def _both_checked(one: Field, other: Field) -> bool:
    return one.checksum is not None and other.checksum is not None


def _other_value(one: Field, other: Field) -> str:
    """What tells that the values of a field are other ones; "" where nothing does."""
    if one.name != other.name or one.value is None or other.value is None or one.value == other.value:
        return ""
    return f"the values of field {one.name!r} are {one.value} in the model and {other.value} in the column"


def _apart(one: Field, other: Field) -> str:
    """In what a model's and a column's fields differ, which have an id in common; "" where in nothing."""
    if (one.name, one.first, one.size) != (other.name, other.first, other.size):
        return (
            f"features {one.first} to {one.end - 1} are field {one.name!r} in the model, and features {other.first} to "
            f"{other.end - 1} are field {other.name!r} in the column"
        )
    if _other_value(one, other):
        return _other_value(one, other)
    if _both_checked(one, other) and one.checksum != other.checksum:
        return (
            f"field {one.name!r} has, behind the same names, other features in the model than in the column"
        )
    return ""


def _joined(layout: FieldLayout, features: LongArray) -> list[str]:
    """Names of features with those of their fields, as VectorAssembler joins them."""
    numbers = layout.field_numbers(features).tolist()
    fields = [layout.fields[number].name if number >= 0 else "" for number in numbers]
    values = [layout.names[i] for i in features.tolist()]
    return ["_".join(part for part in parts if part) for parts in zip(fields, values, strict=True)]
