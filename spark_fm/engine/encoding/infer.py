"""Fields for a table of which no one has told any: kinds from types, names and a look at the data."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pyspark.sql import DataFrame
from pyspark.sql.types import ArrayType, DataType, DateType, MapType, NumericType, StringType

from spark_fm.engine.encoding.canonical import TIMES
from spark_fm.engine.encoding.inputs import expected_of
from spark_fm.engine.encoding.look import Facts, facts_of, separators_of
from spark_fm.engine.encoding.parts import UNITS, USUAL
from spark_fm.engine.encoding.specs import (
    FieldSpec,
    buckets,
    categorical,
    date_parts,
    numeric,
    set_of,
    weighted,
)
from spark_fm.engine.encoding.words import is_key, is_quantity, is_time
from spark_fm.engine.packing.columns import field_of

logger = logging.getLogger("spark_fm")

FEW_VALUES = 32
NEARLY_ALL = 0.9
ROWS_TO_TELL = 100
# Where so many of the different integers are multiples of ten, people have rounded them.
ROUNDED = 0.5
# Hashes have signs too, and are farther apart.
WIDEST = 1e9
# Integers in this range are seconds since 1970, from 1990 to 2050, where the name does not say otherwise.
SINCE, UNTIL, DAY = 631_152_000, 2_524_608_000, 86_400


@dataclass(frozen=True)
class Inferred:
    """What a look at a table suggests.

    Attributes
    ----------
    specs : the fields
    left_out : by column, why it has no field
    times : columns of points in time without a gap, those with a time of the day first
    unsure : columns whose kind follows from the values alone
    """

    specs: list[FieldSpec] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    times: list[str] = field(default_factory=list)
    unsure: list[str] = field(default_factory=list)


def infer_fields(
    dataset: DataFrame, columns: Sequence[str] | None = None, exclude: Sequence[str] = ()
) -> list[FieldSpec]:
    """Fields for the columns of a table, as a list to look at, to change, and to give to ``FieldEncoder(fields=...)``.

    Strings and booleans are categorical; strings with lists (Comedy|Drama) are sets. Whole numbers are categorical,
    of whatever type, but cut into buckets where they look like quantities: more than 32 values, and a name such as
    price, age or n_items, values below -1, or most of them multiples of ten. Where they count seconds (or parts of
    one) since 1970 they give parts of dates, as dates and timestamps do. Other numbers are numeric; arrays are sets of
    value 1 / sqrt(n); maps to numbers are weighted. Left out, with a line in the log, is what says nothing or can't be
    read: a column of one value, of whole numbers or strings that are another one in nearly each row, of texts or digits
    that are dates, or of another type. A line says too which whole numbers were told by their values alone.

    Parameters
    ----------
    columns : which columns; all of them unless given
    exclude : columns to leave out, such as the label

    Raises
    ------
    ValueError
        When there is no such column.
    """
    found = inferred(dataset, columns, exclude)
    for name, why in found.left_out.items():
        logger.info("fields: column %r is left out: %s", name, why)
    if found.unsure:
        logger.info(
            "fields: whole numbers are taken for names or amounts by their values alone, look at: %s",
            ", ".join(map(repr, found.unsure)),
        )
    return found.specs


def inferred(
    dataset: DataFrame, columns: Sequence[str] | None = None, exclude: Sequence[str] = ()
) -> Inferred:
    """:func:`infer_fields` with what else the look has shown."""
    for name in (*(columns or ()), *exclude):
        field_of(dataset, name, "fields")
    chosen = [name for name in (columns or dataset.columns) if name not in exclude]
    kinds = {name: field_of(dataset, name, "fields").dataType for name in chosen}
    facts = facts_of(dataset, kinds)
    strings = [
        name
        for name, one in facts.items()
        if isinstance(kinds[name], StringType) and one.values > 2 and not one.times
    ]
    separators = separators_of(dataset, strings)
    found = Inferred()
    for name, kind in kinds.items():
        seen = facts.get(name)
        spec, why = _spec(name, kind, seen, separators.get(name))
        if spec is None:
            found.left_out[name] = why
        else:
            found.specs.append(spec)
            if why:
                found.unsure.append(name)
        if seen is not None and seen.known == seen.rows and seen.values > 1 and _is_time(name, kind, seen):
            found.times.append(name)
    found.times.sort(key=lambda name: isinstance(kinds[name], DateType) or facts[name].days)
    found.specs[:] = _told_apart(found.specs, kinds)
    return found


def _spec(
    name: str, kind: DataType, seen: Facts | None, separator: str | None
) -> tuple[FieldSpec | None, str]:
    """The field of a column, or none and why; with a field, whether the values alone told which."""
    if seen is None:
        if isinstance(kind, ArrayType) and not expected_of("set", kind):
            return set_of(name, value="1/sqrt(n)"), ""
        if isinstance(kind, MapType) and not expected_of("weighted", kind):
            return weighted(name), ""
        return None, f"its type is {kind.simpleString()}"
    if seen.known == 0:
        return None, "it is null in all rows"
    if seen.values < 2 and seen.known == seen.rows:
        return None, "it has one value"
    if isinstance(kind, TIMES):
        return date_parts(name), ""
    unique = seen.known > ROWS_TO_TELL and seen.values > NEARLY_ALL * seen.known
    if isinstance(kind, StringType):
        if separator:
            return set_of(name, separator=separator, value="1/sqrt(n)"), ""
        if seen.times == seen.known and (unique or seen.values > FEW_VALUES):
            return None, "it has dates as text, and no field reads these: cast it to a date or a timestamp"
        return (None, "nearly each row has another value") if unique else (categorical(name), "")
    if not isinstance(kind, NumericType):
        return categorical(name), ""
    return _of_number(name, seen, unique)


def _of_number(name: str, seen: Facts, unique: bool) -> tuple[FieldSpec | None, str]:
    if not seen.whole:
        return numeric(name), ""
    if _is_day(name, seen):
        return None, "it has days as digits (20240131), and no field reads these: cast it to a date"
    unit = _unit(name, seen)
    if unit:
        return date_parts(name, unit=unit), ""
    if seen.values > FEW_VALUES and is_quantity(name):
        return buckets(name), ""
    if unique:
        return None, "nearly each row has another value"
    if seen.values <= FEW_VALUES or is_key(name):
        return categorical(name), ""
    rounded = seen.tens >= ROUNDED * seen.values
    # -1 often stands for a key that is not known.
    signed = seen.low < -1 and seen.high - seen.low < WIDEST
    return (buckets(name) if signed or rounded else categorical(name)), "by values"


def _unit(name: str, seen: Facts) -> str:
    """Of what unit numbers count since 1970; "" where they do not."""
    if seen.values < 2 or is_key(name) or is_quantity(name):
        return ""
    for unit, of_a_second in UNITS.items():
        if SINCE * of_a_second <= seen.low and seen.high < UNTIL * of_a_second:
            return unit if is_time(name) or seen.high - seen.low >= DAY * of_a_second else ""
    return ""


def _is_day(name: str, seen: Facts) -> bool:
    return seen.days and not is_key(name) and (is_time(name) or seen.values > FEW_VALUES)


def _is_time(name: str, kind: DataType, seen: Facts) -> bool:
    if isinstance(kind, TIMES):
        return True
    return isinstance(kind, NumericType) and seen.whole and bool(_is_day(name, seen) or _unit(name, seen))


def _told_apart(specs: Sequence[FieldSpec], kinds: Mapping[str, DataType]) -> list[FieldSpec]:
    """The fields under names that are there once: parts of dates are called after their column where they must be."""

    def names_of(spec: FieldSpec) -> list[str]:
        if spec.kind != "date_parts":
            return [spec.name]
        prefix = f"{spec.options['name']}_" if "name" in spec.options else ""
        is_date = isinstance(kinds[spec.columns[0]], DateType)
        return [f"{prefix}{part}" for part in USUAL if part != "hour" or not is_date]

    made: list[FieldSpec] = []
    for spec in specs:
        taken = {
            name for other in (*made, *specs) if other.columns != spec.columns for name in names_of(other)
        }
        options = dict(spec.options)
        while taken.intersection(names_of(spec)):
            options["name"] = f"{options['name']}_" if "name" in options else spec.columns[0]
            spec = FieldSpec(spec.kind, spec.columns, options)
        made.append(spec)
    return made
