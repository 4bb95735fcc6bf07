"""timeSplit and leaveLastOut: which rows are where, whatever is computed again."""

import datetime
from collections import Counter, defaultdict
from itertools import pairwise

import numpy as np
import pytest
from pyspark.sql import functions as F

from spark_fm.evaluation import leaveLastOut, timeSplit
from spark_fm.evaluation.splits import PART


@pytest.fixture(scope="module")
def arrays():
    """1,000 rows of 40 users (user 0 has one), a third of them at times that they share."""
    random = np.random.default_rng(2)
    user = np.concatenate([[0], random.integers(1, 40, 999)])
    time = np.where(
        random.random(1000) < 0.3, random.integers(0, 50, 1000) * 1000, random.integers(0, 50_000, 1000)
    )
    stars = random.integers(1, 6, 1000)
    return user, time, stars


@pytest.fixture(scope="module")
def events(spark, arrays):
    rows = [(int(u), int(t), i, float(s)) for i, (u, t, s) in enumerate(zip(*arrays, strict=True))]
    frame = spark.createDataFrame(rows, ["user", "t", "item", "stars"]).repartition(3).persist()
    frame.count()
    yield frame
    frame.unpersist()


def rows_of(frame):
    return Counter(tuple(row) for row in frame.collect())


def assert_parts(frame, parts):
    """Disjoint and complete, with the columns of the frame."""
    assert sum((rows_of(part) for part in parts), Counter()) == rows_of(frame)
    assert all(part.columns == frame.columns for part in parts)


@pytest.mark.parametrize("weights", [(0.8, 0.2), (7, 2, 1), (0.05, 0.9, 0.05)])
def test_cuts_in_time_come_nearest_to_the_shares(events, arrays, weights):
    time = arrays[1]
    parts = timeSplit(events, "t", weights)
    assert_parts(events, parts)
    ends = [(p.agg(F.min("t"), F.max("t")).collect()[0]) for p in parts]
    assert all(before[1] < after[0] for before, after in pairwise(ends))
    shares = np.cumsum(weights)[:-1] / sum(weights)
    for share, (first, _) in zip(shares, ends[1:], strict=True):
        off = {cut: abs((time < cut).sum() - share * 1000) for cut in np.unique(time)[1:]}
        assert off[first] == min(off.values())


def test_the_cut_is_the_same_however_the_rows_lie(spark):
    """On rows that an approximate quantile would summarise."""
    rows = spark.range(200_000).select((F.hash("id") % 150_000).alias("t"))
    expected = rows_of(timeSplit(rows, "t", [0.7, 0.3])[1].agg(F.min("t"), F.count("t")))
    values = np.sort(np.array([row.t for row in rows.collect()]))
    assert abs(next(iter(expected))[1] - 60_000) <= np.unique(values, return_counts=True)[1].max()
    for other in (rows.repartition(7, "t"), rows.orderBy("t"), rows.coalesce(1)):
        assert rows_of(timeSplit(other, "t", [0.7, 0.3])[1].agg(F.min("t"), F.count("t"))) == expected


@pytest.mark.parametrize(
    ("times", "before"),
    [([1, 2, 2, 2, 2], 1), ([1, 1, 1, 1, 2], 4), ([1, 1, 1, 2, 2], 3), ([5, 5, 5, 5, 6, 7], 5)],
)
def test_rows_of_one_time_stay_together(spark, times, before):
    train, test = timeSplit(spark.createDataFrame([(t,) for t in times], ["t"]), "t", [0.8, 0.2])
    assert (train.count(), test.count()) == (before, len(times) - before)


@pytest.mark.parametrize(("share", "before"), [(1e-9, 1), (1 - 1e-9, 4)])
def test_the_smallest_part_has_the_rows_of_one_time(spark, share, before):
    rows = spark.createDataFrame([(t,) for t in (3, 5, 6, 6, 7)], ["t"])
    train, test = timeSplit(rows, "t", [share, 1 - share])
    assert (train.count(), test.count()) == (before, 5 - before)


@pytest.mark.parametrize("share", [0.8, 0.55, 0.5])
def test_each_users_first_rows_train(events, arrays, share):
    parts = timeSplit(events, "t", [share, 1 - share], userCol="user")
    assert_parts(events, parts)
    of_user = defaultdict(lambda: ([], []))
    for i, part in enumerate(parts):
        for row in part.collect():
            of_user[row.user][i].append(row.t)
    assert len(of_user) == 40
    for before, after in of_user.values():
        assert len(before) == int(np.ceil(round(share * (len(before) + len(after)), 6)))
        assert not after or max(before) <= min(after)


def test_three_parts_by_user(events):
    parts = timeSplit(events, "t", [0.6, 0.2, 0.2], userCol="user")
    assert_parts(events, parts)
    assert [part.count() for part in parts] == pytest.approx([610, 200, 190], abs=30)


@pytest.mark.parametrize("n", [1, 3])
def test_the_last_rows_of_a_user_are_left_out(events, arrays, n):
    train, test = leaveLastOut(events, "user", "t", n)
    assert_parts(events, [train, test])
    user, time, _ = arrays
    for row in test.groupBy("user").agg(F.count("t").alias("rows"), F.min("t").alias("first")).collect():
        assert row.rows == n
        assert row["first"] == np.sort(time[user == row.user])[-n]
    assert {row.user for row in test.collect()} == {int(u) for u in np.unique(user) if (user == u).sum() > n}
    assert train.where("user = 0").count() == 1


def test_ties_are_broken_alike_in_any_order_and_by_no_label(spark):
    rows = spark.range(600).select(
        (F.col("id") % 20).alias("user"),
        F.lit(5).alias("t"),
        F.col("id").alias("item"),
        F.rand(1).alias("stars"),
    )
    other = rows.withColumn("stars", -F.col("stars")).select("stars", "item", "t", "user").repartition(5)
    for split in (
        lambda df: leaveLastOut(df, "user", "t", n=4, apart=["stars"])[1],
        lambda df: timeSplit(df, "t", [0.7, 0.3], userCol="user", apart=["stars"])[1],
    ):
        found = rows_of(split(rows).select("user", "item"))
        assert found == rows_of(split(other).select("user", "item"))
        assert sum(found.values()) in (80, 180)


def test_equal_rows_are_on_one_side(spark):
    rows = spark.createDataFrame([("ann", 1), ("ann", 2), ("ann", 2), ("bob", 1), ("bob", 1)], ["user", "t"])
    train, test = leaveLastOut(rows, "user", "t")
    assert (train.count(), test.count()) == (5, 0)
    train, test = leaveLastOut(rows, "user", "t", n=2)
    assert rows_of(test) == Counter({("ann", 2): 2})
    train, test = timeSplit(rows, "t", [0.5, 0.5], userCol="user")
    assert (train.where("user = 'bob'").count(), train.where("user = 'ann'").count()) == (2, 3)


DAYS = [datetime.date(2024, 1, day) for day in range(1, 11)]


@pytest.mark.parametrize("kind", ["date", "timestamp", "timestamp_ntz", "decimal(10,3)", "bigint"])
def test_times_may_be_of_any_type(spark, kind):
    rows = spark.createDataFrame([("ann", day) for day in DAYS], "user string, day date").repartition(3)
    number = F.datediff("day", F.lit("2000-01-01"))
    times = number if kind.startswith(("d", "b")) and kind != "date" else F.col("day")
    rows = rows.withColumn("t", times.cast(kind))
    for part in (timeSplit(rows, "t")[1], leaveLastOut(rows, "user", "t", 2)[1]):
        assert {row.day for row in part.collect()} == set(DAYS[-2:])


def test_times_within_a_day_are_told_apart(spark):
    for kind in ("timestamp", "timestamp_ntz"):
        text = [f"2024-03-01 10:20:{second:02d}.{second:06d}" for second in range(10)]
        rows = spark.createDataFrame([(t,) for t in text], ["text"])
        rows = rows.select("text", F.expr(f"CAST(text AS {kind}) AS t"))
        found = timeSplit(rows, "t", [0.5, 0.5])[1].collect()
        assert {row.text for row in found} == set(text[5:]), kind


def test_what_has_no_time_or_user_is_told(spark):
    def frame(rows, ddl="user string, t double"):
        return spark.createDataFrame(rows, ddl)

    gaps = frame([("a", 1.0), ("a", None), ("b", float("nan"))])
    nobody = frame([("a", 1.0), (None, 2.0)])
    with pytest.raises(
        ValueError, match="timeCol: column 't' is null or NaN in 2 of 3 rows, expected a time in each"
    ):
        timeSplit(gaps, "t")
    with pytest.raises(ValueError, match="timeCol: column 't' is null or NaN in 2 of 3 rows"):
        leaveLastOut(gaps, "user", "t")
    with pytest.raises(ValueError, match="userCol: column 'user' is null in 1 of 2 rows"):
        leaveLastOut(nobody, "user", "t")
    with pytest.raises(ValueError, match="userCol: column 'user' is null in 1 of 2 rows"):
        timeSplit(nobody, "t", userCol="user")
    with pytest.raises(
        TypeError, match="timeCol: column 'user' has type string, expected numbers, dates or timestamps"
    ):
        timeSplit(nobody, "user")
    with pytest.raises(ValueError, match="timeCol: there is no column 'when'"):
        timeSplit(nobody, "when")
    with pytest.raises(ValueError, match="column 't' has too few different times for parts of these weights"):
        timeSplit(frame([("a", 1.0)] * 5), "t")
    with pytest.raises(ValueError, match="column 't' has too few different times"):
        timeSplit(frame([("a", 1.0), ("a", 2.0)]), "t", [0.6, 0.2, 0.2])
    with pytest.raises(ValueError, match=r"weights: found \[1.0\], expected two or more numbers > 0"):
        timeSplit(nobody, "t", [1.0])
    with pytest.raises(ValueError, match="n: found 0, expected an integer >= 1"):
        leaveLastOut(nobody, "user", "t", 0)
    with pytest.raises(ValueError, match="apart: there is no column 'rating'; the columns are: user, t"):
        leaveLastOut(frame([("a", 1.0)]), "user", "t", apart=["rating"])
    with pytest.raises(ValueError, match="there are no rows to split"):
        timeSplit(frame([]), "t")


def test_nothing_stays_persisted_and_no_column_is_left(events, persisted):
    before = persisted()
    parts = [*timeSplit(events, "t"), *leaveLastOut(events, "user", "t")]
    assert persisted() == before
    assert not any(PART in part.columns for part in parts)


@pytest.mark.parametrize("kind", ["bigint", "decimal(25,3)"])
def test_integers_beyond_those_of_doubles_keep_their_order(spark, kind):
    """Nanoseconds, one apart: as doubles all ten would be one time."""
    start = 1_700_000_000_000_000_000
    rows = (
        spark.range(10)
        .select("id", F.lit("ann").alias("user"), (F.col("id") + start).alias("t"))
        .repartition(3)
    )
    rows = rows.withColumn("t", F.col("t").cast(kind))
    for last in (
        timeSplit(rows, "t", [0.7, 0.3])[1],
        timeSplit(rows, "t", [0.7, 0.3], userCol="user")[1],
        leaveLastOut(rows, "user", "t", 3)[1],
    ):
        assert {row.id for row in last.collect()} == {7, 8, 9}
    parts = timeSplit(rows.union(rows.where("id = 4")), "t", [0.3, 0.3, 0.4])
    assert [sorted(row.id for row in part.collect()) for part in parts] == [
        [0, 1, 2],
        [3, 4, 4, 5],
        [6, 7, 8, 9],
    ]


def test_a_column_of_our_own_name_is_told(events):
    with pytest.raises(
        ValueError, match=f"found a column '{PART}', which is the name of one that spark_fm adds"
    ):
        leaveLastOut(events.withColumn(PART, F.lit(1)), "user", "t")
