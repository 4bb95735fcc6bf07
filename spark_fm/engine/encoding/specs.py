"""What a field is made of and how, as a user tells it: in one line of Python, or as a dict of plain data (TOML)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from spark_fm.engine.encoding.options import KINDS, checked_options


@dataclass(frozen=True)
class FieldSpec:
    """One field (or the several of date parts), as it is asked for.

    Attributes
    ----------
    kind : one of: categorical, hashed, numeric, buckets, set, weighted, date_parts, cross
    columns : the columns that it reads; the two fields of a cross
    options : those that were given; the others have their defaults
    """

    kind: str
    columns: tuple[str, ...]
    options: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The field's name: the option ``name``, or the column; "user x hour" for a cross."""
        return str(self.options.get("name") or " x ".join(self.columns))

    def option(self, name: str) -> Any:
        """An option, or its default."""
        return self.options.get(name, KINDS[self.kind][name].default)

    def to_dict(self) -> dict[str, Any]:
        """As plain data, which :func:`spec_of` reads."""
        where = {"fields": list(self.columns)} if self.kind == "cross" else {"column": self.columns[0]}
        return {"kind": self.kind, **where, **self.options}

    def __repr__(self) -> str:
        given = [repr(column) for column in self.columns]
        given += [f"{name}={value!r}" for name, value in self.options.items()]
        return f"{FUNCTIONS.get(self.kind, self.kind)}({', '.join(given)})"


FUNCTIONS = {"set": "set_of"}


def _spec(kind: str, columns: Sequence[str], options: Mapping[str, Any]) -> FieldSpec:
    where = f"fields: {kind} of {' and '.join(map(repr, columns))}"
    if not columns or not all(isinstance(column, str) and column for column in columns):
        raise ValueError(f"fields: {kind} of {columns!r}, expected the names of columns")
    return FieldSpec(kind, tuple(columns), checked_options(kind, options, where))


def spec_of(told: FieldSpec | Mapping[str, Any]) -> FieldSpec:
    """A field from what :meth:`FieldSpec.to_dict` makes, or a config file tells.

    Examples
    --------
    >>> spec_of({"kind": "categorical", "column": "movie", "minCount": 5})
    categorical('movie', minCount=5)
    >>> spec_of({"kind": "cross", "fields": ["user", "hour"]}).name
    'user x hour'

    Raises
    ------
    TypeError, ValueError
        Naming the field and the option, what was found and what was expected.
    """
    if isinstance(told, FieldSpec):
        return told
    if not isinstance(told, Mapping):
        raise TypeError(f"fields: found {told!r}, expected categorical('user'), another kind, or a dict")
    options = dict(told)
    kind = options.pop("kind", None)
    if not isinstance(kind, str) or kind not in KINDS:
        raise ValueError(
            f"fields: found the kind {kind!r} in {dict(told)}, expected one of: {', '.join(KINDS)}"
        )
    if kind == "cross":
        columns = options.pop("fields", ())
        if not isinstance(columns, (list, tuple)) or len(columns) != 2:
            raise ValueError(
                f"fields: found fields={columns!r} in {dict(told)}, expected the names of two fields"
            )
        return _spec(kind, columns, options)
    return _spec(kind, [options.pop("column", "")], options)


def categorical(column: str, **options: Any) -> FieldSpec:
    """A feature for each value of a column of strings, numbers, booleans, dates or times, most frequent values first.

    Parameters
    ----------
    column : its name
    options : ``name``; ``minCount``, rows that a value must be in to have a feature (1); ``unseen``, ``rare`` and
        ``null``: "other" (the field's other feature, the default) or "nothing"
    """
    return _spec("categorical", [column], options)


def hashed(column: str, **options: Any) -> FieldSpec:
    """A feature for each value of a column of strings, numbers, booleans, dates or times: its hash modulo ``width``.

    Parameters
    ----------
    column : its name
    options : ``name``; ``width``, the number of features (2^18); ``null`` ("other", or "nothing")
    """
    return _spec("hashed", [column], options)


def numeric(column: str, **options: Any) -> FieldSpec:
    """One feature whose value is the column's.

    Parameters
    ----------
    column : its name
    options : ``name``; ``transform``, "none" or "log1p", which is sign(x) ln(1 + |x|); ``fill``, a number for nulls
        and NaN; ``null``, "nothing" (the default) or "other", a feature of its own that says that the value is missing
    """
    return _spec("numeric", [column], options)


def buckets(column: str, **options: Any) -> FieldSpec:
    """A feature for each of ``n`` ranges of a number that hold as many rows each; the edges are learned.

    Parameters
    ----------
    column : its name
    options : ``name``; ``n``, how many at most (10); ``null`` ("other", or "nothing")
    """
    return _spec("buckets", [column], options)


def set_of(column: str, **options: Any) -> FieldSpec:
    """A feature for each element of an array of values; elements that share a feature count once.

    Parameters
    ----------
    column : its name
    options : ``name``; ``value`` of each feature of a row that has n of them, "1", "1/n" or "1/sqrt(n)"; ``minCount``
        as for :func:`categorical`, or ``width`` to hash; ``unseen``, ``rare`` and ``null`` ("nothing", or "other")
    """
    return _spec("set", [column], options)


def weighted(column: str, **options: Any) -> FieldSpec:
    """A feature for each key of a map from values to numbers, whose value is that number; those of one feature add up.

    Parameters
    ----------
    column : its name
    options : ``name``; ``minCount`` as for :func:`categorical`, or ``width`` to hash; ``unseen``, ``rare`` and ``null``
        ("nothing", or "other"); keys whose value is null or NaN count as absent
    """
    return _spec("weighted", [column], options)


def date_parts(column: str, parts: Sequence[str] | None = None, **options: Any) -> FieldSpec:
    """A field for each part of a date or timestamp, in the time zone of the session that fits.

    Parameters
    ----------
    column : its name
    parts : of hour, weekday, day, week and month; all that the type has of hour, weekday and month unless given
    options : ``name``: the fields are then called name_hour and so on, else hour and so on; ``cyclic``: two features
        sin and cos of 2 pi part / period instead of one for each hour (False); ``null``: "other" (the default), or
        "nothing" (the default of cyclic ones)
    """
    return _spec("date_parts", [column], options if parts is None else {"parts": list(parts), **options})


def cross(first: str, second: str, **options: Any) -> FieldSpec:
    """A feature for each pair of values of two fields: their hash modulo ``width``.

    Parameters
    ----------
    first, second : names of fields that are categorical, hashed or (not cyclic) date parts
    options : ``name``; ``width``, the number of features (2^18); ``null``, where one of both is ("other", or "nothing")
    """
    return _spec("cross", [first, second], options)
