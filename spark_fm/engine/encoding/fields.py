"""Fields as a fit has learned them: plain data, which workers read and saved models hold."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from spark_fm.core.fm.fields import Field, FieldLayout
from spark_fm.engine.encoding.parts import PARTS

LongArray = npt.NDArray[np.int64]
BY_FREQUENCY = ("categorical", "set", "weighted")
MANY = ("set", "weighted")
# A field's last feature stands for what has no other. Numbers have one where it was asked for.
NUMBERS = ("numeric", "cyclic")
NO_LONGS: LongArray = np.empty(0, np.int64)
OTHER, EMPTY = "(other)", "(empty)"
# Of saved encoders. What changes the features of what is saved takes another number.
FORMAT = 4
LARGEST_IN_FULL = 1e16


@dataclass(frozen=True)
class Vocabulary:
    """The values of a field: their hashes, by falling count.

    Attributes
    ----------
    keys : int64 (n,), hashes; the first ``kept`` have a feature, the others are rare
    counts : int64 (n,), rows that each is in
    kept : how many have a feature
    values : the values of the first of them, as text
    """

    keys: LongArray = field(default_factory=NO_LONGS.copy)
    counts: LongArray = field(default_factory=NO_LONGS.copy)
    kept: int = 0
    values: tuple[str, ...] = ()


@dataclass(frozen=True)
class EncodedField:
    """A field with its features ``first`` to ``first + size - 1``.

    Attributes
    ----------
    name, kind : kind is one of: categorical, hashed, numeric, buckets, set, weighted, date_part, cyclic, cross
    columns : the columns that it reads
    options : what its kind needs of the options; of parts of dates the time zone too (none in format 3: the session's)
    sorts : what sort of value each column had, such as "number" or "timestamp"; format 3 has none
    vocabulary : of a field by frequency
    edges : of buckets: the numbers between them
    format : the saved format whose rules make its features and names
    """

    name: str
    kind: str
    columns: tuple[str, ...]
    options: Mapping[str, Any]
    sorts: tuple[str, ...] = ()
    first: int = 0
    size: int = 0
    vocabulary: Vocabulary = field(default_factory=Vocabulary)
    edges: tuple[float, ...] = ()
    format: int = FORMAT

    @property
    def by_frequency(self) -> bool:
        """Whether a fit counts its values."""
        return self.kind in BY_FREQUENCY and self.options.get("width") is None

    @property
    def keeps_rare(self) -> bool:
        """Whether rare values must be told from unseen ones."""
        return self.by_frequency and self.options["rare"] != self.options["unseen"]

    @property
    def own_features(self) -> int:
        """How many features it has besides its other."""
        if self.by_frequency:
            return self.vocabulary.kept
        if self.kind in NUMBERS:
            return 1 if self.kind == "numeric" else 2
        if self.kind == "buckets":
            return len(self.edges) + 1
        return PARTS[self.options["part"]].size if self.kind == "date_part" else int(self.options["width"])

    @property
    def has_other(self) -> bool:
        """Whether its last feature is its other."""
        return self.kind not in NUMBERS or self.options["null"] == "other"

    @property
    def other(self) -> int:
        """The feature that stands for what has no other."""
        return self.first + self.own_features

    @property
    def is_valued(self) -> bool:
        """Whether its values may be other than 1."""
        return self.kind in ("weighted", *NUMBERS) or self.options.get("value", "1") != "1"

    @property
    def value(self) -> str | None:
        """What the value of its features is in a row that has them; None where nobody knows, as of parts of dates in
        format 3, whose time zone is the session's.
        """
        if self.kind == "numeric":
            return {"none": "x", "log1p": "log1p(x)"}[self.options["transform"]]
        value = {"weighted": "x", "cyclic": "sin, cos"}.get(self.kind) or str(self.options.get("value", "1"))
        if self.kind in ("date_part", "cyclic", "cross") and self.format == 3:
            return None
        counts_time = any((self.options.get("unit"), *self.options.get("units", ())))
        zone = self.options.get("zone") if counts_time or "timestamp" in self.sorts else None
        return f"{value} by the clocks of {zone}" if zone else value

    @cached_property
    def checksum(self) -> str:
        """Of what its features stand for, in their order: the hashes of its values, the edges of its buckets, or what
        else they follow from.

        The same for two encoders that learned the same of columns of any name.
        """
        parts = [part for _, part in self.options.get("parts", ())]
        told = [self.kind, self.own_features, self.has_other, self.options.get("part"), parts, self.edges]
        if self.options.get("width"):
            told.append(self.format)
        made = hashlib.blake2b(json.dumps(told).encode(), digest_size=8)
        made.update(self.vocabulary.keys[: self.vocabulary.kept].tobytes())
        return made.hexdigest()

    def place(self, what: str) -> int:
        """The feature for a value that is "unseen", "rare" or "null"; -1 for none."""
        return self.other if self.options[what] == "other" else -1

    def values(self) -> list[str]:
        """The names of its first features, as far as they are known, as text."""
        if self.by_frequency:
            return [value or EMPTY for value in self.vocabulary.values]
        if self.kind == "buckets":
            return bucket_names(self.edges, 6 if self.format == 3 else None)
        if self.kind == "date_part":
            part = PARTS[self.options["part"]]
            return [part.name(i) for i in range(part.size)]
        return {"numeric": [""], "cyclic": ["sin", "cos"]}.get(self.kind, [])

    def names(self) -> dict[int, str]:
        """From feature to name, its other included."""
        found = {self.first + i: value for i, value in enumerate(self.values())}
        return found | {self.other: OTHER} if self.has_other else found

    def of_layout(self) -> Field:
        """Its entry in a :class:`FieldLayout`."""
        one = self.kind not in MANY and self.kind != "cyclic"
        return Field(
            self.name, self.first, self.size, self.kind, self.columns, one, self.value, self.checksum
        )


def bucket_names(edges: Sequence[float], digits: int | None = None) -> list[str]:
    """What people call the ranges between edges: whole numbers in full, others in six ``digits`` or, unless told, as
    many more as tell them apart.

    Examples
    --------
    >>> bucket_names([0.5, 20240101.0])
    ['(-inf, 0.5)', '[0.5, 20240101)', '[20240101, inf)']
    >>> bucket_names([0.12345678, 0.123456789])[1]
    '[0.12345678, 0.12345679)'
    """
    if not edges:
        return ["any"]
    if digits is not None:
        shown = [f"{edge:.{digits}g}" for edge in edges]
    else:
        tried = ([_shown(edge, enough) for edge in edges] for enough in range(6, 18))
        shown = next(names for names in tried if len({*names}) == len(edges))
    between = [f"[{low}, {high})" for low, high in pairwise(shown)]
    return [f"(-inf, {shown[0]})", *between, f"[{shown[-1]}, inf)"]


def _shown(number: float, digits: int) -> str:
    in_full = number.is_integer() and abs(number) < LARGEST_IN_FULL
    return str(int(number)) if in_full else f"{number:.{digits}g}"


def laid_out(fields: Sequence[EncodedField]) -> tuple[EncodedField, ...]:
    """The fields one after the other."""
    made, first = [], 0
    for one in fields:
        size = one.own_features + one.has_other
        made.append(replace(one, first=first, size=size))
        first += size
    return tuple(made)


def layout_of(fields: Sequence[EncodedField]) -> FieldLayout:
    """The layout of a features column, with the names that are known."""
    names: dict[int, str] = {}
    for one in fields:
        names |= one.names()
    return FieldLayout(tuple(one.of_layout() for one in fields), names)
