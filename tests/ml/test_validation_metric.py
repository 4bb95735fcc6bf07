"""What validation rows judge by, in one task and in rounds."""

import numpy as np
import pytest
from pyspark.sql import functions as F

from spark_fm import FMClassificationModel, FMClassifier, FMRegressor
from spark_fm.evaluation import FMClassificationEvaluator
from tests.ml.frames import assert_same_weights, differ

WAYS = [{"numPartitions": 1}, {"numPartitions": 2, "roundsPerEpoch": 2}]
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def marked(frame):
    return frame.withColumn("held", F.hash("features") % 4 == 0).coalesce(1)


@pytest.fixture(scope="module")
def classes(planted_classes):
    frame = marked(planted_classes).persist()
    frame.count()
    yield frame
    frame.unpersist()


@pytest.fixture(scope="module")
def numbers(planted):
    frame = marked(planted).withColumn("label", 10.0 * F.col("label") + 3.0).persist()
    frame.count()
    yield frame
    frame.unpersist()


def fitted(estimator, frame, way, **params):
    return estimator(factorSize=4, maxIter=6, seed=3, validationIndicatorCol="held", **(way | params)).fit(
        frame
    )


@pytest.mark.parametrize("way", WAYS, ids=["one task", "rounds"])
def test_the_area_judges(classes, way):
    by_loss = fitted(FMClassifier, classes, way)
    by_area = fitted(FMClassifier, classes, way, validationMetric="areaUnderROC", fitIntercept=False)
    summary = by_area.summary
    assert summary.validationMetric == "areaUnderROC"
    assert by_loss.summary.validationMetric == "loss"
    assert summary.trainingLoss != summary.validationLoss
    best = summary.validationLoss[summary.bestEpoch - 1]
    assert best == min(summary.validationLoss)
    held = by_area.transform(classes.where("held"))
    area = FMClassificationEvaluator(metricName="areaUnderROC").evaluate(held)
    assert 1.0 - area == pytest.approx(best, abs=2e-3)
    assert area > 0.6


@pytest.mark.parametrize("way", WAYS, ids=["one task", "rounds"])
def test_absolute_errors_judge(numbers, way):
    model = fitted(FMRegressor, numbers, way, validationMetric="mae", fitIntercept=False)
    summary = model.summary
    best = summary.validationLoss[summary.bestEpoch - 1]
    assert best == min(summary.validationLoss)
    assert model.evaluate(numbers.where("held")).meanAbsoluteError == pytest.approx(best, rel=1e-4)


@pytest.mark.parametrize("way", WAYS, ids=["one task", "rounds"])
def test_other_names_of_the_loss_train_the_same_model(numbers, classes, way):
    by_loss, by_root = (fitted(FMRegressor, numbers, way, validationMetric=name) for name in ("loss", "rmse"))
    assert_same_weights(by_root, by_loss)
    assert by_root.summary.validationLoss == pytest.approx(np.sqrt(by_loss.summary.validationLoss))
    assert_same_weights(
        fitted(FMClassifier, classes, way, validationMetric="logLoss"), fitted(FMClassifier, classes, way)
    )


def test_it_decides_which_epoch_is_kept(spark):
    """An outlier among few validation rows is most of the squared error, and little of the absolute one."""
    rows = [([u, 30 + i], float((u % 3) * (i % 3)), False) for u in range(30) for i in range(20)]
    rows += [([u, 30 + u % 20], float((u % 3) * (u % 20 % 3)), True) for u in range(30)]
    rows += [([7, 31], -40.0, True)]
    frame = spark.createDataFrame(rows, "features array<int>, label double, held boolean").coalesce(1)
    by_loss, by_mae = (
        FMRegressor(
            factorSize=4, seed=3, maxIter=30, validationIndicatorCol="held", validationMetric=name
        ).fit(frame)
        for name in ("loss", "mae")
    )
    assert by_loss.summary.bestEpoch != by_mae.summary.bestEpoch
    assert differ(by_loss, by_mae)


def test_held_out_rows_judge_by_it_too(planted_classes):
    model = FMClassifier(factorSize=4, seed=3, maxIter=10, validationMetric="areaUnderROC").fit(
        planted_classes
    )
    assert model.summary.bestEpoch > 0
    assert min(model.summary.validationLoss) < 0.4


def test_one_label_among_the_validation_rows_is_told(classes):
    frame = classes.withColumn("held", F.col("held") & (F.col("label") == 1.0))
    for way in WAYS:
        with pytest.raises(
            ValueError, match="validationMetric: found one label only among the validation rows"
        ):
            fitted(FMClassifier, frame, way, validationMetric="areaUnderROC")


def test_a_metric_of_other_labels_is_told_before_anything_runs(numbers, classes, monkeypatch):
    from spark_fm.engine.packing.packed_data import PackedData

    monkeypatch.setattr(PackedData, "of", None)
    with pytest.raises(ValueError, match="validationMetric: found 'mae', expected one of: loss, logLoss"):
        FMClassifier(validationMetric="mae").fit(classes)
    estimator = FMRegressor(validationMetric="areaUnderROC")
    with pytest.raises(ValueError, match="found 'areaUnderROC', expected one of: loss, rmse, mae"):
        estimator.fitMultiple(numbers, [{}])
    with pytest.raises(ValueError, match="validationMetric: found 'auc', expected one of: loss"):
        FMRegressor(validationMetric="auc")


def test_it_is_saved_and_drawn(classes, tmp_path):
    model = fitted(FMClassifier, classes, WAYS[0], validationMetric="areaUnderROC")
    model.save(str(tmp_path / "model"))
    loaded = FMClassificationModel.load(str(tmp_path / "model"))
    assert loaded.summary == model.summary
    assert loaded.getValidationMetric() == "areaUnderROC"
    loaded.summary.plot(tmp_path / "curve.png")
    assert (tmp_path / "curve.png").stat().st_size > 5000
