"""Splits by time: train on what was before, measure on what came after.

Which side a row is on is decided by values only (the time, the user, a hash of the row), never by the order in which
rows lie: the parts are disjoint and complete whatever is computed again, and the same rows give the same split in any
files and partitions. Rows that are equal in all that is looked at are on one side.
"""

import math
from collections.abc import Collection, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F
from pyspark.sql.types import (
    DataType,
    DateType,
    DecimalType,
    DoubleType,
    IntegerType,
    IntegralType,
    LongType,
    NumericType,
    TimestampNTZType,
    TimestampType,
)

from spark_fm.engine.cluster.execute import collect, persist, unpersist
from spark_fm.engine.packing.columns import field_of, quoted
from spark_fm.engine.packing.names import check_names
from spark_fm.evaluation.columns import count_if, is_missing, key_of, refuse

PART = "__spark_fm_part"
APART = 2e-3
DAY = 86400


class Times(NamedTuple):
    """A column of times in their order, to the last digit: ``at``, numbers of the type ``kind``, so many ``a_day``."""

    at: Column
    kind: DataType
    a_day: float


def timeSplit(
    df: DataFrame,
    timeCol: str,
    weights: Sequence[float] = (0.8, 0.2),
    userCol: str | None = None,
    apart: Collection[str] = (),
) -> list[DataFrame]:
    """Parts of a DataFrame that follow each other in time, as ``randomSplit`` gives parts at random.

    Without ``userCol`` the cuts are points in time, the same for all: rows of one time stay together, and the cut is
    where the part before comes nearest to its share. With it each user's rows are cut: of a user with n rows the first
    ceil(0.8 n) are in a first part of 0.8, so that every user has rows there; rows of one user and one time are told
    apart by a hash of the row.

    Parameters
    ----------
    timeCol : numbers, dates or timestamps; they are compared in their own type, integers and decimals to the last digit
    weights : the shares of the parts, > 0; they need not add up to 1
    apart : with ``userCol``, columns that the hash does not look at; name the label there, and which side a row is on
        tells nothing of it

    Raises
    ------
    ValueError, TypeError
        When a column is missing or of another type, a time or a user is null or NaN, or, without ``userCol``, a part
        would be empty. All rows are looked at once for that.

    Examples
    --------
    >>> from spark_fm.evaluation import timeSplit
    >>> rows = spark.createDataFrame([("ann", t) for t in range(5)] + [("bob", t) for t in range(5, 10)], ["user", "t"])
    >>> train, test = timeSplit(rows, "t", [0.8, 0.2])
    >>> [(row.user, row.t) for row in test.orderBy("t").collect()]
    [('bob', 8), ('bob', 9)]
    >>> train, test = timeSplit(rows, "t", [0.8, 0.2], userCol="user")
    >>> [(row.user, row.t) for row in test.orderBy("t").collect()]
    [('ann', 4), ('bob', 9)]
    """
    check_names(df.sparkSession, {}, df.columns, [PART])
    part = time_parts(df, timeCol, weights, userCol, apart)
    marked = df.withColumn(PART, part)
    return [marked.where(F.col(PART) == i).drop(PART) for i in range(len(weights))]


def leaveLastOut(
    df: DataFrame, userCol: str, timeCol: str, n: int = 1, apart: Collection[str] = ()
) -> tuple[DataFrame, DataFrame]:
    """All rows but each user's last ``n``, and these: the usual test of recommendations for a next item.

    Rows of one user and one time are told apart by a hash of the row. Of a user at most ``n`` rows are left out, fewer
    where rows are equal in all columns, and none of a user who would have no other: he can only be learned from.

    Parameters
    ----------
    timeCol : numbers, dates or timestamps, as in :func:`timeSplit`
    apart : columns that the hash does not look at; name the label there

    Raises
    ------
    ValueError, TypeError
        When a column is missing or of another type, a time or a user is null or NaN, or ``n`` is below 1.

    Examples
    --------
    >>> from spark_fm.evaluation import leaveLastOut
    >>> rows = spark.createDataFrame([("ann", 1), ("ann", 3), ("ann", 2), ("bob", 1)], ["user", "t"])
    >>> train, test = leaveLastOut(rows, "user", "t")
    >>> [(row.user, row.t) for row in test.collect()], train.count()
    ([('ann', 3)], 3)
    """
    check_names(df.sparkSession, {}, df.columns, [PART])
    marked = df.withColumn(PART, is_last(df, userCol, timeCol, n, apart))
    return marked.where(~F.col(PART)).drop(PART), marked.where(F.col(PART)).drop(PART)


def time_parts(
    df: DataFrame, time_col: str, weights: Sequence[float], user_col: str | None, apart: Collection[str]
) -> Column:
    """The number of the part that a row is in, see :func:`timeSplit`; with ``user_col`` it has a window."""
    if len(weights) < 2 or not all(0.0 < weight < float("inf") for weight in weights):
        raise ValueError(f"weights: found {list(weights)}, expected two or more numbers > 0")
    shares = [upto / sum(weights) for upto in accumulate(weights)][:-1]
    times = times_of(df, time_col)
    _check(df, times.at, time_col, user_col)
    if user_col:
        user, order = key_of(df, user_col, "userCol"), _order(df, times.at, apart)
        before = F.rank().over(Window.partitionBy(user).orderBy(*order)) - 1
        rows = F.count(F.lit(1)).over(Window.partitionBy(user))
        # 0.55 * 100 is a little above 55.
        passed = [before >= F.round(share * rows, 6) for share in shares]
    else:
        cuts = _cuts(df.select(times.at.alias("t")), shares, time_col)
        passed = [times.at >= F.lit(str(cut)).cast(times.kind) for cut in cuts]
    return sum((F.coalesce(one, F.lit(False)).cast("int") for one in passed), F.lit(0))


def is_last(df: DataFrame, user_col: str, time_col: str, n: int, apart: Collection[str]) -> Column:
    """Whether a row is one of its user's last, see :func:`leaveLastOut`: it has a window."""
    if n < 1:
        raise ValueError(f"n: found {n}, expected an integer >= 1")
    time = times_of(df, time_col).at
    _check(df, time, time_col, user_col)
    user = key_of(df, user_col, "userCol")
    backwards = Window.partitionBy(user).orderBy(*(column.desc() for column in _order(df, time, apart)))
    # Of equal rows each has all of them after it.
    after = F.count(F.lit(1)).over(backwards)
    return (after <= n) & (F.count(F.lit(1)).over(Window.partitionBy(user)) > n)


def times_of(df: DataFrame, name: str, param: str = "timeCol") -> Times:
    """A column of times: numbers as they are, taken for seconds, dates as days and timestamps as microseconds.

    Raises
    ------
    ValueError, TypeError
        When there is no such column, or it holds something else.
    """
    found, column = field_of(df, name, param).dataType, df[quoted(name)]
    if isinstance(found, IntegralType):
        return Times(column.cast("bigint"), LongType(), DAY)
    if isinstance(found, DecimalType):
        return Times(column, found, DAY)
    if isinstance(found, NumericType):
        return Times(column.cast("double"), DoubleType(), DAY)
    if isinstance(found, DateType):
        return Times(F.unix_date(column), IntegerType(), 1.0)
    if isinstance(found, TimestampType):
        return Times(F.unix_micros(column), LongType(), DAY * 1e6)
    if isinstance(found, TimestampNTZType):
        # Not by way of a timestamp, where a session's zone skips and repeats hours.
        days = F.unix_date(column.cast("date")).cast("bigint")
        seconds = days * DAY + F.hour(column) * 3600 + F.minute(column) * 60
        micros = (F.extract(F.lit("SECOND"), column) * 1_000_000).cast("bigint")
        return Times(seconds * 1_000_000 + micros, LongType(), DAY * 1e6)
    raise TypeError(
        f"{param}: column {name!r} has type {found.simpleString()}, expected numbers, dates or timestamps"
    )


def hash_of(df: DataFrame, apart: Collection[str], seed: int | None = None) -> Column | None:
    """A hash of all columns but those ``apart`` (and maps, which Spark can't hash), in the order of their names; None
    where no column is left.
    """
    names = sorted(
        field.name
        for field in df.schema.fields
        if field.name not in apart and "map<" not in field.dataType.simpleString()
    )
    if not names:
        return None
    seeds = [] if seed is None else [F.lit(seed)]
    return F.xxhash64(*seeds, *(df[quoted(name)] for name in names))


def _order(df: DataFrame, time: Column, apart: Collection[str]) -> list[Column]:
    """By what a user's rows are ordered: the time, then a hash."""
    for name in apart:
        field_of(df, name, "apart")
    found = hash_of(df, apart)
    return [time] if found is None else [time, found]


def _check(df: DataFrame, time: Column, time_col: str, user_col: str | None) -> None:
    users = count_if(key_of(df, user_col, "userCol").isNull()) if user_col else F.lit(0)
    counts = {"rows": F.count(F.lit(1)), "times": count_if(is_missing(time)), "users": users}
    found = collect(df.agg(*(count.alias(name) for name, count in counts.items())))[0]
    if not found["rows"]:
        raise ValueError("df: there are no rows to split, expected some")
    refuse(found["times"], found["rows"], "timeCol", time_col, "null or NaN", "a time in each")
    refuse(found["users"], found["rows"], "userCol", user_col or "", "null", "a user in each")


def _cuts(times: DataFrame, shares: list[float], time_col: str) -> list[Any]:
    """The times t from which on rows are in the next parts."""
    times = persist(times.withColumn("d", F.col("t").cast("double")))
    try:
        cuts = [_cut(times, share) for share in shares]
    finally:
        unpersist(times)
    if None in cuts or len(set(cuts)) < len(cuts):
        raise ValueError(
            f"timeCol: column {time_col!r} has too few different times for parts of these weights, expected some "
            "for each part"
        )
    return cuts


def _cut(times: DataFrame, share: float) -> Any:
    """The time t from which on rows are in the next part: with it the rows before are nearest to a share of all.

    It is exact, so that the same rows have the same cut in whatever partitions they lie: approximate quantiles of the
    double ``d`` of t tell between which times it is, there rows are counted, and those of one double are told apart.
    None where all times are equal.
    """
    t, d = F.col("t"), F.col("d")
    low, high = times.approxQuantile("d", [max(0.0, share - APART), min(1.0, share + APART)], APART / 2)
    near = F.when(d.between(low, high), d)
    counts = times.agg(
        F.count(F.lit(1)).alias("rows"), count_if(d < low).alias("below"), F.count(near).alias("near")
    )
    found = collect(counts)[0]
    wanted = share * found["rows"]
    place = max(1, math.ceil(wanted - 1e-6))
    part = (place - found["below"] - 0.5) / found["near"]
    at_place = F.expr(f"percentile_disc({part!r}D) WITHIN GROUP (ORDER BY d)")
    middle = collect(times.where(near.isNotNull()).agg(at_place.alias("d")))[0]["d"]
    found = collect(
        times.agg(count_if(d < middle).alias("below"), F.min(F.when(d > middle, t)).alias("next"))
    )[0]
    equal = collect(times.where(d == middle).groupBy("t").agg(F.count(F.lit(1)).alias("rows")))
    below, later = found["below"], [] if found["next"] is None else [found["next"]]
    same = sorted((row["t"], row["rows"]) for row in equal)
    while len(same) > 1 and below + same[0][1] < place:
        below += same.pop(0)[1]
    upto, later = below + same[0][1], [one for one, _ in same[1:]] + later
    # Both parts have rows where some are below the cut, and the cut is a time that occurs.
    possible = [(abs(upto - wanted), later[0])] if later else []
    possible += [(abs(below - wanted), same[0][0])] if below else []
    return min(possible)[1] if possible else None
