"""What drop-in promises: pyspark's own examples with the import swapped, and what must not change a model."""

import doctest

import numpy as np
import pyspark.ml.classification
import pyspark.ml.regression
import pytest
from pyspark.ml.linalg import Vectors
from pyspark.sql import functions as F

import spark_fm.classification
import spark_fm.regression
from spark_fm import FMClassifier, FMRegressor
from tests.ml.frames import assert_same_weights, planted_frame

# Where spark_fm's answer is another one on purpose, and why.
TRAINED_OTHERWISE = "another optimizer, with a prior and rows held out, finds other numbers"
DEVIATIONS = {
    "model.predictRaw(test0.head().features)": TRAINED_OTHERWISE,
    "model.predictProbability(test0.head().features)": TRAINED_OTHERWISE,
    'model.transform(test0).select("features", "probability").show(10, False)': TRAINED_OTHERWISE,
    "model.transform(test0).show(10, False)": TRAINED_OTHERWISE,
    **dict.fromkeys(("model.intercept", "model2.intercept"), TRAINED_OTHERWISE),
    **dict.fromkeys(("model.linear", "model2.linear"), TRAINED_OTHERWISE),
    **dict.fromkeys(("model.factors", "model2.factors"), TRAINED_OTHERWISE),
}


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    ("theirs", "ours", "name"),
    [
        (pyspark.ml.classification, spark_fm.classification, "FMClassifier"),
        (pyspark.ml.regression, spark_fm.regression, "FMRegressor"),
    ],
)
def test_pysparks_examples_run_with_the_import_swapped(spark, tmp_path, theirs, ours, name):
    text = getattr(theirs, name).__doc__.replace(theirs.__name__, ours.__name__)
    examples = doctest.DocTestParser().get_doctest(text, {}, name, None, 0)
    examples.globs |= vars(ours) | {"spark": spark, "temp_path": str(tmp_path)}
    assert len(examples.examples) > 15
    wrong: list[str] = []

    class Runner(doctest.DocTestRunner):
        def report_failure(self, out, test, example, got):
            if example.source.strip() not in DEVIATIONS:
                wrong.append(f"{example.source}expected {example.want}found {got}")

        def report_unexpected_exception(self, out, test, example, exc_info):
            wrong.append(f"{example.source}raised {exc_info[1]!r}")

    Runner(verbose=False, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE).run(
        examples, out=lambda _: None
    )
    assert not wrong


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (pyspark.ml.classification.FMClassifier, FMClassifier),
        (pyspark.ml.regression.FMRegressor, FMRegressor),
        (pyspark.ml.classification.FMClassificationModel, spark_fm.classification.FMClassificationModel),
        (pyspark.ml.regression.FMRegressionModel, spark_fm.regression.FMRegressionModel),
    ],
)
def test_every_public_name_of_pysparks_is_here(theirs, ours):
    missing = {name for name in dir(theirs) if not name.startswith("_")} - set(dir(ours))
    assert missing == set()


def predictions(model, frame):
    return np.array([model._raw(row.features) for row in frame.select("features").collect()])


@pytest.fixture(params=[1, 2], ids=["one task", "rounds"])
def settings(request):
    return {"factorSize": 4, "maxIter": 5, "seed": 1, "numPartitions": request.param, "roundsPerEpoch": 2}


@pytest.fixture(scope="module")
def frames(spark):
    made = {
        binary: planted_frame(spark, 1500, binary=binary).coalesce(1).persist() for binary in (False, True)
    }
    yield made
    for frame in made.values():
        frame.unpersist()


def test_ids_are_one_hot_vectors_are_dense_arrays(spark, frames, settings):
    rows = frames[False].collect()
    hot = [(float(r.label), np.isin(np.arange(45), r.features).astype(float)) for r in rows]
    as_vectors = [(y, Vectors.sparse(45, {int(i): 1.0 for i in np.flatnonzero(x)})) for y, x in hot]
    as_dense = [(y, Vectors.dense(x)) for y, x in hot]
    as_arrays = [(y, x.tolist()) for y, x in hot]
    estimator = FMRegressor(**settings)
    expected = estimator.fit(frames[False])
    for made in (as_vectors, as_dense, as_arrays):
        frame = spark.createDataFrame(made, ["label", "features"]).coalesce(1)
        model = estimator.fit(frame)
        assert_same_weights(model, expected)
        found = [row.prediction for row in model.transform(frame).collect()]
        assert found == pytest.approx(predictions(expected, frames[False]).tolist())


@pytest.mark.parametrize("binary", [False, True])
def test_scale_of_the_weights_is_nothing(frames, settings, binary):
    frame = frames[binary].withColumn("w", 1.0 + F.col("features")[0] % 3)
    estimator = (FMClassifier if binary else FMRegressor)(weightCol="w", **settings)
    one, other = (
        predictions(estimator.fit(frame.withColumn("w", F.col("w") * by)), frame) for by in (1.0, 1024.0)
    )
    np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


def test_scale_and_shift_of_the_label_are_the_predictions(frames, settings):
    frame, estimator = frames[False], FMRegressor(**settings)
    one = predictions(estimator.fit(frame), frame)
    other = predictions(estimator.fit(frame.withColumn("label", 1000.0 * F.col("label") - 50.0)), frame)
    np.testing.assert_allclose(1000.0 * one - 50.0, other, rtol=1e-3, atol=1.0)


def rmse(model, frame):
    label = np.array([row.label for row in frame.collect()])
    return float(np.sqrt(np.mean((predictions(model, frame) - label) ** 2)))


def test_names_of_the_features_are_nothing(frames, settings):
    frame, estimator = frames[False], FMRegressor(**settings)
    expected = estimator.fit(frame)
    # In the same order they start from the same random numbers.
    model = estimator.fit(frame.withColumn("features", F.transform("features", lambda i: 7919 * i + 13)))
    np.testing.assert_array_equal(model.weights.features, 7919 * expected.weights.features + 13)
    np.testing.assert_array_equal(model.weights.factors, expected.weights.factors)
    np.testing.assert_array_equal(model.weights.linear, expected.weights.linear)
    # In another order the model is another one, and as good.
    mixed = frame.withColumn("features", F.transform("features", lambda i: i * 7919 % 100_003))
    label = np.array([row.label for row in frame.collect()])
    assert rmse(estimator.fit(mixed), mixed) == pytest.approx(rmse(expected, frame), abs=0.1 * label.std())


def test_row_of_weight_two_is_the_row_twice(frames, settings):
    frame, estimator = frames[False], FMRegressor(validationFraction=0.0, **settings)
    twice = frame.where(F.col("features")[0] % 3 == 0)
    weighted = frame.withColumn("w", F.when(F.col("features")[0] % 3 == 0, 2.0).otherwise(1.0))
    one = predictions(estimator.fit(frame.union(twice)), frame)
    other = predictions(estimator.copy({estimator.weightCol: "w"}).fit(weighted), frame)
    assert np.sqrt(np.mean((one - other) ** 2)) < 0.15 * one.std()


def test_flipped_labels_are_flipped_probabilities(frames, settings):
    frame, estimator = frames[True], FMClassifier(**settings)
    one = predictions(estimator.fit(frame), frame)
    other = predictions(estimator.fit(frame.withColumn("label", 1.0 - F.col("label"))), frame)
    assert np.corrcoef(one, -other)[0, 1] > 0.95
    assert one.mean() == pytest.approx(-other.mean(), abs=0.1)
