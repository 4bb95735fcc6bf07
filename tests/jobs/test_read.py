"""Input rows: formats, columns, and the split."""

from pathlib import Path

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from spark_fm.job.config import Columns, Input, Split
from spark_fm.job.read import check_columns, expanded, read, split_rows

SAMPLE = Input(
    format="csv",
    path="${pyspark_data}/mllib/als/sample_movielens_ratings.txt",
    schema="user int, movie int, rating double, timestamp bigint",
    options={"sep": "::"},
)


@pytest.fixture(scope="module")
def sample(spark: SparkSession) -> DataFrame:
    return read(spark, SAMPLE)


def test_text_with_a_separator(sample: DataFrame) -> None:
    assert sample.count() == 1501
    assert sample.where("rating is null or user is null").count() == 0


def test_libsvm_and_table(spark: SparkSession) -> None:
    rows = read(
        spark,
        Input(
            format="libsvm",
            path="${pyspark_data}/mllib/sample_binary_classification_data.txt",
            options={"numFeatures": 692},
        ),
    )
    rows.createOrReplaceTempView("spark_fm_binary")
    assert read(spark, Input(table="spark_fm_binary")).count() == 100


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        (Input(), "input.path: missing, expected a path to read, or input.table"),
        (Input(path="a", table="b"), r"input: found both path and table \(b\), expected one of them"),
        (Input(path="${home}/a"), r"input.path: unknown variable \$\{home\}, expected \$\{pyspark_data\}"),
    ],
)
def test_input_errors(spark: SparkSession, source: Input, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        read(spark, source)


def test_pyspark_data_must_exist(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SPARK_HOME", str(tmp_path))
    with pytest.raises(ValueError, match="which does not exist"):
        expanded("${pyspark_data}/mllib")


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        (
            Columns(label="stars", categorical=("user",)),
            r"columns.label: there is no column 'stars'; the columns are",
        ),
        (Columns(label="rating", categorical=("users",)), "columns.categorical: there is no column 'users'"),
        (Columns(label="rating", features="f"), "columns.features: there is no column 'f'"),
        (Columns(label="rating", numeric=("user",), weight="w"), "columns.weight: there is no column 'w'"),
        (Columns(label="rating"), "columns: found neither, expected features, or categorical and numeric"),
        (Columns(label="rating", features="f", numeric=("user",)), "columns: found both"),
    ],
)
def test_column_errors(sample: DataFrame, columns: Columns, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        check_columns(sample, columns)


def rows_of(data: DataFrame | None) -> set[tuple[object, ...]]:
    assert data is not None
    return {tuple(row) for row in data.collect()}


def test_a_fraction_holds_out_the_same_rows_however_they_lie(sample: DataFrame) -> None:
    training, held_out = split_rows(sample, Split(test=0.2, seed=1))
    shuffled = split_rows(sample.repartition(7), Split(test=0.2, seed=1))[1]
    other = split_rows(sample, Split(test=0.2, seed=2))[1]
    assert rows_of(training) | rows_of(held_out) == rows_of(sample)
    assert not rows_of(training) & rows_of(held_out)
    assert abs(len(rows_of(held_out)) - 300) < 60
    assert rows_of(held_out) == rows_of(shuffled) != rows_of(other)


def test_vectors_can_be_split(binary: DataFrame) -> None:
    training, held_out = split_rows(binary, Split(test=0.5))
    assert held_out is not None
    assert training.count() + held_out.count() == binary.count()


def test_no_fraction_holds_out_nothing(sample: DataFrame) -> None:
    assert split_rows(sample, Split(test=0.0)) == (sample, None)


def test_a_column_says_which_rows_are_held_out_and_null_is_false(sample: DataFrame) -> None:
    marked = sample.withColumn("later", F.when(F.col("movie") < 50, F.col("user") == 3))
    training, held_out = split_rows(marked, Split(column="later"))
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
        split_rows(sample, split)
