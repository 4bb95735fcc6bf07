"""FMClassificationEvaluator beside brute force over all pairs, and beside pyspark.ml's evaluators."""

from itertools import product

import numpy as np
import pytest
from pyspark.ml.evaluation import BinaryClassificationEvaluator, MulticlassClassificationEvaluator
from pyspark.ml.linalg import Vectors
from pyspark.ml.tuning import CrossValidator, CrossValidatorModel, ParamGridBuilder, TrainValidationSplit
from pyspark.sql import functions as F

from spark_fm import FMClassifier
from spark_fm.evaluation import FMClassificationEvaluator, RankingEvaluator, plotCalibration

METRICS = ["logLoss", "areaUnderROC", "groupAUC", "expectedCalibrationError"]


def auc(p, y, w):
    """Over all pairs of a row of each label; None where one has none."""
    pairs = [(i, j) for i, j in product(range(len(p)), repeat=2) if y[i] == 1 and y[j] == 0]
    if not pairs:
        return None
    right = sum(w[i] * w[j] * ((p[i] > p[j]) + (p[i] == p[j]) / 2) for i, j in pairs)
    return right / sum(w[i] * w[j] for i, j in pairs)


def group_auc(g, p, y, w):
    found = []
    for group in np.unique(g):
        of = g == group
        area = auc(p[of], y[of], w[of])
        if area is not None:
            found.append((area, w[of].sum()))
    return np.average([area for area, _ in found], weights=[weight for _, weight in found])


@pytest.fixture(scope="module")
def arrays():
    """300 rows: 25 groups of which some have one label, probabilities with ties, weights of which some are 0."""
    random = np.random.default_rng(3)
    g = random.integers(0, 25, 300)
    p = np.round(random.beta(2, 5, 300), 2)
    y = (random.random(300) < np.where(g < 4, 0.0, p)).astype(float)
    w = random.integers(0, 4, 300).astype(float)
    return g, p, y, w


@pytest.fixture(scope="module")
def scored(spark, arrays):
    rows = [
        (int(g), float(p), float(y), float(w), Vectors.dense(1.0 - p, p))
        for g, p, y, w in zip(*arrays, strict=True)
    ]
    columns = ["user", "p", "label", "weight", "probability"]
    frame = spark.createDataFrame(rows, columns).repartition(3).persist()
    frame.count()
    yield frame
    frame.unpersist()


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("column", ["p", "probability"])
def test_metrics_are_those_of_brute_force(scored, arrays, weighted, column):
    g, p, y, w = arrays
    w = w if weighted else np.ones_like(w)
    evaluator = FMClassificationEvaluator(
        probabilityCol=column, groupCol="user", weightCol="weight" if weighted else None
    )
    inside = np.clip(p, 1e-15, 1 - 1e-15)
    expected = {
        "logLoss": np.average(-np.where(y == 1, np.log(inside), np.log(1 - inside)), weights=w),
        "areaUnderROC": auc(p, y, w),
        "groupAUC": group_auc(g, p, y, w),
    }
    found = {name: evaluator.setMetricName(name).evaluate(scored) for name in expected}
    assert found == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("factor", [1e160, 1e-300])
def test_only_ratios_of_weights_count(scored, factor):
    evaluator = FMClassificationEvaluator(weightCol="weight", groupCol="user")
    other = scored.withColumn("weight", F.col("weight") * factor)
    for metric in METRICS:
        evaluator.setMetricName(metric)
        assert evaluator.evaluate(other) == pytest.approx(evaluator.evaluate(scored), rel=1e-9), metric
    curve, expected = evaluator.calibrationCurve(other), evaluator.calibrationCurve(scored)
    np.testing.assert_allclose(curve["weight"], expected["weight"] * factor)


@pytest.mark.parametrize("kind", ["bigint", "decimal(25,3)"])
def test_scores_are_ordered_in_their_own_type(spark, kind):
    """As doubles the four scores would be one."""
    rows = [(2**60 + i, float(i > 1)) for i in range(4)]
    frame = spark.createDataFrame(rows, "probability bigint, label double")
    frame = frame.withColumn("probability", F.col("probability").cast(kind)).withColumn("user", F.lit(1))
    for metric in ("areaUnderROC", "groupAUC"):
        evaluator = FMClassificationEvaluator(metricName=metric, groupCol="user")
        assert evaluator.evaluate(frame) == 1.0
    ranking = RankingEvaluator(metricName="meanReciprocalRank", predictionCol="probability")
    assert ranking.evaluate(frame) == 1.0


def test_metrics_are_those_of_pyspark(scored):
    ours = FMClassificationEvaluator(weightCol="weight")
    theirs = BinaryClassificationEvaluator(rawPredictionCol="probability", weightCol="weight", numBins=0)
    kept = scored.where("weight > 0")
    assert ours.setMetricName("areaUnderROC").evaluate(scored) == pytest.approx(theirs.evaluate(kept))
    loss = MulticlassClassificationEvaluator(
        metricName="logLoss", weightCol="weight", predictionCol="label", probabilityCol="probability"
    )
    assert ours.setMetricName("logLoss").evaluate(scored) == pytest.approx(loss.evaluate(kept))


def test_the_ranges_of_the_scores_have_no_part_in_the_area(spark):
    """Many distinct scores, of which an approximate quantile cuts some: beside the formula of ranks."""
    random = np.random.default_rng(1)
    p, y = random.normal(size=5000), random.random(5000) < 0.3
    frame = spark.createDataFrame(list(zip(p.tolist(), y.tolist(), strict=True)), ["probability", "label"])
    ranks = np.empty(5000)
    ranks[np.argsort(p)] = np.arange(1, 5001)
    n = y.sum()
    expected = (ranks[y].sum() - n * (n + 1) / 2) / (n * (5000 - n))
    evaluator = FMClassificationEvaluator(metricName="areaUnderROC")
    assert evaluator.evaluate(frame.repartition(5)) == pytest.approx(expected, rel=1e-12)


def test_the_curve_has_bins_of_as_many_rows(spark):
    """Label 1 is twice as frequent as the probability says below 0.4, and as frequent above."""
    n = F.col("id")
    p = (n % 1000) / 1000.0
    real = F.when(p < 0.4, 2.0 * p).otherwise(p)
    rows = spark.range(100_000).select(
        p.alias("probability"), (F.floor(n / 1000) / 100.0 < real).cast("int").alias("label")
    )
    evaluator = FMClassificationEvaluator(metricName="expectedCalibrationError", numBins=5)
    curve = evaluator.calibrationCurve(rows)
    assert list(curve["rows"]) == pytest.approx([20_000] * 5, rel=0.02)
    assert curve["rows"].sum() == 100_000
    assert list(curve["meanProbability"]) == pytest.approx([0.1, 0.3, 0.5, 0.7, 0.9], abs=0.01)
    assert list(curve["meanLabel"]) == pytest.approx([0.2, 0.6, 0.5, 0.7, 0.9], abs=0.02)
    assert (curve["largest"].to_numpy()[:-1] < curve["smallest"].to_numpy()[1:]).all()
    assert evaluator.evaluate(rows) == pytest.approx((0.1 + 0.3) / 5, abs=0.01)


def test_rows_of_one_probability_are_in_one_bin_and_weights_count(spark):
    rows = spark.createDataFrame(
        [(0.5, 1.0, 1.0), (0.5, 0.0, 3.0), (0.5, 0.0, 0.0), (0.9, 1.0, 4.0)],
        ["probability", "label", "weight"],
    )
    evaluator = FMClassificationEvaluator(
        metricName="expectedCalibrationError", weightCol="weight", numBins=3
    )
    curve = evaluator.calibrationCurve(rows)
    assert curve.to_dict("list") == {
        "meanProbability": pytest.approx([0.5, 0.9]),
        "meanLabel": pytest.approx([0.25, 1.0]),
        "rows": [2, 1],
        "weight": [4.0, 4.0],
        "smallest": [0.5, 0.9],
        "largest": [0.5, 0.9],
    }
    assert evaluator.evaluate(rows) == pytest.approx(0.5 * 0.25 + 0.5 * 0.1)
    assert len(evaluator.setNumBins(1).calibrationCurve(rows)) == 1


def test_the_curve_is_drawn(scored, tmp_path):
    plotCalibration(FMClassificationEvaluator(numBins=4).calibrationCurve(scored), tmp_path / "curve.png")
    assert (tmp_path / "curve.png").stat().st_size > 5000


def test_nothing_stays_persisted(scored, persisted):
    before = persisted()
    for metric in METRICS:
        FMClassificationEvaluator(metricName=metric, groupCol="user").evaluate(scored)
    assert persisted() == before


@pytest.mark.parametrize(
    ("params", "change", "sentence"),
    [
        ({}, {"label": "label * 2"}, r"labelCol: column 'label' is not 0 or 1 in \d+ of 300 rows"),
        ({}, {"label": "IF(p > 0.4, NULL, label)"}, "labelCol: column 'label' is not 0 or 1"),
        ({"probabilityCol": "p"}, {"p": "p - 0.1"}, r"column 'p' is outside \[0, 1\] in"),
        ({"probabilityCol": "p"}, {"p": "IF(p > 0.4, 'NaN', p)"}, "column 'p' is null or NaN in"),
        ({"weightCol": "weight"}, {"weight": "-weight"}, "weightCol: column 'weight' is negative or none"),
        ({"weightCol": "weight"}, {"weight": "CAST('inf' AS DOUBLE)"}, "expected a finite number >= 0"),
        ({"weightCol": "weight"}, {"weight": "0.0"}, "weightCol: column 'weight' is 0 in all rows"),
        (
            {"metricName": "areaUnderROC"},
            {"label": "0"},
            "column 'label' has one label only, .* for areaUnderROC",
        ),
        ({"metricName": "groupAUC"}, {}, "groupCol: not set, expected the column of the groups"),
        ({"metricName": "groupAUC", "groupCol": "label"}, {}, "no group of column 'label' has both labels"),
        (
            {"metricName": "groupAUC", "groupCol": "user"},
            {"user": "IF(user > 5, user, NULL)"},
            "groupCol: column 'user' is null in",
        ),
        ({"probabilityCol": "q"}, {}, "probabilityCol: there is no column 'q'"),
    ],
)
def test_what_can_not_be_measured_is_told(scored, params, change, sentence):
    for name, value in change.items():
        kind = "string" if name == "user" else "double"
        scored = scored.withColumn(name, F.expr(value).cast(kind))
    with pytest.raises(ValueError, match=sentence):
        FMClassificationEvaluator(**params).evaluate(scored)


def test_wrong_types_and_no_rows(scored):
    with pytest.raises(TypeError, match=r"labelCol: column 'probability' has type .*, expected a number"):
        FMClassificationEvaluator(labelCol="probability").evaluate(scored)
    named = scored.withColumn("p", F.lit("a"))
    with pytest.raises(
        TypeError, match="probabilityCol: column 'p' has type string, expected a number or a vector"
    ):
        FMClassificationEvaluator(probabilityCol="p").evaluate(named)
    with pytest.raises(ValueError, match="there are no rows to measure on"):
        FMClassificationEvaluator().evaluate(scored.limit(0))
    with pytest.raises((TypeError, ValueError), match="metricName: found 'auc', expected one of: logLoss"):
        FMClassificationEvaluator(metricName="auc")


def test_saved_and_loaded(tmp_path):
    made = FMClassificationEvaluator(metricName="groupAUC", groupCol="user", numBins=7, weightCol="w")
    made.save(str(tmp_path / "e"))
    made.write().overwrite().save(str(tmp_path / "e"))
    found = FMClassificationEvaluator.load(str(tmp_path / "e"))
    assert found.uid == made.uid
    assert {p.name: v for p, v in found.extractParamMap().items()} == {
        p.name: v for p, v in made.extractParamMap().items()
    }
    assert [FMClassificationEvaluator(metricName=name).isLargerBetter() for name in METRICS] == [0, 1, 1, 0]


def test_none_is_the_default_and_setters_give_the_evaluator():
    made = FMClassificationEvaluator(groupCol="user").setParams(groupCol=None, metricName="groupAUC")
    assert made.getGroupCol() == ""
    assert made.setLabelCol("y").setProbabilityCol("q").setWeightCol("w").setGroupCol("g") is made
    assert (made.getLabelCol(), made.getProbabilityCol(), made.getWeightCol(), made.getNumBins()) == (
        "y", "q", "w", 10,
    )  # fmt: skip


@pytest.mark.parametrize("metric", ["logLoss", "areaUnderROC"])
def test_it_chooses_in_a_cross_validator_that_is_saved(planted_classes, tmp_path, metric):
    """A model of no epochs is a constant, which is worse by both metrics."""
    estimator = FMClassifier(factorSize=4, seed=1)
    grid = ParamGridBuilder().addGrid(estimator.maxIter, [0, 8]).build()
    tuned = CrossValidator(
        estimator=estimator,
        estimatorParamMaps=grid,
        evaluator=FMClassificationEvaluator(metricName=metric),
        numFolds=2,
        seed=1,
    ).fit(planted_classes)
    assert tuned.bestModel.getMaxIter() == 8
    tuned.save(str(tmp_path / "tuned"))
    loaded = CrossValidatorModel.load(str(tmp_path / "tuned"))
    assert isinstance(loaded.getEvaluator(), FMClassificationEvaluator)
    assert loaded.getEvaluator().getMetricName() == metric


def test_it_chooses_in_a_train_validation_split(planted_classes):
    estimator = FMClassifier(factorSize=4, seed=1)
    grid = ParamGridBuilder().addGrid(estimator.maxIter, [0, 8]).build()
    marked = planted_classes.withColumn("user", F.col("features")[0])
    evaluator = FMClassificationEvaluator(metricName="groupAUC", groupCol="user")
    tuned = TrainValidationSplit(
        estimator=estimator, estimatorParamMaps=grid, evaluator=evaluator, seed=1
    ).fit(marked)
    assert tuned.bestModel.getMaxIter() == 8
