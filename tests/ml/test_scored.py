"""Scoring as users meet it: rows that can't be scored, params set in between, one row at a time."""

import array
import re

import numpy as np
import pytest
from pyspark.errors import PySparkException
from pyspark.ml import Pipeline
from pyspark.ml.linalg import Vectors

from spark_fm import FMClassifier, FMRegressor
from tests.ml.frames import IDS

BAD = [([1, 30], 1.0), (None, 2.0), ([2, 31], 3.0), ([-5], 4.0)]


@pytest.fixture(scope="module")
def with_bad_rows(spark):
    return spark.createDataFrame(BAD, IDS).coalesce(1)


def test_bad_row_ends_a_scoring_unless_it_is_skipped_or_kept(planted_model, with_bad_rows):
    with pytest.raises(PySparkException, match="handleInvalid = 'skip' or 'keep' would score the other rows"):
        planted_model.transform(with_bad_rows).collect()
    expected = {1.0: planted_model.predict([1, 30]), 3.0: planted_model.predict([2, 31])}
    skipping = planted_model.copy().setHandleInvalid("skip")
    found = {row.label: row.prediction for row in skipping.transform(with_bad_rows).collect()}
    assert found == pytest.approx(expected)
    # Set after a transform, it acts on the next one.
    kept = skipping.setHandleInvalid("keep").transform(with_bad_rows).collect()
    assert [row.label for row in kept if np.isnan(row.prediction)] == [2.0, 4.0]
    assert {row.label: row.prediction for row in kept if row.label in expected} == pytest.approx(expected)


def test_bad_rows_that_a_classifier_keeps_have_no_class(planted_classes, with_bad_rows):
    model = FMClassifier(factorSize=2, maxIter=2, handleInvalid="keep").fit(planted_classes)
    for row in model.transform(with_bad_rows).collect():
        bad = row.label in (2.0, 4.0)
        assert np.isnan([*row.rawPrediction, *row.probability, row.prediction]).tolist() == [bad] * 5
    assert model.setHandleInvalid("skip").transform(with_bad_rows).count() == 2


def test_bad_rows_of_vectors(spark, binary_model):
    rows = [(Vectors.dense([1.0]), 0), (Vectors.sparse(692, [0], [1.0]), 1), (None, 2)]
    frame = spark.createDataFrame(rows, ["features", "n"]).coalesce(1)
    kept = binary_model.copy().setHandleInvalid("keep").transform(frame).collect()
    assert [row.n for row in kept if np.isnan(row.prediction)] == [0, 2]
    skipping = binary_model.copy().setHandleInvalid("skip")
    assert [row.n for row in skipping.transform(frame).collect()] == [1]


def test_training_refuses_bad_rows_whatever_scoring_does(with_bad_rows):
    with pytest.raises(ValueError, match="row 1 is null, expected features"):
        FMRegressor(handleInvalid="skip").fit(with_bad_rows)


def test_normalize_set_after_a_transform_acts_on_the_next(spark, rating_model):
    frame = spark.createDataFrame([(Vectors.sparse(130, [1, 40], [3.0, 4.0]),)], ["features"])
    model = rating_model.copy()
    before = model.transform(frame).first().prediction
    model.set(model.normalize, True)
    after = model.transform(frame).first()
    assert after.prediction == pytest.approx(model.predict(after.features))
    assert after.prediction != pytest.approx(before)


@pytest.mark.parametrize("element", ["float", "double"])
def test_arrays_of_numbers_train_and_score(spark, element):
    random = np.random.default_rng(0)
    rows = [([float(a), float(b)], float(a * b + 2 * a)) for a, b in random.normal(size=(400, 2))]
    frame = spark.createDataFrame(rows, f"features array<{element}>, label double").coalesce(1)
    model = FMRegressor(factorSize=2, seed=1).fit(frame)
    assert model.numFeatures == 2
    scored = model.transform(frame).collect()
    error = np.array([row.prediction - row.label for row in scored])
    assert np.sqrt(np.mean(error**2)) < 0.2
    assert scored[0].prediction == pytest.approx(model.predict(Vectors.dense(scored[0].features)))


def test_repeated_ids_count_in_training_and_scoring(spark):
    ids = [[0] * (i % 3) + [1 + i % 4] for i in range(400)]
    rows = [(x, float(len(x) * 1.5 + x[-1])) for x in ids]
    vectors = [(y, Vectors.sparse(5, {i: float(x.count(i)) for i in set(x)})) for x, y in rows]
    estimator = FMRegressor(factorSize=2, maxIter=10, seed=1)
    frame = spark.createDataFrame(rows, IDS).coalesce(1)
    model = estimator.fit(frame)
    other = estimator.fit(spark.createDataFrame(vectors, ["label", "features"]).coalesce(1))
    np.testing.assert_array_equal(model.weights.factors, other.weights.factors)
    for row in model.transform(frame).limit(12).collect():
        assert row.prediction == pytest.approx(model.predict(row.features))
        assert row.prediction == pytest.approx(model.explain(row.features).score)


ROWS_OF_IDS = ([1, 30], (1, 30), np.array([1, 30]), np.array([30, 1], np.uint8), array.array("i", [1, 30]))


@pytest.mark.parametrize("ids", ROWS_OF_IDS)
def test_rows_of_ids_are_lists_tuples_and_arrays_of_integers(planted_model, ids):
    assert planted_model.predict(ids) == planted_model.predict([1, 30])
    assert planted_model.explain(ids) == planted_model.explain([1, 30])
    assert (
        planted_model.predict([]) == planted_model.predict(np.array([], np.int64)) == planted_model.intercept
    )


@pytest.mark.parametrize(
    "value",
    [
        *("12", b"12", {0: 5.0, 1: 1.0}, {1, 2}, range(3), 3, None),
        *([0.5], [1, 2.0], [True], (None,), [[1]], array.array("d", [1.0])),
        *(np.array([0.3, 1.7]), np.array([[1, 2]]), np.array([True]), np.array([])),
    ],
    ids=repr,
)
def test_anything_else_is_no_row(planted_model, binary_model, value):
    for ask in (planted_model.predict, planted_model.explain, binary_model.predictProbability):
        with pytest.raises(TypeError, match=re.escape(f"found {value!r}, expected a vector")):
            ask(value)


@pytest.mark.parametrize("ids", [[-1], [2**63], np.array([2**63], np.uint64)])
def test_ids_out_of_range_are_told(planted_model, ids):
    with pytest.raises(ValueError, match=f"found the id {ids[0]}, expected integers from 0"):
        planted_model.predict(ids)


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        ({"thresholds": [0.5, 0.5, 0.5]}, "thresholds: found"),
        ({"thresholds": [0.0, 0.0]}, "thresholds: found"),
        ({"predictionCol": "label"}, "Output column label already exists."),
        ({"predictionCol": "FEATURES"}, "Output column FEATURES already exists."),
        ({"predictionCol": "p", "probabilityCol": "P"}, "Output column p already exists."),
    ],
)
def test_what_scoring_would_refuse_is_refused_before_training(planted_classes, params, sentence, monkeypatch):
    monkeypatch.setattr(
        "spark_fm.base.estimator.PackedData.of", lambda *_: pytest.fail("it has begun to train")
    )
    estimator = FMClassifier(**params)
    with pytest.raises(ValueError, match=re.escape(sentence)):
        estimator.fit(planted_classes)
    with pytest.raises(ValueError, match=re.escape(sentence)):
        estimator.fitMultiple(planted_classes, [{}])
    with pytest.raises(ValueError, match=re.escape(sentence)):
        Pipeline(stages=[estimator]).fit(planted_classes)
