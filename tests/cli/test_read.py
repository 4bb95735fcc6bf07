"""Input rows: formats, columns, and the split."""

from pathlib import Path

import pytest
from pyspark.sql import DataFrame, SparkSession

from spark_fm.cli.config import Columns, Config, Input
from spark_fm.cli.read import check_columns, check_new_columns, expanded, read

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


def test_generated_ratings_are_always_the_same(spark: SparkSession) -> None:
    rows = read(spark, Input(path="${generated_ratings}"))
    found = rows.agg({"rating": "avg", "user": "max", "movie": "max", "*": "count"}).collect()[0].asDict()
    assert found["count(1)"] == rows.select("user", "movie").distinct().count() == 20_000
    assert (found["max(user)"], found["max(movie)"]) == (599, 399)
    assert found["avg(rating)"] == pytest.approx(3.364, abs=0.02)
    assert read(spark, Input(path="${generated_ratings}")).collect() == rows.collect()


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
        (Input(path="nowhere"), "input.path: there is nothing at nowhere, expected rows to read$"),
        (
            Input(path="${pyspark_data}", format="nope"),
            "input.format: Spark knows no format 'nope', expected one such",
        ),
        (Input(table="nowhere"), "input.table: there is no table nowhere, expected one that Spark knows$"),
        (
            Input(path="${pyspark_data}/mllib/sample_svm_data.txt"),
            "input.format: can't read the files at file:.*sample_svm_data.txt as parquet, expected files of that",
        ),
        (
            Input(path="${pyspark_data}/mllib/sample_svm_data.txt", format="csv", schema="a itn"),
            "input.schema: found 'a itn', expected names and types as SQL writes them",
        ),
        (Input(path="${home}/a"), r"input.path: unknown variable \$\{home\}, expected \$\{pyspark_data\}/"),
    ],
)
def test_input_errors(spark: SparkSession, source: Input, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        read(spark, source)


def test_a_folder_without_rows(spark: SparkSession, tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"input\.path: found no parquet file with rows in .*, or input\.schema$"
    ):
        read(spark, Input(path=str(tmp_path)))


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
        check_columns(sample, Config(columns=columns))


@pytest.mark.parametrize(
    ("field", "columns", "error", "sentence"),
    [
        (
            {"kind": "categorical", "column": "who"},
            Columns(label="rating"),
            ValueError,
            "fields: there is no column 'who'",
        ),
        (
            {"kind": "set", "column": "user"},
            Columns(label="rating"),
            TypeError,
            "fields: column 'user' has type int",
        ),
        (
            {"kind": "numeric", "column": "user"},
            Columns(label="stars"),
            ValueError,
            "columns.label: there is no column",
        ),
        (
            {"kind": "numeric", "column": "user"},
            Columns(label="rating", categorical=("movie",)),
            ValueError,
            r"fields: found columns\.categorical too, expected one of both",
        ),
    ],
)
def test_fields_are_checked_by_the_schema(
    sample: DataFrame, field: dict[str, str], columns: Columns, error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        check_columns(sample, Config(columns=columns, fields=(field,)))


def test_a_csv_without_names_and_types_hints_at_the_schema(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("1,2,3.5\n", "utf-8")
    rows = read(spark, Input(format="csv", path=str(tmp_path / "rows.csv")))
    with pytest.raises(
        ValueError, match=r"'stars'; the columns are: _c0, _c1, _c2; input\.schema names .* header"
    ):
        check_columns(rows, Config(columns=Columns(label="stars", categorical=("user",))))


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        (
            Columns(label="l", categorical=("ids",)),
            "columns.categorical: column 'ids' has type array<int>, expected str",
        ),
        (
            Columns(label="l", numeric=("day",)),
            "columns.numeric: column 'day' has type date, expected numbers",
        ),
        (Columns(label="day", features="ids"), "columns.label: column 'day' has type date, expected numbers"),
        (
            Columns(label="l", features="ids", validation="l"),
            "columns.validation: column 'l' has type int, expected boolean",
        ),
    ],
)
def test_types_of_columns(spark: SparkSession, columns: Columns, sentence: str) -> None:
    rows = spark.sql("SELECT array(1) AS ids, date'2024-01-01' AS day, 1 AS l")
    with pytest.raises(ValueError, match=sentence):
        check_columns(rows, Config(columns=columns))


@pytest.mark.parametrize("name", ["Prediction", "__spark_fm_features"])
def test_no_column_of_the_input_is_called_like_one_that_the_model_adds(
    spark: SparkSession, name: str
) -> None:
    with pytest.raises(
        ValueError, match=f"input: found a column '{name}', which is the name of one that the model"
    ):
        check_new_columns(spark.range(1).toDF(name), ["prediction", ""])


def test_the_column_of_cold_rows_is_a_new_one(spark: SparkSession) -> None:
    with pytest.raises(
        ValueError, match=r"columns\.cold: found 'Why', which is the name of one that the model adds"
    ):
        check_new_columns(spark.range(1), ["prediction", "why"], "Why")
    with pytest.raises(ValueError, match="input: found a column 'Cold', which is the name of one"):
        check_new_columns(spark.range(1).toDF("Cold"), ["prediction"], "cold")
    check_new_columns(spark.range(1).toDF("cold"), ["prediction", ""])
