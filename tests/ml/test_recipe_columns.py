"""What the recipes add to a table of events: by hand on small tables."""

import pytest
from pyspark.sql import functions as F

from spark_fm.recipes import daysSinceFirst, eventsBefore, lastItem, ratedItems

DAY = 86400


@pytest.fixture(scope="module")
def events(spark):
    rows = [("ann", 1, 10), ("ann", 2, 30), ("ann", 3, 20), ("ann", 4, 30), ("bob", 2, 5), (None, 7, 1)]
    return spark.createDataFrame(rows, "user string, item int, time bigint").coalesce(1)


def by_item(rows, column, user="ann"):
    found = rows.where(F.col("user") == user).select("item", column).collect()
    return {row["item"]: row[column] for row in found}


def test_rated_items_are_those_of_the_user_without_the_rows_own(events):
    found = by_item(ratedItems(events, "user", "item"), "rated")
    assert found == {1: [2, 3, 4], 2: [1, 3, 4], 3: [1, 2, 4], 4: [1, 2, 3]}


def test_every_row_stays_with_its_columns(events):
    made = ratedItems(events, "user", "item", outputCol="seen")
    assert made.columns == ["user", "item", "time", "seen"]
    assert made.count() == 6
    assert [row.seen for row in made.where("user is null").collect()] == [[]]


def test_rated_items_of_a_history(events):
    history = events.where("time < 25")
    found = ratedItems(events.where("time >= 25"), "user", "item", history)
    assert by_item(found, "rated") == {2: [1, 3], 4: [1, 3]}
    assert by_item(ratedItems(events, "user", "item", history), "rated", "bob") == {2: []}


def test_the_latest_items_only(events):
    found = ratedItems(events, "user", "item", timeCol="time", most=2)
    assert by_item(found, "rated") == {1: [2, 4], 2: [4], 3: [2, 4], 4: [2]}


def test_an_item_that_was_rated_twice_is_there_once(events):
    twice = ratedItems(events, "user", "item", events.union(events))
    assert by_item(twice, "rated")[1] == [2, 3, 4]


def test_an_output_column_that_is_there_is_replaced(events):
    again = ratedItems(ratedItems(events, "user", "item"), "user", "item")
    assert by_item(again, "rated")[4] == [1, 2, 3]


def test_the_last_item_is_the_one_before_in_time(events):
    found = by_item(lastItem(events, "user", "item", "time"), "lastItem")
    # Items 2 and 4 have one time: the smaller number is the earlier.
    assert found == {1: None, 3: 1, 2: 3, 4: 2}


@pytest.mark.parametrize("kind", ["bigint", "timestamp", "double"])
def test_days_since_the_users_first_event(spark, kind):
    rows = spark.createDataFrame(
        [("ann", 1, DAY), ("ann", 2, 4 * DAY), ("bob", 1, 9 * DAY)], "user string, item int, s bigint"
    )
    rows = rows.withColumn("time", F.col("s").cast(kind))
    made = daysSinceFirst(rows, "user", "time")
    assert by_item(made, "daysSinceFirst") == {1: 0.0, 2: 3.0}
    assert by_item(made, "daysSinceFirst", "bob") == {1: 0.0}


def test_events_before_are_those_at_earlier_times(events):
    found = by_item(eventsBefore(events, "user", "time"), "eventsBefore")
    assert found == {1: 0, 3: 1, 2: 2, 4: 2}


def test_what_looks_back_only_is_the_same_before_and_after_a_split_by_time(events):
    """So it may be added to all events first: no row learns of a later one."""
    early = events.where("time <= 20")
    for add in (
        lambda rows: lastItem(rows, "user", "item", "time", "found"),
        lambda rows: daysSinceFirst(rows, "user", "time", "found"),
        lambda rows: eventsBefore(rows, "user", "time", "found"),
    ):
        assert by_item(add(events).where("time <= 20"), "found") == by_item(add(early), "found")


def test_names_with_dots(events):
    dotted = events.toDF("the.user", "the.item", "the.time")
    made = lastItem(ratedItems(dotted, "the.user", "the.item"), "the.user", "the.item", "the.time")
    assert made.where(F.col("`the.user`") == "bob").collect()[0]["rated"] == []


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda rows: ratedItems(rows, "person", "item"), "userCol: there is no column 'person'"),
        (lambda rows: ratedItems(rows, "user", "film"), "itemCol: there is no column 'film'"),
        (lambda rows: ratedItems(rows, "user", "item", rows.drop("item")), "itemCol: there is no column 'item'"),
        (lambda rows: ratedItems(rows, "user", "item", most=3), "found 3 with timeCol=None, expected both"),
        (lambda rows: ratedItems(rows, "user", "item", timeCol="time", most=0), "found 0, expected an integer >= 1"),
        (lambda rows: lastItem(rows, "user", "item", "when"), "timeCol: there is no column 'when'"),
        (lambda rows: daysSinceFirst(rows, "person", "time"), "userCol: there is no column 'person'"),
    ],
)  # fmt: skip
def test_missing_columns_are_named(events, call, said):
    with pytest.raises(ValueError, match=said):
        call(events)


def test_a_column_that_is_no_time_is_named(events):
    with pytest.raises(TypeError, match="timeCol: column 'user' has type string"):
        eventsBefore(events, "user", "user")


def test_integers_beyond_those_of_doubles_keep_their_order(events):
    start = 2**60
    late = events.withColumn("time", F.col("time") + start)
    assert by_item(lastItem(late, "user", "item", "time"), "lastItem") == {1: None, 3: 1, 2: 3, 4: 2}
    assert by_item(eventsBefore(late, "user", "time"), "eventsBefore") == {1: 0, 3: 1, 2: 2, 4: 2}
    assert by_item(daysSinceFirst(late, "user", "time"), "daysSinceFirst")[2] == 20 / DAY
    assert by_item(ratedItems(late, "user", "item", timeCol="time", most=2), "rated")[1] == [2, 4]


def test_the_output_is_none_of_the_columns_that_are_read(events):
    for call, param in (
        (lambda: ratedItems(events, "user", "item", outputCol="Item"), "itemCol"),
        (lambda: lastItem(events, "user", "item", "time", outputCol="item"), "itemCol"),
        (lambda: daysSinceFirst(events, "user", "time", outputCol="time"), "timeCol"),
        (lambda: eventsBefore(events, "user", "time", outputCol="user"), "userCol"),
    ):
        with pytest.raises(
            ValueError, match=f"{param}, outputCol: found '\\w+' for both, expected two names"
        ):
            call()
    with pytest.raises(
        ValueError, match="found a column '__rated', which is the name of one that spark_fm adds"
    ):
        ratedItems(events.withColumn("__rated", F.lit(1)), "user", "item")
