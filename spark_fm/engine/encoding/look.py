"""A look at the columns of a table that no one told of: facts of each, in one pass, and lists in text."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import BooleanType, DataType, DecimalType, NumericType, StringType

from spark_fm.engine.cluster.execute import collect
from spark_fm.engine.encoding.canonical import TIMES
from spark_fm.engine.packing.columns import quoted

# How far the number of different values may be off: 0.9 of them tell unique values from others.
OFF = 0.02
SEPARATORS = ("|", ";", ",")
TEXTS = 2000
# The share of texts with more than one element, and of elements that are in more than one list; in how many texts an
# element is on average; letters of the longest.
LISTS, AGAIN, REUSED, LONGEST = 0.2, 0.5, 2, 40
TIME_TEXT = r"^\s*\d{4}-\d{1,2}-\d{1,2}([ T]\d{1,2}:\d{2}.*)?\s*$"


@dataclass(frozen=True)
class Facts:
    """What the values of a column are.

    Attributes
    ----------
    rows, known : how many, and how many of them are not null or NaN
    values : how many different ones, but for two percent
    low, high : of numbers, the smallest and the largest; 0 where there is none
    tens : of ``values``, how many are multiples of ten
    whole, days : whether all numbers are integers, and all of these the digits of a day, 20240131
    times : how many texts are dates or timestamps
    """

    rows: int
    known: int
    values: int
    low: float = 0.0
    high: float = 0.0
    tens: int = 0
    whole: bool = False
    days: bool = False
    times: int = 0


def facts_of(dataset: DataFrame, kinds: Mapping[str, DataType]) -> dict[str, Facts]:
    """The facts of the columns of values that have counts: strings, numbers, booleans, dates and timestamps."""
    counted = {
        name: kind
        for name, kind in kinds.items()
        if isinstance(kind, (StringType, NumericType, BooleanType, *TIMES))
    }
    terms = {"rows": F.count(F.lit(1))}
    for i, (name, kind) in enumerate(counted.items()):
        terms |= {f"{what}{i}": term for what, term in _terms(F.col(quoted(name)), kind).items()}
    row = collect(dataset.agg(*(term.alias(name) for name, term in terms.items())))[0]
    found = {}
    for i, name in enumerate(counted):
        mine = {what: row.get(f"{what}{i}") for what in Facts.__dataclass_fields__ if what != "rows"}
        found[name] = Facts(row["rows"], **{what: value for what, value in mine.items() if value is not None})
    return found


def _terms(x: Column, kind: DataType) -> dict[str, Column]:
    if not isinstance(kind, NumericType):
        terms = {"known": F.count(x), "values": F.approx_count_distinct(x, OFF)}
        if isinstance(kind, StringType):
            terms["times"] = F.count(F.when(x.rlike(TIME_TEXT), 1))
        return terms
    # NaN is unknown as null is; -0.0 and 0.0 are one value.
    number = x.cast("double")
    known = F.when(~F.isnan(number), x)
    number = F.when(~F.isnan(number), number)
    month, day = F.pmod(F.floor(number / 100), F.lit(100)), F.pmod(number, F.lit(100))
    is_day = number.between(19000101, 21001231) & month.between(1, 12) & day.between(1, 31)
    integer = known == F.floor(known) if isinstance(kind, DecimalType) else number == F.rint(number)
    return {
        "known": F.count(known),
        "values": F.approx_count_distinct(known, OFF),
        "low": F.min(number),
        "high": F.max(number),
        "tens": F.approx_count_distinct(F.when(F.pmod(number, F.lit(10)) == 0, known), OFF),
        "whole": F.min(integer & (F.abs(number) < float("inf"))),
        "days": F.min(is_day),
    }


def separators_of(dataset: DataFrame, names: Sequence[str]) -> dict[str, str]:
    """The separators of those columns of strings that hold lists, by a look at some of their texts."""
    if not names:
        return {}
    some = collect(
        dataset.select(*(F.col(quoted(name)).alias(f"c{i}") for i, name in enumerate(names))).limit(TEXTS)
    )
    found = {}
    for i, name in enumerate(names):
        separator = separator_of([row[f"c{i}"] for row in some if row[f"c{i}"]])
        if separator:
            found[name] = separator
    return found


def separator_of(texts: Sequence[str]) -> str:
    """What separates the elements of lists in texts, "" where they are none.

    Texts are lists where many of them have the separator, and their elements are short and come again in other texts.
    Where all have as many parts, commas separate the parts of a name or of an address.

    >>> separator_of(["Comedy|Drama", "Drama", "Comedy", "Drama|War", "War|Comedy"] * 3)
    '|'
    >>> separator_of(["Cats, The", "Alien", "Thing, The"] * 3) + separator_of(["Poe, Edgar", "Poe, John"] * 3)
    ''
    """
    for separator in SEPARATORS:
        lists = {text: [part.strip() for part in text.split(separator)] for text in texts}
        lengths = {len(parts) for parts in lists.values()}
        if separator == "," and len(lengths) == 1:
            continue
        often = Counter(part for text in texts for part in {*lists[text]} if part)
        different = Counter(part for parts in lists.values() for part in {*parts} if part)
        share = sum(len(lists[text]) > 1 for text in texts) / max(1, len(texts))
        if share < LISTS or not often or max(map(len, often)) > LONGEST:
            continue
        again = sum(count > 1 for count in different.values())
        if again >= AGAIN * len(different) and often.total() >= REUSED * len(often):
            return separator
    return ""
