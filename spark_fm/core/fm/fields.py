"""Fields: which features belong together, and what a person calls them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

LongArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Field:
    """The features ``first`` to ``first + size - 1``, which describe one thing of a row.

    Attributes
    ----------
    name : what people call it, such as "user"
    first : its first feature id
    size : how many ids it has
    kind : what made it, such as "categorical", "set" or "numeric"
    columns : the columns of the table that it was made of
    one_per_row : whether a row has at most one of its features
    value : what the value of its features is in a row, such as "1", "1/n" or "log1p(x)"; None where nobody knows
    checksum : of all its values in the order of their features, named or not; None where nobody knows
    """

    name: str
    first: int
    size: int
    kind: str = "categorical"
    columns: tuple[str, ...] = ()
    one_per_row: bool = True
    value: str | None = None
    checksum: str | None = None

    @property
    def end(self) -> int:
        """The first id after its own."""
        return self.first + self.size


@dataclass(frozen=True)
class FieldLayout:
    """The fields of a features column, in ascending order of their ids, without overlap.

    Attributes
    ----------
    fields : all fields
    names : from feature id to the value that it stands for, as text; ids may be missing. The feature of a
        field of one number is named "". A feature of no field may have a name too.

    Raises
    ------
    ValueError
        When fields overlap, are not in order, are empty, or two have one name.

    Examples
    --------
    >>> layout = FieldLayout((Field("user", 0, 2), Field("age", 2, 1, "numeric")), {0: "ann", 2: ""})
    >>> [layout.label(i) for i in range(4)]
    ['user=ann', 'user=#1', 'age', '#3']
    """

    fields: tuple[Field, ...]
    names: Mapping[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        after = 0
        for one in self.fields:
            if one.size < 1 or one.first < after:
                raise ValueError(
                    f"field {one.name!r}: {one.size} ids from {one.first} on, expected at least one, from {after} on"
                )
            after = one.end
        if len({one.name for one in self.fields}) < len(self.fields):
            raise ValueError(
                f"fields: found the names {[one.name for one in self.fields]}, expected no name twice"
            )

    @cached_property
    def _firsts(self) -> LongArray:
        return np.array([one.first for one in self.fields], np.int64)

    @cached_property
    def _ends(self) -> LongArray:
        return np.array([one.end for one in self.fields], np.int64)

    def field_numbers(self, ids: npt.ArrayLike) -> LongArray:
        """The number of each feature's field, int64 like ``ids``; -1 for a feature of none."""
        features = np.asarray(ids, np.int64)
        if not self.fields:
            return np.full(features.shape, -1, np.int64)
        numbers = np.searchsorted(self._firsts, features, side="right") - 1
        known = (numbers >= 0) & (features < self._ends[np.maximum(numbers, 0)])
        return np.where(known, numbers, -1)

    def label(self, feature: int) -> str:
        """What a person calls a feature: "user=ann", the field's name alone where it is a number, "user=#7" without a
        name; of no field its name alone, or "#7".
        """
        return self.labels([feature])[0]

    def labels(self, ids: npt.ArrayLike) -> list[str]:
        """The :meth:`label` of each feature, in the order of ``ids``."""
        features = np.asarray(ids, np.int64)
        numbers = self.field_numbers(features).tolist()
        return [self._said(i, number) for i, number in zip(features.tolist(), numbers, strict=True)]

    def _said(self, feature: int, number: int) -> str:
        value = self.names.get(feature)
        if number < 0:
            return value or f"#{feature}"
        one = self.fields[number]
        if value is None:
            return f"{one.name}=#{feature - one.first}"
        return f"{one.name}={value}" if value else one.name

    def values_by_field(self) -> dict[str | None, dict[str, int]]:
        """Of each field the features that have a name, by it; those of no field under None. Where several of a field
        have one name, none of them.
        """
        found: dict[str | None, dict[str, int]] = {}
        twice = []
        numbers = self.field_numbers(np.fromiter(self.names, np.int64, len(self.names))).tolist()
        for (feature, value), number in zip(self.names.items(), numbers, strict=True):
            field = self.fields[number].name if number >= 0 else None
            if found.setdefault(field, {}).setdefault(value, feature) != feature:
                twice.append((field, value))
        for field, value in twice:
            found[field].pop(value, None)
        return found

    def number_of(self, name: str) -> int:
        """The number of the field of that name.

        Raises
        ------
        ValueError
            When there is none.
        """
        names = [one.name for one in self.fields]
        if name not in names:
            raise ValueError(f"there is no field {name!r}; the fields are: {', '.join(names) or 'none'}")
        return names.index(name)

    def among(self, ids: npt.ArrayLike) -> "FieldLayout":
        """The same fields, with the names of the given features only."""
        kept = (int(i) for i in np.asarray(ids, np.int64).tolist())
        return FieldLayout(self.fields, {i: self.names[i] for i in kept if i in self.names})

    def renumbered(self, before: npt.ArrayLike, after: npt.ArrayLike) -> "FieldLayout":
        """These fields, with the names of the features ``before`` under the ids ``after``; those below 0 have none."""
        ids = zip(np.asarray(before, np.int64).tolist(), np.asarray(after, np.int64).tolist(), strict=True)
        return FieldLayout(
            self.fields, {i: self.names[old] for old, i in ids if i >= 0 and old in self.names}
        )

    def over(self, other: "FieldLayout | None") -> "FieldLayout":
        """These fields, with the names of both; where both name a feature, this one's."""
        return self if other is None else FieldLayout(self.fields, {**other.names, **self.names})

    def to_json(self) -> list[dict[str, Any]]:
        """The fields (not the names) as plain data."""
        return [{name: told for name, told in asdict(one).items() if told is not None} for one in self.fields]

    @classmethod
    def of_json(cls, fields: Sequence[Mapping[str, Any]], names: Mapping[int, str]) -> "FieldLayout":
        """The inverse of :meth:`to_json`.

        Raises
        ------
        ValueError
            When it is anything else.
        """
        try:
            made = tuple(
                Field(
                    str(one["name"]), int(one["first"]), int(one["size"]), str(one["kind"]),
                    tuple(map(str, one["columns"])), bool(one["one_per_row"]), one.get("value"),
                    one.get("checksum"),
                )
                for one in fields
            )  # fmt: skip
        except (KeyError, TypeError) as error:
            raise ValueError(f"fields: found {fields!r}, expected what to_json makes") from error
        return cls(made, dict(names))

    @classmethod
    def of_labels(cls, fields: Sequence[Field], labels: Mapping[int, str]) -> "FieldLayout":
        """The layout whose features :meth:`label` calls so; those without a name may be missing."""
        bare = cls(tuple(fields))
        numbers = bare.field_numbers(np.fromiter(labels, np.int64, len(labels))).tolist()
        names: dict[int, str] = {}
        for (feature, label), number in zip(labels.items(), numbers, strict=True):
            name = "" if number < 0 else bare.fields[number].name
            if name and label == name:
                names[feature] = ""
            else:
                names[feature] = label.removeprefix(f"{name}=") if name else label
        return cls(bare.fields, names)
