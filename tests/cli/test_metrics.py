"""Metrics against pyspark.ml's evaluators and numbers worked out by hand."""

import math

import pytest
from pyspark.ml.evaluation import RegressionEvaluator
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from spark_fm.cli.metrics import measure


def frame(spark: SparkSession, rows: list[tuple[float | None, float, float]]) -> DataFrame:
    return spark.createDataFrame(rows, "label double, p double, w double")


def test_regression_agrees_with_the_evaluator(spark: SparkSession) -> None:
    rows = frame(spark, [(1.0, 2.0, 1.0), (3.0, 2.5, 2.0), (-1.0, 0.0, 0.5)])
    found = measure(rows, F.col("p"), "label", "w", "regression")
    assert found["rows"] == 3
    for name in ("rmse", "mae"):
        evaluator = RegressionEvaluator(predictionCol="p", labelCol="label", weightCol="w", metricName=name)
        assert found[name] == pytest.approx(evaluator.evaluate(rows))


def test_classification_by_hand(spark: SparkSession) -> None:
    rows = frame(spark, [(1.0, 0.8, 1.0), (0.0, 0.6, 1.0), (1.0, 0.5, 1.0), (0.0, 0.1, 1.0)])
    found = measure(rows, F.col("p"), "label", "", "classification")
    assert found["rows"] == 4
    assert found["logLoss"] == pytest.approx(-sum(map(math.log, (0.8, 0.4, 0.5, 0.9))) / 4)
    # Three of the four pairs of a 1 and a 0 are in order.
    assert found["auc"] == pytest.approx(0.75)
    assert found["calibration"] == pytest.approx(2.0 / 2.0)


@pytest.mark.parametrize("factor", [1e160, 1e-300])
def test_only_ratios_of_weights_count(spark: SparkSession, factor: float) -> None:
    rows = [(1.0, 0.8, 1.0), (0.0, 0.6, 3.0), (1.0, 0.5, 2.0), (0.0, 0.1, 1.0)]
    other = frame(spark, [(label, p, w * factor) for label, p, w in rows])
    for task in ("regression", "classification"):
        expected = measure(frame(spark, rows), F.col("p"), "label", "w", task)
        assert measure(other, F.col("p"), "label", "w", task) == pytest.approx(expected)


def test_certain_probabilities_have_a_finite_loss(spark: SparkSession) -> None:
    found = measure(
        frame(spark, [(1.0, 0.0, 1.0), (0.0, 0.0, 1.0)]), F.col("p"), "label", "", "classification"
    )
    assert found["logLoss"] == pytest.approx(-math.log(1e-15) / 2, rel=1e-3)


def test_one_class_has_no_auc_and_no_clicks_no_calibration(spark: SparkSession) -> None:
    found = measure(frame(spark, [(0.0, 0.2, 1.0)]), F.col("p"), "label", "", "classification")
    assert found["auc"] is None
    assert found["calibration"] is None


@pytest.mark.parametrize(
    ("rows", "task", "sentence"),
    [
        ([], "regression", "input: there are no rows to measure on"),
        (
            [(None, 1.0, 1.0), (2.0, 1.0, 1.0)],
            "regression",
            "column 'label' is null in 1 rows, expected a number",
        ),
        ([(2.0, 0.5, 1.0)], "classification", "column 'label' has labels that are not 0 or 1"),
        ([(2.0, 0.5, 0.0)], "regression", "columns.weight: the weights of all rows are 0 or null"),
    ],
)
def test_rows_that_cannot_be_measured(
    spark: SparkSession, rows: list[tuple[float | None, float, float]], task: str, sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        measure(frame(spark, rows), F.col("p"), "label", "w", task)


def test_columns_must_be_there(spark: SparkSession) -> None:
    with pytest.raises(ValueError, match=r"columns\.weight: there is no column 'weight'"):
        measure(frame(spark, [(1.0, 1.0, 1.0)]), F.col("p"), "label", "weight", "regression")
