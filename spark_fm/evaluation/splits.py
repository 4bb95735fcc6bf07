"""Splits by time: train on what was before, measure on what came after.

Which side a row is on is decided by values only (the time, the user, a hash of the row), never by the order in which
rows lie: the parts are disjoint and complete whatever is computed again, and the same rows give the same split in any
files and partitions. Rows that are equal in all that is looked at are on one side.
"""

import math
from collections.abc import Collection, Sequence
from itertools import accumulate

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F
from pyspark.sql.types import DateType, NumericType, TimestampNTZType, TimestampType

from spark_fm.engine.cluster.execute import collect, persist, unpersist
from spark_fm.engine.packing.columns import field_of, quoted
from spark_fm.evaluation.columns import count_if, is_missing, key_of, refuse

PART = "__spark_fm_part"
APART = 2e-3


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
    timeCol : numbers, dates or timestamps
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
    timeCol : numbers, dates or timestamps
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
    marked = df.withColumn(PART, is_last(df, userCol, timeCol, n, apart))
    return marked.where(~F.col(PART)).drop(PART), marked.where(F.col(PART)).drop(PART)


def time_parts(
    df: DataFrame, time_col: str, weights: Sequence[float], user_col: str | None, apart: Collection[str]
) -> Column:
    """The number of the part that a row is in, see :func:`timeSplit`; with ``user_col`` it has a window."""
    if len(weights) < 2 or not all(0.0 < weight < float("inf") for weight in weights):
        raise ValueError(f"weights: found {list(weights)}, expected two or more numbers > 0")
    shares = [upto / sum(weights) for upto in accumulate(weights)][:-1]
    time = seconds_of(df, time_col)
    _check(df, time, time_col, user_col)
    if user_col:
        user, order = key_of(df, user_col, "userCol"), _order(df, time, apart)
        before = F.rank().over(Window.partitionBy(user).orderBy(*order)) - 1
        rows = F.count(F.lit(1)).over(Window.partitionBy(user))
        # 0.55 * 100 is a little above 55.
        passed = [before >= F.round(share * rows, 6) for share in shares]
    else:
        cuts = _cuts(df.select(time.alias("t")), shares, time_col)
        passed = [time >= cut for cut in cuts]
    return sum((F.coalesce(one, F.lit(False)).cast("int") for one in passed), F.lit(0))


def is_last(df: DataFrame, user_col: str, time_col: str, n: int, apart: Collection[str]) -> Column:
    """Whether a row is one of its user's last, see :func:`leaveLastOut`: it has a window."""
    if n < 1:
        raise ValueError(f"n: found {n}, expected an integer >= 1")
    time = seconds_of(df, time_col)
    _check(df, time, time_col, user_col)
    user = key_of(df, user_col, "userCol")
    backwards = Window.partitionBy(user).orderBy(*(column.desc() for column in _order(df, time, apart)))
    # Of equal rows each has all of them after it.
    after = F.count(F.lit(1)).over(backwards)
    return (after <= n) & (F.count(F.lit(1)).over(Window.partitionBy(user)) > n)


def seconds_of(df: DataFrame, name: str, param: str = "timeCol") -> Column:
    """A column of times as double: numbers as they are, dates and timestamps as seconds.

    Raises
    ------
    ValueError, TypeError
        When there is no such column, or it holds something else.
    """
    found, column = field_of(df, name, param).dataType, df[quoted(name)]
    if isinstance(found, (NumericType, TimestampType)):
        return column.cast("double")
    if isinstance(found, (DateType, TimestampNTZType)):
        days = F.unix_date(column.cast("date")).cast("double")
        if isinstance(found, DateType):
            return days * 86400.0
        of_day = F.hour(column) * 3600 + F.minute(column) * 60
        return days * 86400.0 + of_day + F.extract(F.lit("SECOND"), column).cast("double")
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


def _cuts(times: DataFrame, shares: list[float], time_col: str) -> list[float]:
    """The times t from which on rows are in the next parts."""
    times = persist(times)
    try:
        cuts = [_cut(times, share) for share in shares]
    finally:
        unpersist(times)
    if None in cuts or len(set(cuts)) < len(cuts):
        raise ValueError(
            f"timeCol: column {time_col!r} has too few different times for parts of these weights, expected some "
            "for each part"
        )
    return [cut for cut in cuts if cut is not None]


def _cut(times: DataFrame, share: float) -> float | None:
    """The time from which on rows are in the next part: with it the rows before are nearest to a share of all.

    It is exact, so that the same rows have the same cut in whatever partitions they lie: approximate quantiles tell
    between which times it is, and there rows are counted. None where all times are equal.
    """
    t = F.col("t")
    low, high = times.approxQuantile("t", [max(0.0, share - APART), min(1.0, share + APART)], APART / 2)
    near = F.when(t.between(low, high), t)
    counts = times.agg(
        F.count(F.lit(1)).alias("rows"), count_if(t < low).alias("below"), F.count(near).alias("near")
    )
    found = collect(counts)[0]
    rows, wanted = found["rows"], share * found["rows"]
    place = (max(1, math.ceil(wanted - 1e-6)) - found["below"] - 0.5) / found["near"]
    at_place = F.expr(f"percentile_disc({place!r}D) WITHIN GROUP (ORDER BY t)")
    middle = collect(times.where(near.isNotNull()).agg(at_place.alias("t")))[0]["t"]
    ends = times.agg(
        count_if(t < middle).alias("below"),
        count_if(t <= middle).alias("upto"),
        F.min(F.when(t > middle, t)).alias("next"),
    )
    found = collect(ends)[0]
    # Both parts have rows where some are below the cut, and the cut is a time that occurs.
    possible = [(abs(found["upto"] - wanted), found["next"])] if found["upto"] < rows else []
    possible += [(abs(found["below"] - wanted), middle)] if found["below"] else []
    return float(min(possible)[1]) if possible else None
