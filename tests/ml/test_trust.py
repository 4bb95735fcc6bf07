"""Models that must be right where nothing warns the user: raw columns, odd rows, small or wide data."""

import numpy as np
import pytest
from pyspark.ml.linalg import Vectors
from pyspark.sql import functions as F

from spark_fm import FMClassifier, FMRegressor
from tests.ml.frames import IDS, assert_same_weights

ROWS = 1000


def rmse(model, rows):
    return float(np.sqrt(np.mean([(model.predict(x) - y) ** 2 for y, x in rows])))


def frame(spark, rows, partitions=1):
    return spark.createDataFrame(rows, ["label", "features"]).coalesce(partitions)


@pytest.mark.parametrize("partitions", [1, 2])
@pytest.mark.parametrize("shift", [2012.0, 1e5])
def test_raw_columns_are_as_good_as_standardised_ones(spark, partitions, shift):
    random = np.random.default_rng(1)
    x = random.normal(0.0, 5.0, ROWS)
    label = 0.5 * x + random.normal(0.0, 0.3, ROWS)
    other = random.integers(0, 2, ROWS)

    def fitted(column):
        rows = [
            (float(y), Vectors.dense([c, 7.0, o, 1.0 - o]))
            for y, c, o in zip(label, column, other, strict=True)
        ]
        model = FMRegressor(factorSize=2, maxIter=8, seed=1, numPartitions=partitions, roundsPerEpoch=2).fit(
            frame(spark, rows)
        )
        return rmse(model, rows)

    raw, standardised = fitted(x + shift), fitted(x / 5.0)
    assert raw == pytest.approx(standardised, rel=0.01)
    assert raw < 0.33


def test_columns_of_any_size_or_of_one_value_do_no_harm(spark):
    random = np.random.default_rng(2)
    x = random.normal(0.0, 1.0, (500, 2))
    rows = [(float(a + b), Vectors.dense([1e-3 * a, 1e6 * b, 1e6, 0.0])) for a, b in x]
    model = FMRegressor(factorSize=2, seed=1).fit(frame(spark, rows))
    assert rmse(model, rows) < 0.1


@pytest.mark.parametrize("long", [300, 10_000])
def test_one_long_row_is_not_felt_by_the_others(spark, long):
    random = np.random.default_rng(0)
    weights = random.normal(size=500)
    ids = [np.sort(random.choice(500, 5, replace=False)).tolist() for _ in range(1500)]
    rows = [(i, float(weights[i].sum())) for i in ids]
    without, with_it = (
        FMRegressor(factorSize=2, maxIter=30).fit(spark.createDataFrame(some, IDS).coalesce(1))
        for some in (rows, [*rows, (list(range(long)), 1.0)])
    )
    short = [(y, x) for x, y in rows]
    assert rmse(without, short) < 0.1
    assert rmse(with_it, short) < 0.1


def test_held_out_rows_do_not_depend_on_the_sources(ratings):
    settings = {"numPartitions": 2, "roundsPerEpoch": 1, "maxIter": 2, "factorSize": 2}
    few, many = (FMRegressor(**settings).fit(ratings.repartition(n)).summary for n in (2, 40))
    assert few.validationRows == many.validationRows == round(0.1 * ratings.count())
    assert not np.isnan(many.validationLoss).any()


def test_nothing_to_hold_out_is_told(spark):
    rows = spark.createDataFrame([([i % 3], float(i)) for i in range(10)], IDS)
    summary = FMRegressor(factorSize=1, maxIter=2).fit(rows).summary
    assert summary.validationRows == 0
    assert np.isnan(summary.validationLoss).all()


def test_warm_up_that_has_solved_the_problem_is_no_divergence(spark):
    random = np.random.default_rng(0)
    random.normal(0, 1, 300)
    rows = [(float(a * b + a), Vectors.dense([float(a), float(b)])) for a, b in random.normal(0, 1, (300, 2))]
    model = FMRegressor(seed=1, maxIter=30, numPartitions=2, stepSize=0.3).fit(frame(spark, rows))
    assert model.summary.stopReason != "diverged"
    assert model.summary.trainingLoss
    assert rmse(model, rows) < 0.05


def test_small_wide_data_are_learned_untuned(spark):
    random = np.random.default_rng(0)
    fields, values = 20, 150
    ids = np.minimum((values * random.random((3000, fields)) ** 3).astype(int), values - 1)
    ids = ids + values * np.arange(fields)
    score = random.normal(size=values * fields)[ids].sum(1) / np.sqrt(fields)
    label = (random.random(3000) < 1 / (1 + np.exp(0.5 - score))).astype(float)
    rows = [(i, y) for i, y in zip(ids.tolist(), label.tolist(), strict=True)]
    model = FMClassifier(factorSize=4).fit(spark.createDataFrame(rows[:1500], IDS).coalesce(1))
    found = np.array([model.predictRaw(i)[1] for i, _ in rows[1500:]])
    ones, zeros = found[label[1500:] == 1.0], found[label[1500:] == 0.0]
    area = np.mean(ones[:, None] > zeros[None, :])
    assert model.summary.bestEpoch > 0
    assert area > 0.58


@pytest.mark.parametrize("partitions", [1, 2])
def test_a_constant_model_is_told_of_where_max_iter_ends_the_training(spark, partitions):
    rows = [([i % 40, 40 + i % 7], float(i % 40), i >= 400) for i in range(400)]
    rows += [([i % 40, 40 + i % 7], 39.0 - i % 40, True) for i in range(200)]
    frame = spark.createDataFrame(rows, "features array<int>, label double, held boolean")
    estimator = FMRegressor(maxIter=2, validationIndicatorCol="held", numPartitions=partitions)
    with pytest.warns(UserWarning, match="no epoch improved on the constant"):
        model = estimator.fit(frame)
    assert (model.summary.bestEpoch, model.summary.stopReason) == (0, "maxIter")
    assert model.weights.features.size == 0


def test_labels_that_features_say_nothing_of_are_told(spark):
    rows = [([i % 400], float((i * 7919) % 13)) for i in range(800)]
    estimator = FMRegressor(factorSize=4, stepSize=2.0, patience=1, maxIter=10)
    with pytest.warns(UserWarning, match="no epoch improved on the constant"):
        model = estimator.fit(spark.createDataFrame(rows, IDS).coalesce(1))
    assert (model.summary.stopReason, model.summary.bestEpoch) == ("noImprovement", 0)


def test_maximum_of_epochs_with_a_falling_loss_is_told(planted):
    with pytest.warns(UserWarning, match="maxIter: the loss was still falling after 2 epochs"):
        FMRegressor(factorSize=2, maxIter=2, stepSize=0.02).fit(planted)


@pytest.mark.parametrize("partitions", [1, 2])
@pytest.mark.parametrize("weighted", [False, True])
def test_mean_probability_is_the_rate(planted_classes, partitions, weighted):
    rows = planted_classes.withColumn(
        "w", F.lit(1.0) + (F.col("features")[0] % 3) if weighted else F.lit(1.0)
    )
    model = FMClassifier(factorSize=4, maxIter=4, weightCol="w", numPartitions=partitions).fit(rows)
    scored = model.transform(rows).select("label", "w", "probability").collect()
    weight = np.array([row.w for row in scored])
    predicted = np.average([row.probability[1] for row in scored], weights=weight)
    assert predicted == pytest.approx(np.average([row.label for row in scored], weights=weight), abs=1e-3)


@pytest.mark.parametrize("partitions", [1, 2])
def test_mean_prediction_is_the_mean_label(planted, partitions):
    scored = FMRegressor(factorSize=4, maxIter=4, numPartitions=partitions).fit(planted).transform(planted)
    predicted, label = scored.agg(F.avg("prediction"), F.avg("label")).first()
    assert predicted == pytest.approx(label, abs=1e-3)


@pytest.mark.parametrize("partitions", [1, 2])
def test_rows_of_weight_zero_are_as_if_absent(spark, planted, partitions):
    odd = spark.createDataFrame([([9999], 1e6)], IDS)
    rows = planted.withColumn("w", F.lit(1.0)).union(odd.withColumn("w", F.lit(0.0)))
    estimator = FMRegressor(factorSize=2, maxIter=2, weightCol="w", numPartitions=partitions)
    assert_same_weights(estimator.fit(rows), estimator.fit(planted.withColumn("w", F.lit(1.0))))


def test_scores_agree_for_every_value(spark):
    random = np.random.default_rng(3)
    rows = [(float(a * b + a), Vectors.dense([float(a), float(b)])) for a, b in random.normal(size=(300, 2))]
    model = FMRegressor(factorSize=4, maxIter=5).fit(frame(spark, rows))
    asked = [Vectors.dense([value, 1.0]) for value in (1e-30, 1.0, 1e4, 1e8, 1e20, 1e30)]
    for row in model.transform(frame(spark, [(0.0, x) for x in asked])).collect():
        parts = model.explain(row.features)
        largest = max(abs(p) for p in [parts.score, *parts.linear.values(), *parts.pairs.values()])
        assert abs(row.prediction - model.predict(row.features)) <= 1e-6 * largest
        assert abs(row.prediction - parts.score) <= 1e-6 * largest


@pytest.mark.parametrize("partitions", [1, 2])
def test_warm_start_from_a_good_model_is_no_divergence(spark, partitions):
    random = np.random.default_rng(7)
    taste = random.normal(size=(65, 2))
    ids = np.stack([random.integers(0, 40, 1500), 40 + random.integers(0, 25, 1500)], axis=1)
    label = (taste[ids[:, 0]] * taste[ids[:, 1]]).sum(1) + random.normal(0.0, 0.1, 1500)
    rows = spark.createDataFrame(list(zip(ids.tolist(), label.tolist(), strict=True)), IDS).coalesce(2)
    settings = {"factorSize": 4, "maxIter": 8, "numPartitions": partitions, "roundsPerEpoch": 2}
    first = FMRegressor(**settings).fit(rows)
    model = FMRegressor(initialModel=first, **settings).fit(rows)
    known = list(zip(label, ids.tolist(), strict=True))
    assert model.summary.stopReason != "diverged"
    assert model.summary.bestEpoch > 0
    assert rmse(model, known) < rmse(first, known)
