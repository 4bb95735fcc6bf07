"""What one pass over the input finds before training."""

import warnings
from dataclasses import replace

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from spark_fm.cli.config import Columns, Config, Input, Split
from spark_fm.cli.split import marked, not_hashed
from spark_fm.cli.survey import Survey, survey, typed

COLUMNS = Columns(label="y", categorical=("site",), numeric=("bid",), weight="w")
SPLIT = Split(column="later")
PLAIN = Config(task="classification", input=Input(path="rows"), columns=COLUMNS, split=SPLIT)


def rows(spark: SparkSession, **columns: str) -> DataFrame:
    """Ten good rows, some of their columns replaced by SQL."""
    good = {"site": "id % 3", "bid": "id", "w": "1.0", "y": "id % 2", "later": "id >= 8"} | columns
    return spark.range(10).selectExpr(*(f"{sql} AS {name}" for name, sql in good.items()))


def surveyed(data: DataFrame, config: Config = PLAIN) -> Survey:
    divided = marked(data, config.split, not_hashed(config.columns))
    return survey(divided.rows, config, divided.held_out, None)


def test_rows_are_counted(spark: SparkSession) -> None:
    assert surveyed(rows(spark)) == Survey(10, 2)
    assert surveyed(rows(spark), replace(PLAIN, split=Split(test=0.0))) == Survey(10, 0)


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        (
            {"later": "false"},
            "split.column: column 'later' holds out none of 10 rows, expected some to measure on$",
        ),
        (
            {"later": "true"},
            "split.column: column 'later' holds out all of 10 rows, expected some to train on",
        ),
        (
            {"y": "if(id > 3, id % 2, null)"},
            "columns.label: column 'y' is empty in 4 of 10 rows, expected a label in",
        ),
        (
            {"y": "if(id > 3, 1.0, double('NaN'))"},
            "columns.label: column 'y' is empty in 4 of 10 rows, expected a",
        ),
        (
            {"y": "if(id > 3, 1, -1)"},
            "columns.label: column 'y' has labels that are not 0 or 1 in 4 .* columns.positive",
        ),
        (
            {"y": "if(id > 3, 'no', 'yes')"},
            "columns.label: found 'no' in column 'y', expected 0 or 1; columns.positive",
        ),
        (
            {"bid": "if(id > 3, id, null)"},
            "columns.numeric: column 'bid' is empty .* in 4 of 10 rows, .* columns.fill",
        ),
        (
            {"bid": "if(id > 3, 0.5D, double('NaN'))"},
            "columns.numeric: column 'bid' is empty .* in 4 of 10 rows",
        ),
        ({"bid": "if(id > 3, '1.5', ' ')"}, "columns.numeric: column 'bid' is empty .* in 4 of 10 rows"),
        ({"bid": "string(null)"}, "columns.numeric: column 'bid' is empty .* in 10 of 10 rows"),
        (
            {"bid": "if(id = 3, '1,5', '2')"},
            "columns.numeric: found '1,5' in column 'bid', .* columns.categorical, .*schema",
        ),
        (
            {"bid": "if(id = 3, 1e300, 2.0)"},
            "columns.numeric: found '1.0E300' in column 'bid', expected a number",
        ),
        (
            {"w": "id - 1"},
            "columns.weight: column 'w' is empty, negative or no number in 1 of 10 rows, expected",
        ),
        (
            {"w": "if(id > 3, '1', 'x')"},
            "columns.weight: column 'w' is empty, negative or no number in 4 of 10 rows",
        ),
        (
            {"w": "if(id < 8, 1, 0)"},
            "columns.weight: column 'w' is 0 in all rows to measure on, expected a weight",
        ),
        (
            {"w": "if(id < 8, 0, 1)"},
            "columns.weight: column 'w' is 0 in all rows to train on, expected a weight",
        ),
    ],
)
def test_what_training_would_stumble_over(
    spark: SparkSession, columns: dict[str, str], sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        surveyed(rows(spark, **columns))


def test_no_rows(spark: SparkSession) -> None:
    with pytest.raises(ValueError, match="input: there are no rows in rows, expected some"):
        surveyed(rows(spark).limit(0))


def test_a_fraction_that_holds_out_nothing(spark: SparkSession) -> None:
    config = replace(PLAIN, split=Split(test=1e-9))
    with pytest.raises(
        ValueError, match=r"split\.test: the fraction 1e-09 holds out none of 10 rows.* split\.test = 0"
    ):
        surveyed(rows(spark), config)


def test_a_split_by_time_is_counted(spark: SparkSession) -> None:
    by_time = Split(kind="time", time="bid", test=0.3)
    assert surveyed(rows(spark), replace(PLAIN, split=by_time)) == Survey(10, 3)
    last = Split(kind="last", time="bid", user="site")
    assert surveyed(rows(spark), replace(PLAIN, split=last)) == Survey(10, 3)
    with pytest.raises(ValueError, match=r"split\.rows: 4 of each user holds out none of 10 rows"):
        surveyed(rows(spark), replace(PLAIN, split=replace(last, rows=4)))


def test_labels_of_regression_are_numbers(spark: SparkSession) -> None:
    config = replace(PLAIN, task="regression")
    data = rows(spark, y="if(id = 1, '2.5', ' 3 ')")
    assert surveyed(data, config).rows == 10
    assert {row.y for row in typed(data, config).collect()} == {2.5, 3.0}
    with pytest.raises(
        ValueError, match=r"columns\.label: found 'many' in column 'y', expected a number; .*inferSchema"
    ):
        surveyed(rows(spark, y="if(id = 1, 'many', '3')"), config)


@pytest.mark.parametrize(
    ("label", "positive"),
    [
        ("if(id < 3, 'yes', 'no')", "yes"),
        ("if(id < 3, 1, -1)", "1"),
        ("if(id < 3, -1.0D, 1.0D)", "-1"),
        ("id < 3", "true"),
        ("NOT id < 3", "False"),
        ("if(id < 3, '1', '2')", "1"),
    ],
)
def test_the_positive_label(spark: SparkSession, label: str, positive: str) -> None:
    config = replace(PLAIN, columns=replace(COLUMNS, positive=positive))
    data = rows(spark, y=label)
    surveyed(data, config)
    assert [row.y for row in typed(data, config).orderBy("bid").collect()] == [1.0] * 3 + [0.0] * 7


@pytest.mark.parametrize(
    ("label", "positive", "sentence"),
    [
        ("if(id < 3, 'yes', 'no')", "Yes", "columns.positive: no row has 'Yes' in column 'y', expected some"),
        (
            "id",
            "yes",
            "columns.positive: found 'yes', expected an integer as in column 'y', which has type bigint",
        ),
        ("id < 3", "yes", "columns.positive: found 'yes', expected true or false as in column 'y'"),
        (
            "if(id < 3, 'yes', null)",
            "yes",
            "columns.label: column 'y' is empty in 7 of 10 rows, expected a label",
        ),
    ],
)
def test_a_positive_label_that_is_none(spark: SparkSession, label: str, positive: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        surveyed(rows(spark, y=label), replace(PLAIN, columns=replace(COLUMNS, positive=positive)))


def test_booleans_are_labels_as_they_are(spark: SparkSession) -> None:
    data = rows(spark, y="id < 3")
    surveyed(data)
    assert typed(data, PLAIN).agg(F.sum("y")).collect()[0][0] == 3.0


def test_a_weight_may_be_a_string_of_a_number(spark: SparkSession) -> None:
    data = rows(spark, w="'2.5'")
    surveyed(data)
    assert typed(data, PLAIN).agg(F.sum("w")).collect()[0][0] == 25.0


def test_empty_columns_are_told(spark: SparkSession) -> None:
    filled = replace(PLAIN, columns=replace(COLUMNS, fill=0.0))
    with pytest.warns(UserWarning, match=r"columns\.categorical: column 'site' is empty in all rows"):
        surveyed(rows(spark, site="string(null)"))
    with pytest.warns(UserWarning, match=r"columns\.numeric: column 'bid' is empty in all rows"):
        surveyed(rows(spark, bid="double(null)"), filled)


def warned(data: DataFrame) -> list[str]:
    config = Config(
        task="classification", columns=Columns(label="y", categorical=("site",)), split=Split(test=0.3)
    )
    divided = marked(data, config.split, not_hashed(config.columns))
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        survey(divided.rows, config, divided.held_out, divided.drawn)
    return [str(warning.message) for warning in found]


def test_a_split_by_few_combinations_is_told(spark: SparkSession) -> None:
    few = spark.range(2000).selectExpr("id % 40 AS site", "cast(id % 7 = 0 AS int) AS y")
    (sentence,) = warned(few)
    assert "rows differ in more than label, weight and validation" in sentence
    assert "split.column" in sentence
    assert warned(few.withColumn("row", F.monotonically_increasing_id())) == []
