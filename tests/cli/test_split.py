"""Which rows are held out."""

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from spark_fm.cli.config import Columns, Input, Split
from spark_fm.cli.read import read
from spark_fm.cli.split import marked, not_hashed


@pytest.fixture(scope="module")
def sample(spark: SparkSession) -> DataFrame:
    source = Input(
        format="csv",
        path="${pyspark_data}/mllib/als/sample_movielens_ratings.txt",
        schema="user int, movie int, rating double, timestamp bigint",
        options={"sep": "::"},
    )
    return read(spark, source)


def halves(data: DataFrame, split: Split, label: str = "rating") -> tuple[DataFrame, DataFrame | None]:
    return marked(data, split, not_hashed(Columns(label=label))).split()


def test_the_label_has_no_part_in_it(sample: DataFrame) -> None:
    split = Split(test=0.3, seed=4)
    others = sample.withColumn("rating", 5.0 - F.col("rating")).select("timestamp", "rating", "movie", "user")
    one, other = halves(sample, split)[1], halves(others, split)[1]
    assert one is not None
    assert other is not None
    keys = ["user", "movie", "timestamp"]
    assert rows_of(one.select(keys)) == rows_of(other.select(keys))


def test_rows_that_differ_in_label_weight_or_validation_are_on_one_side(spark: SparkSession) -> None:
    rows = spark.range(4000).selectExpr("id % 100 AS site", "rand(1) AS y", "rand(2) AS w", "id % 3 = 0 AS v")
    apart = not_hashed(Columns(label="y", weight="w", validation="v"))
    training, held_out = marked(rows, Split(test=0.5), apart).split()
    assert held_out is not None
    assert not rows_of(training.select("site")) & rows_of(held_out.select("site"))


def test_maps_are_left_out_and_some_column_is_needed(spark: SparkSession) -> None:
    rows = spark.range(100).selectExpr("map('a', id) AS m", "id", "1.0 AS y")
    held_out = halves(rows, Split(test=0.5), "y")[1]
    assert held_out is not None
    assert 20 < held_out.count() < 80
    with pytest.raises(
        ValueError, match=r"split\.test: found no column to tell rows by .* a boolean split\.column"
    ):
        halves(rows.select("m", "y"), Split(test=0.5), "y")


def rows_of(data: DataFrame | None) -> set[tuple[object, ...]]:
    assert data is not None
    return {tuple(row) for row in data.collect()}


def test_a_fraction_holds_out_the_same_rows_however_they_lie(sample: DataFrame) -> None:
    training, held_out = halves(sample, Split(test=0.2, seed=1))
    shuffled = halves(sample.repartition(7), Split(test=0.2, seed=1))[1]
    other = halves(sample, Split(test=0.2, seed=2))[1]
    assert rows_of(training) | rows_of(held_out) == rows_of(sample)
    assert not rows_of(training) & rows_of(held_out)
    assert abs(len(rows_of(held_out)) - 300) < 60
    assert rows_of(held_out) == rows_of(shuffled) != rows_of(other)


def test_vectors_can_be_split(binary: DataFrame) -> None:
    training, held_out = halves(binary, Split(test=0.5), "label")
    assert held_out is not None
    assert training.count() + held_out.count() == binary.count()


def test_no_fraction_holds_out_nothing(sample: DataFrame) -> None:
    assert halves(sample, Split(test=0.0)) == (sample, None)


def test_a_column_says_which_rows_are_held_out_and_null_is_false(sample: DataFrame) -> None:
    marked = sample.withColumn("later", F.when(F.col("movie") < 50, F.col("user") == 3))
    training, held_out = halves(marked, Split(column="later"))
    assert held_out is not None
    assert held_out.where("user = 3 and movie < 50").count() == held_out.count() > 0
    assert training.count() + held_out.count() == 1501


def timed(spark: SparkSession) -> DataFrame:
    """100 rows of 10 users at times 0 to 99, in no order, with a label that a split must not look at."""
    return spark.range(100, numPartitions=3).selectExpr(
        "id % 10 AS user", "(id * 37) % 100 AS at", "double(hash(id)) AS rating"
    )


def test_the_last_in_time_are_held_out(spark: SparkSession) -> None:
    training, held_out = halves(timed(spark), Split(kind="time", time="at", test=0.25))
    assert held_out is not None
    assert training.columns == held_out.columns == timed(spark).columns
    assert {row.at for row in training.collect()} == set(range(75))
    assert {row.at for row in held_out.collect()} == set(range(75, 100))


def test_the_last_of_each_user_are_held_out(spark: SparkSession) -> None:
    by_user: dict[int, list[int]] = {}
    for row in timed(spark).collect():
        by_user.setdefault(row.user, []).append(row.at)
    for split, rows in (
        (Split(kind="time", time="at", user="user", test=0.35), 3),
        (Split(kind="last", time="at", user="user"), 1),
        (Split(kind="last", time="at", user="user", rows=4), 4),
    ):
        training, held_out = halves(timed(spark), split)
        assert held_out is not None
        last = {(user, at) for user, times in by_user.items() for at in sorted(times)[-rows:]}
        assert rows_of(held_out.select("user", "at")) == last
        assert training.count() == 100 - 10 * rows


def test_the_label_and_the_order_have_no_part_in_ties(sample: DataFrame) -> None:
    """Most of the sample's ratings are of one second."""
    split = Split(kind="last", time="timestamp", user="user", rows=3)
    training, held_out = halves(sample, split)
    assert held_out is not None
    others = sample.withColumn("rating", -F.col("rating")).select("rating", "timestamp", "movie", "user")
    other = halves(others.repartition(5), split)[1]
    assert other is not None
    keys = ["user", "movie", "timestamp"]
    assert rows_of(held_out.select(keys)) == rows_of(other.select(keys))
    assert held_out.count() == 90
    assert training.count() == 1501 - 90


def test_no_fraction_holds_out_nothing_whatever_the_kind(sample: DataFrame) -> None:
    for kind in ("time", "last"):
        assert halves(sample, Split(kind=kind, time="timestamp", user="user", test=0.0)) == (sample, None)


@pytest.mark.parametrize(
    ("split", "sentence"),
    [
        (Split(test=1.0), "split.test: found 1.0, expected a fraction >= 0 and < 1"),
        (Split(column="later"), "split.column: there is no column 'later'"),
        (Split(column="user"), "split.column: column 'user' has type int, expected boolean"),
        (Split(kind="time", time="later"), "timeCol: there is no column 'later'"),
        (Split(kind="last", time="timestamp", user="who"), "userCol: there is no column 'who'"),
        # Its ratings are of four seconds.
        (
            Split(kind="time", time="timestamp", test=0.01),
            "timeCol: column 'timestamp' has too few different",
        ),
    ],
)
def test_split_errors(sample: DataFrame, split: Split, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        halves(sample, split)
