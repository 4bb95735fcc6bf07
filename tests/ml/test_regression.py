import math

import numpy as np
import pytest
from chispa import assert_approx_df_equality, assert_df_equality
from pyspark.ml.linalg import Vectors
from pyspark.ml.regression import FMRegressor as PySparkFMRegressor
from pyspark.sql import functions as F

from spark_fm import FMRegressionModel, FMRegressor
from tests.ml.frames import IDS, assert_same_weights, mean_squared_error, one_hot
from tests.oracle import Oracle

# An epoch in rounds is a Spark job or more: few of them in tests.
EPOCHS = {1: 60, 2: 5}


def test_planted_data_are_learned(planted_model, planted, fresh):
    variance = planted.select(F.var_pop("label")).first()[0]
    assert variance > 2.0
    assert mean_squared_error(planted_model.transform(fresh)) < 0.05


def test_ratings_are_predicted_better_than_by_their_mean(ratings):
    test = ratings.where("is_test")
    model = FMRegressor(factorSize=4, seed=1).fit(ratings.where("not is_test"))
    assert mean_squared_error(model.transform(test)) < 0.9 * test.select(F.var_pop("label")).first()[0]


def test_transform_adds_the_prediction_and_keeps_the_rest(rating_model, ratings):
    scored = rating_model.transform(ratings)
    assert scored.columns == [*ratings.columns, "prediction"]
    assert scored.schema["prediction"].dataType.simpleString() == "double"
    assert_df_equality(scored.drop("prediction"), ratings)


def test_predictions_are_those_of_single_rows(rating_model, ratings, spark):
    some = ratings.limit(50).coalesce(1)
    expected = [(row.label, rating_model.predict(row.features)) for row in some.collect()]
    found = rating_model.transform(some).select("label", "prediction")
    frame = spark.createDataFrame(expected, "label double, prediction double").coalesce(1)
    assert_approx_df_equality(found, frame, 1e-5, ignore_nullable=True)


def test_predictions_are_those_of_the_definition(rating_model):
    oracle = Oracle(rating_model.intercept, rating_model.linear.toArray(), rating_model.factors.toArray())
    assert oracle.v.shape == (130, 3)
    for ids, values in [([3, 60], [1.0, 1.0]), ([0, 2, 40, 99], [2.0, -1.0, 0.5, 3.0]), ([], [])]:
        expected = oracle.score(np.array(ids, int), np.array(values))
        assert rating_model.predict(Vectors.sparse(130, ids, values)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    "value",
    [one_hot([3, 60], 130), [3, 60], Vectors.dense(np.linspace(-1, 1, 130)), [], Vectors.sparse(130, {})],
)
def test_explanation_adds_up_to_the_prediction(rating_model, value):
    explanation = rating_model.explain(value)
    assert explanation.score == pytest.approx(rating_model.predict(value), rel=1e-6)
    assert explanation.intercept == rating_model.intercept
    assert len(explanation.pairs) == math.comb(len(explanation.linear), 2)
    assert all(i < j for i, j in explanation.pairs)


def test_explanation_has_the_parts_of_the_formula(rating_model):
    w, v = rating_model.linear.toArray(), rating_model.factors.toArray()
    explanation = rating_model.explain(Vectors.sparse(130, [3, 60], [2.0, 0.5]))
    assert explanation.linear == pytest.approx({3: 2 * w[3], 60: 0.5 * w[60]})
    assert explanation.pairs == pytest.approx({(3, 60): v[3] @ v[60]})


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (Vectors.dense([1.0, 2.0]), "found a vector of size 2, expected 130"),
        ([-1], "found the id -1, expected integers from 0"),
        (Vectors.sparse(130, [4], [float("nan")]), "found the value nan, expected a finite number"),
        (Vectors.dense([1e39] * 130), "found the value 1e.39, expected a finite number of at most 3.4e"),
    ],
)
def test_bad_single_rows_are_refused(rating_model, value, sentence):
    for method in (rating_model.predict, rating_model.explain):
        with pytest.raises(ValueError, match=sentence):
            method(value)


def test_model_describes_itself(rating_model):
    assert isinstance(rating_model, FMRegressionModel)
    assert rating_model.numFeatures == 130
    assert rating_model.getFactorSize() == 3
    assert repr(rating_model) == f"FMRegressionModel: uid={rating_model.uid}, numFeatures=130, factorSize=3"
    assert rating_model.weights.factors.shape == (130, 3)
    assert rating_model.factors.numRows == 130
    assert rating_model.factors.toArray()[7] == pytest.approx(rating_model.weights.factors[7])


def test_features_that_do_not_occur_have_no_parameters(binary_model):
    assert binary_model.numFeatures == 692
    assert binary_model.weights.features.size < 692
    absent = np.setdiff1d(np.arange(692), binary_model.weights.features)
    assert (binary_model.linear.toArray()[absent] == 0).all()
    assert (binary_model.factors.toArray()[absent] == 0).all()


@pytest.mark.parametrize("ids_type", ["array<int>", "array<bigint>", "array<smallint>"])
def test_ids_are_the_same_as_one_hot_vectors(spark, small, ids_type):
    vectors = spark.createDataFrame(
        [(one_hot(row.features), row.label) for row in small.collect()], ["features", "label"]
    ).coalesce(1)
    estimator = FMRegressor(factorSize=2, maxIter=3)
    from_ids = estimator.fit(small.withColumn("features", F.col("features").cast(ids_type)))
    from_vectors = estimator.fit(vectors)
    np.testing.assert_array_equal(from_ids.weights.factors, from_vectors.weights.factors)
    np.testing.assert_array_equal(from_ids.weights.linear, from_vectors.weights.linear)
    assert from_ids.numFeatures == 1 + from_ids.weights.features.max()
    assert from_vectors.numFeatures == 45
    assert_df_equality(
        from_vectors.transform(vectors).select("prediction"), from_ids.transform(small).select("prediction")
    )


def test_ids_may_be_long_and_in_any_order(spark):
    a, b = 2**40, 2**62
    rows = [([a, b], 1.0), ([b, a], 1.0), ([a], 0.0), ([], 0.0)] * 10
    frame = spark.createDataFrame(rows, "features array<bigint>, label double")
    model = FMRegressor(factorSize=2, maxIter=5).fit(frame)
    assert model.weights.features.tolist() == [a, b]
    assert model.numFeatures == b + 1
    first, second = (row.prediction for row in model.transform(frame.limit(2)).collect())
    assert first == second == pytest.approx(model.predict([a, b]), rel=1e-5)


def test_unseen_feature_contributes_nothing(spark, planted_model):
    frame = spark.createDataFrame([([1, 30], 0.0), ([1, 30, 44_000], 0.0), ([99_999], 0.0)], IDS)
    known, more, nothing = (row.prediction for row in planted_model.transform(frame).collect())
    assert more == known
    assert nothing == pytest.approx(planted_model.intercept)
    assert planted_model.predict([1, 30, 44_000]) == planted_model.predict([1, 30])


def test_empty_prediction_column_is_left_out(rating_model, ratings):
    silent = rating_model.copy({rating_model.predictionCol: ""})
    assert_df_equality(silent.transform(ratings), ratings)


def test_output_column_that_exists_is_refused(rating_model, ratings):
    with pytest.raises(ValueError, match=r"^Output column prediction already exists\.$"):
        rating_model.transform(ratings.withColumn("prediction", F.lit(1.0)))


def test_columns_may_have_any_name(ratings, rating_model):
    renamed = ratings.withColumnsRenamed({"features": "the.features", "label": "la`bel"})
    estimator = FMRegressor(
        featuresCol="the.features", labelCol="la`bel", predictionCol="my.z", factorSize=3, maxIter=5,
        initStd=0.3, seed=1,
    )  # fmt: skip
    model = estimator.fit(renamed)
    assert_same_weights(model, rating_model)
    found = model.transform(renamed).select(F.col("`my.z`").alias("prediction"))
    assert_df_equality(found, rating_model.transform(ratings).select("prediction"))


def test_factor_size_zero_is_a_linear_model(ratings):
    model = FMRegressor(factorSize=0, maxIter=3).fit(ratings)
    assert model.weights.factors.shape == (130, 0)
    assert (model.factors.numRows, model.factors.numCols) == (130, 0)
    w = model.linear.toArray()
    assert model.predict([3, 60]) == pytest.approx(model.intercept + w[3] + w[60])
    assert mean_squared_error(model.transform(ratings)) < ratings.select(F.var_pop("label")).first()[0]


@pytest.mark.parametrize("partitions", [1, 2])
def test_intercept_that_is_not_fitted_is_zero(ratings, partitions):
    model = FMRegressor(fitIntercept=False, maxIter=2, numPartitions=partitions, validationFraction=0.0).fit(
        ratings
    )
    assert model.intercept == 0.0
    assert model.linear.toArray().any()


@pytest.mark.parametrize("partitions", [1, 2])
def test_linear_term_that_is_not_fitted_is_zero(ratings, partitions):
    model = FMRegressor(
        fitLinear=False, initStd=0.3, maxIter=2, numPartitions=partitions, validationFraction=0.0
    ).fit(ratings)
    assert (model.weights.linear == 0.0).all()
    assert model.intercept != 0.0
    assert model.weights.factors.any()


@pytest.mark.parametrize("partitions", [1, 2])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_constant_label_is_predicted(spark, partitions, fit_intercept):
    frame = spark.createDataFrame([([i % 5, 5 + i % 3], 7.0) for i in range(60)], IDS)
    model = FMRegressor(numPartitions=partitions, fitIntercept=fit_intercept, maxIter=EPOCHS[partitions]).fit(
        frame
    )
    predictions = [row.prediction for row in model.transform(frame).collect()]
    assert predictions == pytest.approx([7.0] * 60, rel=1e-3 if fit_intercept else 0.2)


@pytest.mark.parametrize("partitions", [1, 2])
def test_rows_without_features_predict_the_mean(spark, partitions):
    frame = spark.createDataFrame(
        [(Vectors.sparse(3, {}), float(y)) for y in [1, 2, 3, 4] * 10], ["features", "label"]
    )
    model = FMRegressor(numPartitions=partitions, maxIter=EPOCHS[partitions]).fit(frame)
    assert model.weights.features.size == 0
    assert model.predict(Vectors.sparse(3, {})) == pytest.approx(2.5, abs=0.2)


@pytest.mark.parametrize("partitions", [1, 2])
def test_unscaled_features_and_labels_are_no_problem(spark, partitions):
    random = np.random.default_rng(0)
    scales = np.array([1e-3, 1.0, 1e3, 1e6])
    x = random.standard_normal((400, 4))
    y = 1e5 * (3 + x @ [1.0, -2.0, 0.5, 1.0] + x[:, 0] * x[:, 3])
    frame = spark.createDataFrame(
        [(Vectors.dense(row * scales), float(label)) for row, label in zip(x, y, strict=True)],
        ["features", "label"],
    ).persist()
    model = FMRegressor(
        factorSize=4, numPartitions=partitions, regParam=0.0, seed=1, maxIter=2 * EPOCHS[partitions],
        validationFraction=0.05,
    ).fit(frame)  # fmt: skip
    error = mean_squared_error(model.transform(frame))
    frame.unpersist()
    assert error < 0.1 * y.var()


def test_features_of_vanishing_values_do_no_harm(spark):
    frame = spark.createDataFrame(
        [(Vectors.dense([1e-42, float(i % 2), 1e-300]), float(i % 2)) for i in range(40)],
        ["features", "label"],
    )
    model = FMRegressor(factorSize=2, maxIter=30).fit(frame)
    assert mean_squared_error(model.transform(frame)) < 0.05


def test_normalized_rows_predict_the_same_whatever_their_length(spark):
    random = np.random.default_rng(1)
    x = random.standard_normal((100, 3))
    rows = [(Vectors.dense(row), float(row @ [1, 2, 3] / np.linalg.norm(row))) for row in x]
    longer = [(Vectors.dense(1e3 * np.array(v)), y) for v, y in rows]
    frame = spark.createDataFrame(rows, ["features", "label"]).coalesce(1)
    long_frame = spark.createDataFrame(longer, ["features", "label"]).coalesce(1)
    model = FMRegressor(normalize=True, maxIter=20).fit(frame)
    assert model.getNormalize()
    assert_approx_df_equality(
        model.transform(frame).select("prediction"), model.transform(long_frame).select("prediction"), 1e-4
    )
    vector = longer[0][0]
    assert model.predict(vector) == pytest.approx(model.transform(long_frame).first().prediction, rel=1e-5)
    assert model.explain(vector).score == pytest.approx(model.predict(vector))
    assert mean_squared_error(model.transform(long_frame)) < 1.0 < np.var([y for _, y in rows])
    plain = FMRegressor(maxIter=20).fit(frame)
    assert plain.predict(vector) != pytest.approx(plain.predict(rows[0][0]), rel=0.1)


def test_zero_epochs_give_the_untrained_model(ratings):
    for partitions in (1, 2):
        model = FMRegressor(maxIter=0, numPartitions=partitions).fit(ratings)
        assert model.summary.totalIterations == 0
        assert model.summary.bestEpoch == 0
        assert model.weights.features.size == 0
        assert model.predict([3, 60]) == pytest.approx(ratings.select(F.mean("label")).first()[0])


def test_all_names_of_pysparks_estimator_are_taken():
    theirs = PySparkFMRegressor(
        featuresCol="f", labelCol="l", predictionCol="p", factorSize=5, fitIntercept=False, fitLinear=False,
        regParam=0.1, miniBatchFraction=0.5, initStd=0.2, maxIter=7, stepSize=0.3, tol=0.01, seed=9,
    )  # fmt: skip
    values = {p.name: v for p, v in theirs._paramMap.items()}
    ours = FMRegressor(**values)
    assert {p.name: v for p, v in ours._paramMap.items()} == values
    for name in values:
        getter = f"get{name[0].upper()}{name[1:]}"
        assert getattr(ours, getter)() == getattr(theirs, getter)()
        setter = f"set{name[0].upper()}{name[1:]}"
        assert getattr(FMRegressor(), setter)(values[name]).getOrDefault(name) == values[name]


@pytest.mark.parametrize("name", ["numFeatures", "intercept", "linear", "factors", "predict", "transform"])
def test_pysparks_names_of_the_models_parts_are_there(rating_model, name):
    from pyspark.ml.regression import FMRegressionModel as PySparkFMRegressionModel

    assert hasattr(PySparkFMRegressionModel, name)
    assert hasattr(rating_model, name)
