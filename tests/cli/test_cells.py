"""Columns of any name and type behind both encoders, as the saved pipeline reads them."""

import json
from pathlib import Path
from typing import Any

import pytest
from pyspark.ml import Pipeline, PipelineModel
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import (
    BooleanType,
    DataType,
    DecimalType,
    DoubleType,
    FloatType,
    IntegerType,
    LongType,
)

from spark_fm.cli import evaluate_main, score_main, train_main
from spark_fm.cli.cells import label_number
from spark_fm.cli.config import Columns, Config
from spark_fm.cli.errors import reason
from spark_fm.cli.stages import FEATURES, encoders

ENCODERS = ["onehot", "hash"]


def features(pipeline: PipelineModel, data: DataFrame) -> list[dict[int, float]]:
    vectors = [row[0] for row in pipeline.transform(data).select(FEATURES).collect()]
    return [{i: x for i, x in enumerate(vector.toArray()) if x} for vector in vectors]


def fitted(data: DataFrame, **columns: Any) -> PipelineModel:
    return Pipeline(
        stages=encoders(Config(columns=Columns(**{"numFeatures": 4096} | columns)), data.schema)
    ).fit(data)


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize(
    "category",
    [
        "id % 2 = 0",
        "date_add(date'2024-01-01', int(id % 2))",
        "timestamp'2024-01-01 00:00:00' + make_interval(0, 0, 0, int(id % 2))",
        "timestamp_ntz'2024-01-01 00:00:00' + make_interval(0, 0, 0, int(id % 2))",
        "cast(id % 2 AS decimal(10, 2))",
        "id % 2 / 2.0D",
        "if(id % 2 = 0, null, 1)",
        "if(id % 2 = 0, '', 'a')",
    ],
)
def test_categories_of_any_type(spark: SparkSession, encoder: str, category: str) -> None:
    data = spark.range(4).selectExpr(f"{category} AS c")
    even, odd, *again = features(fitted(data, categorical=("c",), encoder=encoder), data)
    assert [even, odd] == again
    assert even != odd
    assert list(even.values()) == list(odd.values()) == [1.0]


@pytest.mark.parametrize("encoder", ENCODERS)
def test_a_value_is_the_same_category_in_every_session_and_type(spark: SparkSession, encoder: str) -> None:
    """Whichever columns the encoder has learned, others of the same values make the same features."""
    instants = (
        "SELECT timestamp_seconds(1729989000 + 3600 * id) AS at, id - 1 AS n, CAST(id - 1 AS STRING) AS s"
    )
    learned = spark.sql(f"{instants} FROM range(3)")
    pipeline = fitted(learned, categorical=("at", "n", "s"), encoder=encoder)
    before = features(pipeline, learned)
    settings = {"spark.sql.session.timeZone": "Europe/Berlin", "spark.sql.ansi.enabled": "false"}
    saved = {name: str(spark.conf.get(name)) for name in settings}
    try:
        for name, value in settings.items():
            spark.conf.set(name, value)
        for kind in ("INT", "DECIMAL(38, 18)", "DOUBLE", "FLOAT", "STRING"):
            other = "DOUBLE" if kind != "DOUBLE" else "DECIMAL(9, 2)"
            cast = learned.selectExpr(
                "at", f"CAST(n AS {kind}) AS n", f"CAST(CAST(n AS INT) AS {other}) AS s"
            )
            assert features(pipeline, cast) == before, kind
    finally:
        for name, value in saved.items():
            spark.conf.set(name, value)


@pytest.mark.parametrize(
    ("learned", "scored", "found"),
    [
        ("timestamp_seconds(id)", "CAST(id AS STRING)", "string"),
        ("CAST(id AS STRING)", "timestamp_seconds(id)", "timestamp"),
        ("date_from_unix_date(id)", "timestamp_seconds(id)", "timestamp"),
        ("id", "date_from_unix_date(id)", "date"),
        ("id = 1", "id", "bigint"),
    ],
)
def test_a_category_of_another_sort_than_in_training_is_refused(
    spark: SparkSession, learned: str, scored: str, found: str
) -> None:
    pipeline = fitted(spark.range(2).selectExpr(f"{learned} AS `it's`"), categorical=("it's",))
    with pytest.raises(Exception, match="categorical") as raised:
        features(pipeline, spark.range(2).selectExpr(f"{scored} AS `it's`"))
    assert reason(raised.value).startswith(
        f'columns.categorical: found {found} in column "it\'s", expected values of'
    )


@pytest.mark.parametrize(
    ("type_", "positive", "cells", "labels"),
    [
        ("bigint", "1152921504606846977", ["1152921504606846976", "1152921504606846977"], [0.0, 1.0]),
        ("int", "1.0", ["1", "-1", None], [1.0, 0.0, None]),
        ("float", "0.1", ["0.1", "0.25", "NaN"], [1.0, 0.0, None]),
        ("double", "1e0", ["1", "NaN", "-1"], [1.0, None, 0.0]),
        (
            "decimal(38,0)",
            "100000000000000000001",
            ["100000000000000000000", "100000000000000000001"],
            [0.0, 1.0],
        ),
        ("decimal(38,0)", "9" * 37 + "8", ["9" * 37 + "8", "9" * 38, "1" + "0" * 37], [1.0, 0.0, 0.0]),
        ("decimal(4,2)", "-1.50", ["-1.5", "1"], [1.0, 0.0]),
        ("boolean", "false", ["true", "false"], [0.0, 1.0]),
        ("string", "it's \\", ["it's \\", "its"], [1.0, 0.0]),
    ],
)
def test_the_label_that_counts_as_1(
    spark: SparkSession, type_: str, positive: str, cells: list[str | None], labels: list[float | None]
) -> None:
    data = spark.createDataFrame([(cell,) for cell in cells], "t string").select(
        F.col("t").cast(type_).alias("y")
    )
    found = data.select(F.expr(label_number("y", data.schema["y"].dataType, positive)).alias("label"))
    assert [row.label for row in found.collect()] == labels


@pytest.mark.parametrize(
    ("type_", "positive", "expected"),
    [
        (DoubleType(), "nan", "a finite number"),
        (DoubleType(), "1e400", "a finite number"),
        (FloatType(), "-inf", "a finite number"),
        (FloatType(), "yes", "a finite number"),
        (IntegerType(), "nan", "an integer"),
        (LongType(), "0.5", "an integer"),
        (LongType(), "1e99", "an integer"),
        (DecimalType(20, 2), "Infinity", "a number of at most 38 digits"),
        (BooleanType(), "yes", "true or false"),
    ],
)
def test_no_such_label(type_: DataType, positive: str, expected: str) -> None:
    with pytest.raises(
        ValueError, match=f"columns.positive: found '{positive}', expected {expected} as in column 'y'"
    ):
        label_number("y", type_, positive)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_an_empty_cell_is_a_category_of_its_own(spark: SparkSession, encoder: str) -> None:
    data = spark.createDataFrame([("a",), (None,), ("",), ("=",), ("a",)], "c string")
    numbers = spark.sql("SELECT double('NaN') AS c UNION ALL SELECT NULL UNION ALL SELECT 1.0D")
    nan, missing, one = features(fitted(numbers, categorical=("c",), encoder=encoder), numbers)
    assert nan == missing != one
    a, null, empty, other, again = features(fitted(data, categorical=("c",), encoder=encoder), data)
    assert a == again
    assert null == empty
    assert len({str(a), str(null), str(other)}) == 3
    assert list(null.values()) == [1.0]


@pytest.mark.parametrize("null", ["string(null)", "''", "'new'"])
def test_what_training_has_not_met_has_no_feature(spark: SparkSession, null: str) -> None:
    pipeline = fitted(spark.range(3).selectExpr("string(id) AS c"), categorical=("c",))
    assert features(pipeline, spark.sql(f"SELECT {null} AS c")) == [{}]


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("cell", ["double(null)", "double('NaN')", "string(null)", "''", "' '", "'nan'"])
def test_a_fill_stands_for_empty_cells(spark: SparkSession, encoder: str, cell: str) -> None:
    three = "3.0D" if "double" in cell else "'3'"
    data = spark.range(2).selectExpr(f"if(id = 0, {cell}, {three}) AS n")
    filled = fitted(data, numeric=("n",), fill=-2.5, encoder=encoder)
    assert sorted(x for row in features(filled, data) for x in row.values()) == [-2.5, 3.0]


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize(
    ("cell", "fill", "found"),
    [
        ("double(null)", None, "an empty cell"),
        ("double('NaN')", None, "NaN"),
        ("double('Infinity')", 0.0, "Infinity"),
        ("'many'", 0.0, "many"),
    ],
)
def test_what_is_no_number_ends_scoring_with_one_sentence(
    spark: SparkSession, encoder: str, cell: str, fill: float | None, found: str
) -> None:
    name = "it's a `price`.eur"
    quoted = "`it's a ``price``.eur`"
    pipeline = fitted(spark.sql(f"SELECT 1.5 AS {quoted}"), numeric=(name,), fill=fill, encoder=encoder)
    with pytest.raises(Exception, match="number") as raised:
        features(pipeline, spark.sql(f"SELECT {cell} AS {quoted}"))
    assert reason(raised.value) == (
        f"columns.numeric: found {found} in column {name!r}, expected a number; columns.fill says what an empty cell "
        "stands for"
    )


ODD = """
task = "classification"
[input]
path = "{folder}/rows"
[columns]
label = "is it?"
positive = "yes"
categorical = ["user.id", "ci`ty", "on sale"]
numeric = ["price.eur"]
weight = "w.w"
validation = "a`valid"
encoder = "{encoder}"
numFeatures = 4096
[split]
column = "is.test"
[params]
maxIter = 3
[model]
path = "{folder}/model"
[report]
folder = "{folder}/report"
[output]
format = "csv"
path = "{folder}/scored"
[compare]
baselines = true
"""


@pytest.mark.parametrize("encoder", ENCODERS)
def test_odd_names_from_training_to_scoring(spark: SparkSession, tmp_path: Path, encoder: str) -> None:
    data = spark.range(300).selectExpr(
        "id % 7 AS `user.id`",
        "concat('c', id % 3) AS `ci``ty`",
        "id % 2 = 0 AS `on sale`",
        "string(id % 5) AS `price.eur`",
        "1.0 + id % 2 AS `w.w`",
        "id % 10 = 7 AS `a``valid`",
        "id % 10 = 3 AS `is.test`",
        "if(id % 7 < 3, 'yes', 'no') AS `is it?`",
    )
    data.write.parquet(str(tmp_path / "rows"))
    config = tmp_path / "job.toml"
    config.write_text(ODD.format(folder=tmp_path, encoder=encoder), "utf-8")
    # pyspark.ml's own Factorization Machine fails on hashed columns.
    others = ["--set", "compare.spark.maxIter=2"] if encoder == "onehot" else []
    for job in (train_main, evaluate_main, score_main):
        assert job(["--config", str(config), *others]) == 0
    trained = json.loads((tmp_path / "report" / "metrics.json").read_text("utf-8"))["models"]
    evaluated = json.loads((tmp_path / "report" / "evaluation.json").read_text("utf-8"))["models"]
    assert len(trained) == 3 + bool(others)
    assert trained["spark_fm FMClassifier"]["rows"] == 30
    assert evaluated["FMClassificationModel"] == pytest.approx(trained["spark_fm FMClassifier"])
    # The saved pipeline takes the user's columns, of which the label is none that scoring needs.
    alone = PipelineModel.load(str(tmp_path / "model")).transform(data.drop("is it?"))
    assert alone.select("prediction").distinct().count() == 2
    assert len(spark.read.csv(str(tmp_path / "scored")).columns) == len(data.columns) + 2
