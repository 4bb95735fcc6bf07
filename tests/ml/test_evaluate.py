import math

import numpy as np
import pytest
from pyspark.ml.evaluation import BinaryClassificationEvaluator, RegressionEvaluator
from pyspark.ml.functions import array_to_vector
from pyspark.sql import functions as F

from spark_fm import FMClassifier
from spark_fm.base.evaluated import FMClassificationSummary, FMRegressionSummary

ROWS = 100


@pytest.fixture(scope="module")
def measured(binary_model, binary):
    rows = binary.withColumn("w", F.when(F.rand(3) < 0.5, 2.0).otherwise(1.0)).persist()
    model = binary_model.copy({binary_model.weightCol: "w"})
    yield model.evaluate(rows)
    rows.unpersist()


@pytest.fixture(scope="module")
def numbers(measured):
    rows = measured.predictions.select("label", "w", "probability", "prediction").collect()
    found = [(row.label, row.w, row.probability[1], row.prediction) for row in rows]
    return tuple(map(np.array, zip(*found, strict=True)))


def test_regression_summary(planted_model, planted):
    found = planted_model.evaluate(planted)
    rows = found.predictions.select("label", "prediction").collect()
    label, prediction = (np.array([row[i] for row in rows]) for i in (0, 1))
    error = label - prediction
    assert found.meanSquaredError == pytest.approx(np.mean(error**2))
    assert found.rootMeanSquaredError == pytest.approx(np.sqrt(np.mean(error**2)))
    assert found.meanAbsoluteError == pytest.approx(np.mean(np.abs(error)))
    assert found.r2 == pytest.approx(1.0 - np.mean(error**2) / label.var())
    assert found.explainedVariance == pytest.approx(np.mean((prediction - label.mean()) ** 2))
    assert [row.residuals for row in found.residuals.collect()] == pytest.approx(error.tolist())
    assert (found.numInstances, found.labelCol, found.predictionCol) == (label.size, "label", "prediction")
    assert found.weightCol == ""
    assert RegressionEvaluator().evaluate(found.predictions) == found.rootMeanSquaredError


def test_classification_summary_is_weighted(measured, numbers):
    y, w, p, said = numbers
    assert measured.accuracy == pytest.approx(np.average(said == y, weights=w))
    assert measured.logLoss == pytest.approx(np.average(-np.log(np.where(y == 1, p, 1 - p)), weights=w))
    for label in (0, 1):
        of, as_ = w * (y == label), w * (said == label)
        both = (of * (said == label)).sum()
        assert measured.recallByLabel[label] == pytest.approx(both / of.sum())
        assert measured.truePositiveRateByLabel[label] == measured.recallByLabel[label]
        assert measured.precisionByLabel[label] == pytest.approx(both / as_.sum())
        other = (as_ - of * (said == label)).sum() / (w * (y != label)).sum()
        assert measured.falsePositiveRateByLabel[label] == pytest.approx(other)
    share = np.array([(w * (y == label)).sum() for label in (0, 1)]) / w.sum()
    assert measured.weightedRecall == pytest.approx(share @ measured.recallByLabel)
    assert measured.weightedTruePositiveRate == measured.weightedRecall
    assert measured.weightedPrecision == pytest.approx(share @ measured.precisionByLabel)
    assert measured.weightedFalsePositiveRate == pytest.approx(share @ measured.falsePositiveRateByLabel)
    assert measured.weightedFMeasure() == pytest.approx(share @ measured.fMeasureByLabel())
    assert measured.weightedFMeasure(2.0) == pytest.approx(share @ measured.fMeasureByLabel(2.0))
    assert (measured.labels, measured.numInstances, measured.scoreCol) == ([0.0, 1.0], ROWS, "probability")
    assert (measured.probabilityCol, measured.weightCol) == ("probability", "w")


def test_curves(measured, numbers):
    y, w, p, _ = numbers
    above = [(w * y)[p >= t].sum() for t in np.unique(p)[::-1]]
    below = [(w * (1 - y))[p >= t].sum() for t in np.unique(p)[::-1]]
    roc = np.array([[row.FPR, row.TPR] for row in measured.roc.collect()])
    np.testing.assert_allclose(roc[1:, 1], np.array(above) / (w * y).sum())
    np.testing.assert_allclose(roc[1:, 0], np.array(below) / (w * (1 - y)).sum())
    assert (roc[0] == 0.0).all()
    assert roc[-1] == pytest.approx([1.0, 1.0])
    area = (np.diff(roc[:, 0]) * (roc[1:, 1] + roc[:-1, 1]) / 2).sum()
    assert measured.areaUnderROC == pytest.approx(area)
    precision = np.array([row.precision for row in measured.precisionByThreshold.collect()])
    recall = np.array([row.recall for row in measured.recallByThreshold.collect()])
    np.testing.assert_allclose(precision, np.array(above) / np.add(above, below))
    found = np.array([row["F-Measure"] for row in measured.fMeasureByThreshold.collect()])
    np.testing.assert_allclose(found, 2 * precision * recall / np.maximum(precision + recall, 1e-300))
    pr = [(row.recall, row.precision) for row in measured.pr.collect()]
    assert pr[0] == (0.0, pr[1][1])
    assert [row[0] for row in pr[1:]] == pytest.approx(recall.tolist())


def test_curves_of_many_rows_have_a_thousand_points(spark, planted_classes):
    rows = spark.range(5000).select(
        F.array((F.col("id") % 30).cast("int"), (30 + F.col("id") % 15).cast("int")).alias("features"),
        (F.rand(1) < 0.3).cast("double").alias("label"),
    )
    model = FMClassifier(factorSize=2, maxIter=2).fit(planted_classes)
    found = model.evaluate(rows)
    exact = BinaryClassificationEvaluator(rawPredictionCol="probability").evaluate(found.predictions)
    roc = np.array([[row.FPR, row.TPR] for row in found.roc.collect()])
    assert roc.shape[0] <= 1002
    area = (np.diff(roc[:, 0]) * (roc[1:, 1] + roc[:-1, 1]) / 2).sum()
    assert area == pytest.approx(exact, abs=1e-3)


def test_output_columns_without_a_name_are_made_for_it(binary_model, binary, planted_model, planted):
    silent = binary_model.copy().setPredictionCol("").setProbabilityCol("").setRawPredictionCol("")
    assert silent.evaluate(binary).accuracy == binary_model.evaluate(binary).accuracy
    assert not math.isnan(planted_model.copy().setPredictionCol("").evaluate(planted).r2)
    assert silent.getPredictionCol() == ""


def test_rows_to_evaluate_must_have_the_columns(planted_model, planted):
    with pytest.raises(ValueError, match="labelCol: there is no column 'label'"):
        planted_model.evaluate(planted.drop("label"))
    with pytest.raises(ValueError, match="weightCol: there is no column 'w'"):
        planted_model.copy({planted_model.weightCol: "w"}).evaluate(planted)
    with pytest.raises(TypeError, match="dataset must be a DataFrame"):
        planted_model.evaluate([1, 2])


@pytest.mark.parametrize("factor", [1e160, 1e-300])
def test_only_ratios_of_weights_count(spark, factor):
    rows = [(1.0, 0.9, 3.0), (0.0, 0.4, 1.0), (1.0, 0.3, 2.0), (0.0, 0.2, 2.0)]
    frame = spark.createDataFrame(rows, "label double, prediction double, w double")
    frame = frame.withColumn("probability", array_to_vector(F.array(1.0 - F.col("prediction"), "prediction")))
    other = frame.withColumn("w", F.col("w") * factor)
    for name in ("rootMeanSquaredError", "meanAbsoluteError", "r2", "explainedVariance"):
        one, expected = (FMRegressionSummary(some, "prediction", "label", "w") for some in (other, frame))
        assert getattr(one, name) == pytest.approx(getattr(expected, name)), name
    one, expected = (
        FMClassificationSummary(some, "probability", "label", "label", "w") for some in (other, frame)
    )
    assert (one.logLoss, one.accuracy) == pytest.approx((expected.logLoss, 1.0))
    assert [one.areaUnderROC, expected.areaUnderROC] == pytest.approx([13.0 / 15.0] * 2)
    curves = [[tuple(row) for row in some.roc.collect()] for some in (one, expected)]
    assert np.array(curves[0]) == pytest.approx(np.array(curves[1]))
