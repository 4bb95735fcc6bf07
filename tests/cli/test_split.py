"""Which rows are held out."""

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from spark_fm.cli.config import Columns, Input, Split
from spark_fm.cli.read import read
from spark_fm.cli.split import held_out_rows, not_hashed, split_rows


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
    return split_rows(data, held_out_rows(data, split, not_hashed(Columns(label=label))))


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
    training, held_out = split_rows(rows, held_out_rows(rows, Split(test=0.5), apart))
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


@pytest.mark.parametrize(
    ("split", "sentence"),
    [
        (Split(test=1.0), "split.test: found 1.0, expected a fraction >= 0 and < 1"),
        (Split(column="later"), "split.column: there is no column 'later'"),
        (Split(column="user"), "split.column: column 'user' has type int, expected boolean"),
    ],
)
def test_split_errors(sample: DataFrame, split: Split, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        halves(sample, split)
