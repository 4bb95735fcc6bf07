import numpy as np
import pytest
from chispa import assert_df_equality
from pyspark.ml.classification import FMClassifier as PySparkFMClassifier
from pyspark.ml.evaluation import BinaryClassificationEvaluator
from pyspark.ml.functions import vector_to_array
from pyspark.ml.linalg import Vectors
from pyspark.sql import functions as F

from spark_fm import FMClassificationModel, FMClassifier
from spark_fm.core.fm.weights import Weights
from tests.ml.frames import log_loss, planted_frame

OUTPUTS = ["rawPrediction", "probability", "prediction"]


@pytest.fixture(scope="module")
def model(planted_classes):
    return FMClassifier(factorSize=4, regParamFactors=0.01, initStd=0.1, seed=1, maxIter=30).fit(
        planted_classes
    )


@pytest.fixture(scope="module")
def scored(model, planted_classes):
    frame = model.transform(planted_classes).persist()
    yield frame
    frame.unpersist()


def test_planted_classes_are_learned(spark, model):
    fresh = planted_frame(spark, 500, seed=1, binary=True)
    found = model.transform(fresh)
    p = fresh.select(F.mean("label")).first()[0]
    assert log_loss(found) < 0.7 * -(p * np.log(p) + (1 - p) * np.log(1 - p))
    assert BinaryClassificationEvaluator().evaluate(found) > 0.85


def test_pysparks_sample_is_learned(binary, binary_model):
    assert BinaryClassificationEvaluator().evaluate(binary_model.transform(binary)) > 0.99


def test_transform_adds_its_columns_and_keeps_the_rest(scored, planted_classes):
    assert scored.columns == [*planted_classes.columns, *OUTPUTS]
    assert [scored.schema[name].dataType.simpleString() for name in OUTPUTS] == ["vector", "vector", "double"]
    assert_df_equality(scored.drop(*OUTPUTS), planted_classes)


def test_outputs_follow_from_the_raw_score(scored):
    for row in scored.limit(50).collect():
        z = row.rawPrediction[1]
        p = 1 / (1 + np.exp(-z))
        assert row.rawPrediction[0] == -z
        assert row.probability.toArray() == pytest.approx([1 - p, p])
        assert row.prediction == float(z > 0)


def test_outputs_are_those_of_single_rows(scored, model):
    rows = scored.limit(50).collect()
    assert {row.prediction for row in rows} == {0.0, 1.0}
    for row in rows:
        assert model.predictRaw(row.features).toArray() == pytest.approx(
            row.rawPrediction.toArray(), rel=1e-4
        )
        probability = model.predictProbability(row.features).toArray()
        assert probability == pytest.approx(row.probability.toArray(), rel=1e-4)
        assert model.predict(row.features) == row.prediction
        assert model.explain(row.features).score == pytest.approx(row.rawPrediction[1], rel=1e-4, abs=1e-6)


def test_empty_column_names_suppress_the_columns(model, planted_classes):
    columns = {name: getattr(model, name + "Col") for name in OUTPUTS}
    for kept in ([], ["prediction"], ["probability"], ["rawPrediction", "prediction"]):
        params = {param: "" for name, param in columns.items() if name not in kept}
        found = model.copy(params).transform(planted_classes)
        assert found.columns == [*planted_classes.columns, *kept]
    assert found.select("prediction").first().prediction in (0.0, 1.0)


@pytest.mark.parametrize("name", OUTPUTS)
def test_output_column_that_exists_is_refused(model, planted_classes, name):
    with pytest.raises(ValueError, match=rf"^Output column {name} already exists\.$"):
        model.transform(planted_classes.withColumn(name, F.lit(1.0)))


def test_output_columns_may_be_renamed(model, planted_classes):
    renamed = model.copy().setPredictionCol("p").setProbabilityCol("q").setRawPredictionCol("r.z")
    assert renamed.transform(planted_classes).columns == ["features", "label", "r.z", "q", "p"]


@pytest.mark.parametrize(
    "thresholds", [[0.5, 0.5], [0.9, 0.1], [0.1, 0.9], [0.0, 1.0], [1.0, 0.0], [3.0, 5.0]]
)
def test_thresholds_choose_the_largest_probability_by_threshold(model, scored, thresholds, planted_classes):
    found = model.copy().setThresholds(thresholds)
    rows = found.transform(planted_classes).limit(200).collect()
    with np.errstate(divide="ignore"):
        expected = [float(np.argmax(row.probability.toArray() / np.array(thresholds))) for row in rows]
    assert [row.prediction for row in rows] == expected
    assert [found.predict(row.features) for row in rows] == expected


@pytest.fixture(scope="module")
def pysparks(spark):
    """A frame, pyspark's own model of it, and the same parameters as a model of this package."""
    rows = [(Vectors.dense(i % 3 - 1.0, i % 5 - 2.0), float((i % 3) * (i % 5) > 2)) for i in range(60)]
    frame = spark.createDataFrame(rows, ["features", "label"]).coalesce(1).persist()
    theirs = PySparkFMClassifier(factorSize=2, maxIter=10, stepSize=0.1, seed=1).fit(frame)
    ours = FMClassificationModel()
    ours._num_features = 2
    ours._weights = Weights(
        np.array([0, 1]),
        theirs.linear.toArray().astype(np.float32),
        theirs.factors.toArray().astype(np.float32),
        theirs.intercept,
    )
    yield frame, theirs, ours
    frame.unpersist()


def test_outputs_are_those_of_pysparks_model(pysparks):
    frame, theirs, ours = pysparks
    for expected, found in zip(
        theirs.transform(frame).collect(), ours.transform(frame).collect(), strict=True
    ):
        assert found.rawPrediction.toArray() == pytest.approx(expected.rawPrediction.toArray(), abs=1e-5)
        assert found.probability.toArray() == pytest.approx(expected.probability.toArray(), abs=1e-5)
        assert found.prediction == expected.prediction


@pytest.mark.parametrize("thresholds", [[0.3, 0.7], [0.8, 0.2], [0.0, 1.0], [1.0, 0.0], [2.0, 3.0]])
def test_thresholds_behave_as_pysparks(pysparks, thresholds):
    frame, theirs, ours = pysparks
    expected = theirs.copy({theirs.thresholds: thresholds}).transform(frame).select("prediction")
    found = ours.copy().setThresholds(thresholds).transform(frame).select("prediction")
    assert [row.prediction for row in found.collect()] == [row.prediction for row in expected.collect()]


@pytest.mark.parametrize("thresholds", [[0.5], [0.1, 0.2, 0.7], [-0.1, 1.0], [0.0, 0.0], [float("nan"), 1.0]])
def test_bad_thresholds_are_refused(model, planted_classes, thresholds):
    bad = model.copy().setThresholds(thresholds)
    with pytest.raises(
        ValueError, match=r"thresholds: found .*, expected two numbers >= 0, at most one of them 0"
    ):
        bad.transform(planted_classes)
    with pytest.raises(ValueError, match="thresholds: found"):
        bad.predict([1, 30])


def test_thresholds_of_the_estimator_are_the_models(planted_classes):
    model = FMClassifier(maxIter=1, thresholds=[0.2, 0.8]).fit(planted_classes)
    assert model.getThresholds() == [0.2, 0.8]
    assert FMClassifier(maxIter=1).fit(planted_classes).isDefined("thresholds") is False


def test_extreme_scores_have_finite_outputs(spark, planted_classes, model):
    import copy
    from dataclasses import replace

    for intercept in (1e4, -1e4):
        extreme = copy.copy(model).copy()
        extreme._weights = replace(model.weights, intercept=intercept)
        row = extreme.transform(planted_classes.limit(1)).first()
        assert row.probability.toArray() == pytest.approx([float(intercept < 0), float(intercept > 0)])
        assert row.prediction == float(intercept > 0)
        assert extreme.predictProbability([1, 30]).toArray() == pytest.approx(row.probability.toArray())


@pytest.mark.parametrize(("label", "partitions"), [(0.0, 1), (1.0, 2)])
def test_single_class_trains_with_a_warning(spark, label, partitions):
    frame = spark.createDataFrame([([i % 5], label) for i in range(40)], "features array<int>, label double")
    with pytest.warns(
        UserWarning, match=f"labelCol: all 40 training rows of column 'label' have the label {label:g}"
    ):
        model = FMClassifier(maxIter=2, numPartitions=partitions).fit(frame)
    scored = model.transform(frame).select(vector_to_array("probability").alias("p"), "prediction").collect()
    assert all(row.prediction == label for row in scored)
    assert all(np.isfinite(row.p).all() for row in scored)


def test_labels_may_be_integers_or_booleans(planted_classes):
    for kind in ("int", "boolean"):
        frame = planted_classes.withColumn("label", F.col("label").cast(kind))
        assert FMClassifier(maxIter=1).fit(frame).summary.totalIterations == 1


def test_model_describes_itself(binary_model):
    assert isinstance(binary_model, FMClassificationModel)
    assert (binary_model.numClasses, binary_model.numFeatures) == (2, 692)
    assert repr(binary_model).startswith("FMClassificationModel: uid=FMClassifier_")


def test_all_names_of_pysparks_estimator_are_taken():
    theirs = PySparkFMClassifier(
        featuresCol="f", labelCol="l", predictionCol="p", probabilityCol="q", rawPredictionCol="r", factorSize=5,
        fitIntercept=False, fitLinear=False, regParam=0.1, miniBatchFraction=0.5, initStd=0.2, maxIter=7,
        stepSize=0.3, tol=0.01, thresholds=[0.4, 0.6], seed=9,
    )  # fmt: skip
    values = {p.name: v for p, v in theirs._paramMap.items()}
    ours = FMClassifier(**values)
    assert {p.name: v for p, v in ours._paramMap.items()} == values
    for name in values:
        getter = f"get{name[0].upper()}{name[1:]}"
        assert getattr(ours, getter)() == getattr(theirs, getter)()
        setter = f"set{name[0].upper()}{name[1:]}"
        assert getattr(FMClassifier(), setter)(values[name]).getOrDefault(name) == values[name]


@pytest.mark.parametrize(
    "name",
    ["numFeatures", "numClasses", "intercept", "linear", "factors", "predict", "predictRaw",
     "predictProbability", "summary", "hasSummary", "setThresholds", "setPredictionCol"],
)  # fmt: skip
def test_pysparks_names_of_the_models_parts_are_there(binary_model, name):
    from pyspark.ml.classification import FMClassificationModel as PySparkFMClassificationModel

    assert hasattr(binary_model, name)
    assert name == "hasSummary" or hasattr(PySparkFMClassificationModel, name)
