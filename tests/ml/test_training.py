"""Weights of rows, validation rows, warm starts, partitions: what they do to the model."""

import numpy as np
import pytest
from chispa import assert_approx_df_equality
from pyspark.ml.linalg import Vectors
from pyspark.sql import functions as F

from spark_fm import FMClassifier, FMRegressor
from spark_fm.engine.training.rounds import RoundsRunner
from tests.ml.frames import (
    IDS,
    assert_same_weights,
    differ,
    log_loss,
    mean_squared_error,
    one_hot,
    planted_frame,
)

PATIENT = {"factorSize": 0, "validationFraction": 0.0, "tol": 0.0, "maxIter": 150, "regParam": 0.0}


@pytest.fixture(scope="module")
def lines(spark):
    """Two groups whose labels contradict each other, and a weight for each row."""
    rows = [([i % 4], float(i % 4), 1.0) for i in range(40)] + [([i % 4], 10.0, 3.0) for i in range(40)]
    frame = spark.createDataFrame(rows, f"{IDS}, c double").coalesce(1).persist()
    yield frame
    frame.unpersist()


def predictions(model, features=4):
    return [model.predict([i]) for i in range(features)]


# Row weights


def test_weights_weight_the_rows(lines):
    plain = predictions(FMRegressor(**PATIENT).fit(lines))
    weighted = predictions(FMRegressor(weightCol="c", **PATIENT).fit(lines))
    assert plain == pytest.approx([(i + 10) / 2 for i in range(4)], abs=0.3)
    assert weighted == pytest.approx([(i + 30) / 4 for i in range(4)], abs=0.3)


def test_row_of_weight_three_is_as_good_as_three_rows(lines):
    heavy = lines.where("c = 3")
    repeated = lines.where("c = 1").union(heavy).union(heavy).union(heavy).drop("c").coalesce(1)
    weighted = predictions(FMRegressor(weightCol="c", **PATIENT).fit(lines))
    assert predictions(FMRegressor(**PATIENT).fit(repeated)) == pytest.approx(weighted, abs=0.3)


@pytest.mark.parametrize("partitions", [1, 2])
def test_rows_of_weight_zero_are_as_good_as_dropped(lines, partitions):
    settings = PATIENT | {"maxIter": 150 if partitions == 1 else 6, "numPartitions": partitions}
    zero = lines.withColumn("c", F.when(F.col("c") == 3, 0.0).otherwise(1.0))
    found = predictions(FMRegressor(weightCol="c", **settings).fit(zero))
    assert found == pytest.approx([0.0, 1.0, 2.0, 3.0], abs=0.3 if partitions == 1 else 0.6)


def test_only_the_ratios_of_weights_matter(planted):
    weighted = planted.withColumn("c", 0.5 + F.col("features")[0] % 3)
    larger = weighted.withColumn("c", 4096 * F.col("c"))
    estimator = FMRegressor(weightCol="c", factorSize=2, maxIter=5)
    # A power of two: not even the rounding differs.
    assert_same_weights(estimator.fit(weighted), estimator.fit(larger))


def test_weights_that_are_all_one_are_no_weights(small):
    estimator = FMRegressor(factorSize=2, maxIter=3)
    weighted = estimator.fit(small.withColumn("c", F.lit(1)), {estimator.weightCol: "c"})
    assert_same_weights(weighted, estimator.fit(small))


def test_empty_weight_column_is_no_weight_column(small):
    estimator = FMRegressor(factorSize=2, maxIter=3)
    assert_same_weights(estimator.fit(small, {estimator.weightCol: ""}), estimator.fit(small))


# Validation rows


@pytest.mark.parametrize("partitions", [1, 2])
def test_model_has_the_parameters_of_the_lowest_validation_loss(ratings, partitions):
    model = FMRegressor(
        validationIndicatorCol="is_test", factorSize=6, initStd=0.3, stepSize=0.5, regParam=0.0, patience=3,
        numPartitions=partitions, roundsPerEpoch=1, maxIter=30,
    ).fit(ratings)  # fmt: skip
    summary = model.summary
    assert summary.stopReason == "patience"
    assert summary.totalIterations == summary.bestEpoch + 3
    assert summary.bestEpoch == 1 + int(np.argmin(summary.validationLoss))
    # The intercept is refitted to the training rows at the end.
    found = mean_squared_error(model.transform(ratings.where("is_test")))
    assert found == pytest.approx(min(summary.validationLoss), rel=0.01)


def test_classifier_has_the_parameters_of_the_lowest_log_loss(planted_classes):
    frame = planted_classes.withColumn("held", F.rand(seed=3) < 0.3).persist()
    model = FMClassifier(
        validationIndicatorCol="held", factorSize=6, stepSize=0.5, regParam=0.0, patience=2, initStd=0.3
    ).fit(frame)
    assert model.summary.stopReason == "patience"
    found = log_loss(model.transform(frame.where("held")))
    frame.unpersist()
    assert found == pytest.approx(min(model.summary.validationLoss), rel=0.01)


@pytest.mark.parametrize("partitions", [1, 2])
def test_labels_of_validation_rows_are_not_learned(ratings, partitions):
    wrong = ratings.withColumn("label", F.when(F.col("is_test"), 1e3).otherwise(F.col("label")))
    settings = {
        "validationIndicatorCol": "is_test", "factorSize": 2, "maxIter": 2, "numPartitions": partitions,
    }  # fmt: skip
    model = FMRegressor(**settings).fit(wrong)
    assert max(row.prediction for row in model.transform(ratings).collect()) < 10.0


def test_without_validation_rows_the_number_of_epochs_is_chosen_on_held_out_rows(ratings):
    model = FMRegressor(factorSize=6, initStd=0.3, stepSize=0.5, regParam=0.0, patience=3).fit(ratings)
    summary = model.summary
    assert summary.stopReason == "patience"
    assert summary.bestEpoch == 1 + int(np.argmin(summary.validationLoss)) < summary.totalIterations
    assert summary.trainingRows == summary.rows == ratings.count()


def test_held_out_rows_of_partitioned_training_are_trained_on_at_last(spark):
    # Each row has a feature of its own: what the model knows tells which rows it has seen.
    rows = [([i, 1000 + i % 7], float(5 * (i % 7) + i * 37 % 11)) for i in range(200)]
    frame = spark.createDataFrame(rows, IDS).coalesce(2)
    estimator = FMRegressor(
        factorSize=1, maxIter=2, numPartitions=2, roundsPerEpoch=1, validationFraction=0.2, stepSize=0.3
    )
    model = estimator.fit(frame)
    assert model.summary.bestEpoch > 0
    assert model.weights.features.tolist() == [*range(200), *range(1000, 1007)]
    # With a validation column, these rows stay untrained.
    held = frame.withColumn("held", F.col("features")[0] < 40)
    model = estimator.fit(held, {estimator.validationIndicatorCol: "held"})
    assert model.weights.features.tolist() == [*range(40, 200), *range(1000, 1007)]


def test_tol_stops_where_nothing_is_held_out(ratings):
    model = FMRegressor(factorSize=2, validationFraction=0.0, tol=0.02).fit(ratings)
    assert model.summary.stopReason == "tol"
    assert all(np.isnan(loss) for loss in model.summary.validationLoss)
    assert model.summary.bestEpoch == model.summary.totalIterations < 50


# Warm starts


@pytest.mark.parametrize("partitions", [1, 2])
def test_warm_start_is_no_worse_and_knows_new_features(spark, planted_model, fresh, partitions):
    more = planted_frame(spark, 300, seed=2).union(
        spark.createDataFrame([([1000, i % 20], 3.0) for i in range(30)], IDS)
    )
    warm = FMRegressor(
        factorSize=4, maxIter=2, initialModel=planted_model, numPartitions=partitions, regParamLinear=0.0,
        regParamFactors=0.002, regParamPrior=0.0, stepSize=0.02, validationFraction=0.0,
    ).fit(more)  # fmt: skip
    assert set(warm.weights.features) == {*planted_model.weights.features, 1000}
    assert warm.numFeatures == 1001
    assert warm.summary.stopReason != "diverged"
    before = mean_squared_error(planted_model.transform(fresh))
    assert mean_squared_error(warm.transform(fresh)) < 1.3 * before + 0.01
    cold = FMRegressor(factorSize=4, maxIter=2, stepSize=0.02).fit(more)
    assert mean_squared_error(cold.transform(fresh)) > 5 * before


def test_warm_start_without_epochs_is_the_model(small, planted_model):
    for partitions in (1, 2):
        model = FMRegressor(
            factorSize=4, maxIter=0, initialModel=planted_model, numPartitions=partitions
        ).fit(small)
        np.testing.assert_array_equal(model.weights.features, planted_model.weights.features)
        np.testing.assert_array_equal(model.weights.factors, planted_model.weights.factors)
        assert model.intercept == pytest.approx(planted_model.intercept)


def test_warm_start_keeps_what_does_not_occur(spark, planted_model):
    frame = spark.createDataFrame([([0, 20], 50.0)] * 30, IDS)
    model = FMRegressor(factorSize=4, maxIter=5, initialModel=planted_model).fit(frame)
    others = [i for i in planted_model.weights.features if i not in (0, 20)]
    rows, old = model.weights.find(np.array(others)), planted_model.weights.find(np.array(others))
    np.testing.assert_array_equal(model.weights.factors[rows], planted_model.weights.factors[old])
    assert model.predict([0, 20]) > planted_model.predict([0, 20]) + 5


def test_initial_model_of_another_factor_size_is_refused(small, planted_model, persisted):
    before = persisted()
    with pytest.raises(ValueError, match=r"initialModel: found factorSize 4, expected 5 as this estimator's"):
        FMRegressor(factorSize=5, initialModel=planted_model).fit(small)
    assert persisted() == before


def test_initial_model_of_the_other_kind_is_refused(planted_classes, planted_model):
    sentence = "initialModel: found a FMRegressionModel, expected a FMClassificationModel"
    with pytest.raises(TypeError, match=sentence):
        FMClassifier(factorSize=4, initialModel=planted_model).fit(planted_classes)


def test_initial_model_of_longer_vectors_is_refused(spark, rating_model):
    frame = spark.createDataFrame([(one_hot([1, 2]), 1.0)], ["features", "label"])
    sentence = "initialModel: it knows 130 features, expected at most 45, the size of the training vectors"
    with pytest.raises(ValueError, match=sentence):
        FMRegressor(factorSize=3, initialModel=rating_model).fit(frame)


def test_initial_model_of_shorter_vectors_grows(spark, rating_model):
    frame = spark.createDataFrame(
        [(Vectors.sparse(200, [3, 150], [1.0, 1.0]), 1.0)] * 5, ["features", "label"]
    )
    model = FMRegressor(factorSize=3, maxIter=2, initialModel=rating_model).fit(frame)
    assert model.numFeatures == 200
    assert model.transform(frame).first().prediction != rating_model.intercept


# Partitions


@pytest.mark.parametrize("partitions", [1, 3])
def test_same_data_and_seed_give_the_same_model_to_the_last_bit(planted, partitions):
    estimator = FMRegressor(
        factorSize=3, maxIter=1, numPartitions=partitions, roundsPerEpoch=2, validationFraction=0.05, seed=5
    )
    first = estimator.fit(planted)
    assert_same_weights(estimator.fit(planted), first)
    assert first.summary.partitions == partitions
    other = estimator.fit(planted, {estimator.seed: 6})
    assert differ(other, first)


def test_many_partitions_are_about_as_good_as_one(planted, fresh, planted_model):
    settings = {"factorSize": 4, "regParamLinear": 0.0, "regParamFactors": 0.002, "seed": 1}
    model = FMRegressor(numPartitions=4, maxIter=12, validationFraction=0.05, **settings).fit(planted)
    alone = FMRegressor(numPartitions=1, maxIter=12, validationFraction=0.05, **settings).fit(planted)
    assert model.summary.partitions == 4
    assert model.summary.roundsPerEpoch == 5
    variance = fresh.select(F.var_pop("label")).first()[0]
    together, single = (mean_squared_error(m.transform(fresh)) for m in (model, alone))
    assert together < 0.5 * variance
    assert together < 1.5 * single


@pytest.mark.parametrize("partitions", [1, 4])
def test_empty_partitions_do_no_harm(spark, partitions):
    few = planted_frame(spark, 30).repartition(1)
    spread = few.union(few.where("label > 1e9")).union(few.limit(0)).repartition(12, F.col("features")[0] % 2)
    assert spread.rdd.getNumPartitions() == 12
    model = FMRegressor(factorSize=2, maxIter=2, numPartitions=partitions).fit(spread)
    assert model.summary.rows == 30


def test_more_partitions_than_rows_do_no_harm(spark):
    frame = spark.createDataFrame([([0], 1.0), ([1], 2.0)], IDS)
    model = FMRegressor(factorSize=2, maxIter=2, numPartitions=5).fit(frame)
    assert model.summary.partitions == 5
    assert model.weights.features.tolist() == [0, 1]


def test_rounds_per_epoch_are_those_asked_for(small):
    model = FMRegressor(factorSize=2, maxIter=1, numPartitions=2, roundsPerEpoch=3).fit(small)
    assert model.summary.roundsPerEpoch == 3


def test_mini_batches_visit_a_part_of_the_rows(small):
    full = FMRegressor(factorSize=2, maxIter=2, validationFraction=0.0).fit(small)
    part = FMRegressor(factorSize=2, maxIter=2, validationFraction=0.0, miniBatchFraction=0.1).fit(small)
    assert part.weights.features.size < full.weights.features.size


@pytest.mark.parametrize("partitions", [1, 2])
def test_everything_persisted_is_released(planted, persisted, partitions):
    before = persisted()
    FMRegressor(factorSize=2, maxIter=1, numPartitions=partitions).fit(planted)
    assert persisted() == before


@pytest.mark.parametrize(("fraction", "kept"), [(0.0, 1), (0.1, 2)], ids=["no refit", "refit"])
def test_blocks_are_released_when_they_were_dealt_for_the_last_time(
    planted, persisted, monkeypatch, fraction, kept
):
    seen, run, before = [], RoundsRunner.run, persisted()

    def counted(*args):
        seen.append(persisted() - before)
        return run(*args)

    monkeypatch.setattr(RoundsRunner, "run", counted)
    settings = {"factorSize": 2, "maxIter": 2, "numPartitions": 2, "roundsPerEpoch": 1, "patience": 1}
    FMRegressor(validationFraction=fraction, **settings).fit(planted)
    assert seen[:3] == [2, 2, kept]


def test_everything_persisted_is_released_after_an_error_in_training(planted, persisted, monkeypatch):
    def broken(*args, **kwargs):
        raise RuntimeError("broken")

    monkeypatch.setattr("spark_fm.engine.packing.packed_data.occurring_features", broken)
    before = persisted()
    with pytest.raises(RuntimeError, match="broken"):
        FMRegressor(maxIter=1, numPartitions=2).fit(planted)
    assert persisted() == before


def test_steps_far_too_large_end_with_a_warning_and_the_last_good_parameters(ratings):
    with pytest.warns(UserWarning, match=r"stepSize: training with 1e\+30 diverged again and again"):
        model = FMRegressor(stepSize=1e30, maxIter=3, factorSize=2).fit(ratings)
    assert model.summary.stopReason == "diverged"
    assert np.isfinite(model.weights.factors).all()
    assert np.isfinite(model.weights.linear).all()
    assert np.isfinite(model.intercept)


def test_predictions_do_not_depend_on_how_scored_rows_are_partitioned(planted, planted_model):
    one = planted_model.transform(planted.coalesce(1)).select("features", "prediction")
    many = planted_model.transform(planted.repartition(5)).select("features", "prediction")
    assert_approx_df_equality(one.sort("features"), many.sort("features"), 1e-9)
