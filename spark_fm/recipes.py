"""Columns that make a Factorization Machine one of the models of the literature: docs/recipes.md.

A recipe is a list of fields (:mod:`spark_fm.feature`). Most of them read columns that a table of events has; these
functions add those that must be computed: what a user has rated, what came last, how long it has been. They are Spark
expressions and joins: no Python per row, on classic Spark and on Spark Connect.

What is looked at of other rows matters for a fair test. :func:`lastItem`, :func:`daysSinceFirst` and
:func:`eventsBefore` look at what was before a row only: add them to all events, and split afterwards.
:func:`ratedItems` looks at everything that a user has rated: add it after the split, with the training rows as
``history`` of both parts.
"""

from collections.abc import Mapping

from pyspark.sql import DataFrame, Window, WindowSpec
from pyspark.sql import functions as F
from pyspark.sql.types import LongType

from spark_fm.engine.packing.columns import field_of, quoted
from spark_fm.engine.packing.keys import common_keys
from spark_fm.engine.packing.names import check_names
from spark_fm.evaluation.splits import times_of

USER, ITEM, TIME, LATEST, RATED = "__user", "__item", "__time", "__latest", "__rated"


def ratedItems(
    df: DataFrame,
    userCol: str,
    itemCol: str,
    history: DataFrame | None = None,
    timeCol: str | None = None,
    most: int | None = None,
    outputCol: str = "rated",
) -> DataFrame:
    """The rows with the items that their users have rated: N(u) of SVD++, without the row's own item.

    The item of a row is never in its own set: in a training row it always would be, in a row to score never, so that
    what a model learned of it would be wrong there.

    Parameters
    ----------
    df : rows with a user and an item
    history : rows that count as rated, with the same columns; None: ``df``
    timeCol, most : of a user with more than ``most`` items in the history the latest by ``timeCol``, the row's own item
        included; None: all
    outputCol : array of the items' type (the wider one, where the history's is another), each item once; empty for a
        user who has rated nothing else. A column that has its name is replaced.

    Raises
    ------
    ValueError, TypeError
        When a column is missing or ``timeCol`` holds no time, ``most`` is below 1, one of ``timeCol`` and ``most`` is
        given without the other, ``outputCol`` is one of the other columns, or the history's users or items are of a
        type that can't be compared exactly with those of ``df``.

    References
    ----------
    Y. Koren, *Factorization meets the neighborhood: a multifaceted collaborative filtering model*, KDD 2008.

    Examples
    --------
    >>> from spark_fm.recipes import ratedItems
    >>> rows = spark.createDataFrame([("ann", 1), ("ann", 3), ("ann", 2), ("bob", 1)], ["user", "item"])
    >>> [(r.user, r.item, sorted(r.rated)) for r in ratedItems(rows, "user", "item").sort("user", "item").collect()]
    [('ann', 1, [2, 3]), ('ann', 2, [1, 3]), ('ann', 3, [1, 2]), ('bob', 1, [])]
    """
    if (most is None) != (timeCol is None):
        raise ValueError(f"most: found {most} with timeCol={timeCol!r}, expected both or none of them")
    if most is not None and most < 1:
        raise ValueError(f"most: found {most}, expected an integer >= 1")
    past = df if history is None else history
    _check_output(df, outputCol, {"userCol": userCol, "itemCol": itemCol, "timeCol": timeCol or ""})
    check_names(df.sparkSession, {}, df.columns, [USER, RATED])
    user, own_user = common_keys(past, df, userCol, "userCol")
    item, own = common_keys(past, df, itemCol, "itemCol")
    time = F.lit(0) if timeCol is None else times_of(past, timeCol).at
    events = past.select(user.alias(USER), item.alias(ITEM), time.alias(TIME)).where(
        user.isNotNull() & item.isNotNull()
    )
    once = events.groupBy(USER, ITEM).agg(F.max(TIME).alias(TIME))
    if most is not None:
        latest = Window.partitionBy(USER).orderBy(F.col(TIME).desc(), F.col(ITEM).desc())
        once = once.withColumn(LATEST, F.row_number().over(latest)).where(F.col(LATEST) <= most)
    # In order, so that the same rows give the same features in the same places, however they were shuffled.
    sets = once.groupBy(USER).agg(F.sort_array(F.collect_list(ITEM)).alias(RATED))
    joined = df.join(sets, own_user == sets[USER], "left")
    found = F.coalesce(F.col(RATED), F.array().cast(sets.schema[RATED].dataType))
    others = F.filter(found, lambda one: own.isNull() | (one != own))
    return joined.withColumn(outputCol, others).drop(USER, RATED)


def lastItem(
    df: DataFrame, userCol: str, itemCol: str, timeCol: str, outputCol: str = "lastItem"
) -> DataFrame:
    """The rows with the item of their user's event before: the state of the Markov chain of FPMC.

    Parameters
    ----------
    df : events; of events of one user at one time the one with the smaller item is the earlier
    timeCol : numbers, dates or timestamps
    outputCol : of the items' type; null for a user's first event. A column that has its name is replaced.

    Raises
    ------
    ValueError, TypeError
        When a column is missing, ``timeCol`` holds no time, or ``outputCol`` is one of the other columns.

    References
    ----------
    S. Rendle, C. Freudenthaler, L. Schmidt-Thieme, *Factorizing personalized Markov chains for next-basket
    recommendation*, WWW 2010.

    Examples
    --------
    >>> from spark_fm.recipes import lastItem
    >>> rows = spark.createDataFrame([("ann", 7, 1), ("ann", 5, 3), ("ann", 6, 2)], ["user", "item", "time"])
    >>> [(r.item, r.lastItem) for r in lastItem(rows, "user", "item", "time").sort("time").collect()]
    [(7, None), (6, 7), (5, 6)]
    """
    field_of(df, itemCol, "itemCol")
    _check_output(df, outputCol, {"userCol": userCol, "itemCol": itemCol, "timeCol": timeCol})
    before = _by_user(df, userCol, timeCol).orderBy(times_of(df, timeCol).at, df[quoted(itemCol)])
    return df.withColumn(outputCol, F.lag(df[quoted(itemCol)]).over(before))


def daysSinceFirst(df: DataFrame, userCol: str, timeCol: str, outputCol: str = "daysSinceFirst") -> DataFrame:
    """The rows with the days from their user's first event to theirs: how tastes and habits drift.

    Parameters
    ----------
    df : events
    timeCol : dates, timestamps, or numbers of seconds
    outputCol : double, >= 0; 0 for a user's first event. A column that has its name is replaced.

    Raises
    ------
    ValueError, TypeError
        When a column is missing, ``timeCol`` holds no time, or ``outputCol`` is one of the other columns.

    References
    ----------
    Y. Koren, *Collaborative filtering with temporal dynamics*, KDD 2009.

    Examples
    --------
    >>> from spark_fm.recipes import daysSinceFirst
    >>> rows = spark.createDataFrame([("ann", 0), ("ann", 43200), ("bob", 9)], ["user", "seconds"])
    >>> [(r.user, r.daysSinceFirst) for r in daysSinceFirst(rows, "user", "seconds").sort("user", "seconds").collect()]
    [('ann', 0.0), ('ann', 0.5), ('bob', 0.0)]
    """
    times = times_of(df, timeCol)
    _check_output(df, outputCol, {"userCol": userCol, "timeCol": timeCol})
    # The difference of two integers of 64 bits may need more.
    time = times.at.cast("decimal(20,0)") if isinstance(times.kind, LongType) else times.at
    passed = time - F.min(time).over(_by_user(df, userCol, timeCol))
    return df.withColumn(outputCol, passed.cast("double") / times.a_day)


def eventsBefore(df: DataFrame, userCol: str, timeCol: str, outputCol: str = "eventsBefore") -> DataFrame:
    """The rows with how many events their user had before: a context that tells beginners from regulars.

    Parameters
    ----------
    df : events
    timeCol : numbers, dates or timestamps
    outputCol : bigint: events of the user at an earlier time. A column that has its name is replaced.

    Raises
    ------
    ValueError, TypeError
        When a column is missing, ``timeCol`` holds no time, or ``outputCol`` is one of the other columns.

    Examples
    --------
    >>> from spark_fm.recipes import eventsBefore
    >>> rows = spark.createDataFrame([("ann", 1), ("ann", 3), ("ann", 2), ("bob", 1)], ["user", "time"])
    >>> [(r.user, r.eventsBefore) for r in eventsBefore(rows, "user", "time").sort("user", "time").collect()]
    [('ann', 0), ('ann', 1), ('ann', 2), ('bob', 0)]
    """
    _check_output(df, outputCol, {"userCol": userCol, "timeCol": timeCol})
    earlier = _by_user(df, userCol, timeCol).orderBy(times_of(df, timeCol).at)
    return df.withColumn(outputCol, F.rank().over(earlier).cast("bigint") - 1)


def _by_user(df: DataFrame, user_col: str, time_col: str) -> WindowSpec:
    field_of(df, user_col, "userCol")
    field_of(df, time_col, "timeCol")
    return Window.partitionBy(df[quoted(user_col)])


def _check_output(df: DataFrame, output: str, read: Mapping[str, str]) -> None:
    """Check that the column that is added is none of those that are read."""
    for param, name in read.items():
        check_names(df.sparkSession, {param: name, "outputCol": output})
