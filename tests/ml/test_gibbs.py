"""FMRegressor(solver="gibbs"): in tasks and in rounds, what it refuses, and what its models can do."""

import numpy as np
import pytest
from pyspark.ml.evaluation import RegressionEvaluator
from pyspark.ml.linalg import Vectors
from pyspark.ml.tuning import CrossValidator, ParamGridBuilder
from pyspark.sql import functions as F

from spark_fm import FMClassifier, FMRegressionModel, FMRegressor
from spark_fm.engine.training import draw_plan, gibbs_rounds, start_task, store
from spark_fm.engine.training.solver import FitStoppedError

USERS, ITEMS, GENRES = 40, 25, 3
SIZE = USERS + ITEMS + GENRES + 1


@pytest.fixture(scope="module")
def mixed(spark):
    """A user, an item, one or two genres of the item, and an age with its mean far from 0; weights; rows to
    validate.
    """
    random = np.random.default_rng(0)
    user, item = random.integers(0, USERS, 1500), random.integers(0, ITEMS, 1500)
    age, weight = random.normal(30.0, 5.0, 1500), random.integers(1, 3, 1500).astype(float)
    genres = [random.choice(GENRES, size=random.integers(1, 3), replace=False).tolist() for _ in range(ITEMS)]
    v, w = random.normal(0.0, 0.8, (USERS + ITEMS, 2)), random.normal(0.0, 1.0, USERS + ITEMS)
    label = 3.0 + w[user] + w[USERS + item] + (v[user] * v[USERS + item]).sum(axis=1) + 0.05 * (age - 30.0)
    label += random.normal(0.0, 0.5, 1500) / np.sqrt(weight)
    rows = []
    for k in range(1500):
        entries = {int(user[k]): 1.0, USERS + int(item[k]): 1.0, SIZE - 1: float(age[k])}
        entries |= {USERS + ITEMS + genre: 1.0 for genre in genres[item[k]]}
        rows.append((Vectors.sparse(SIZE, entries), float(label[k]), float(weight[k]), k % 10 == 0))
    frame = spark.createDataFrame(rows, ["features", "label", "weight", "held"]).repartition(3).persist()
    yield frame
    frame.unpersist()


def sampler(**params):
    return FMRegressor(
        **{"solver": "gibbs", "factorSize": 3, "maxIter": 6, "seed": 5, "numChains": 1, "numPartitions": 1}
        | params
    )


def scores(model, frame):
    rows = model.transform(frame).orderBy("label").select("prediction").collect()
    return np.array([row[0] for row in rows])


def rmse(model, frame):
    return RegressionEvaluator().evaluate(model.transform(frame))


def test_better_than_adagrad_untuned_and_calibrated(mixed):
    train, test = mixed.where("not held"), mixed.where("held")
    model = sampler(maxIter=60, predictionStdCol="deviation", weightCol="weight").fit(train)
    assert rmse(model, test) < 1.02 * rmse(
        FMRegressor(factorSize=3, seed=5, weightCol="weight").fit(train), test
    )
    scored = model.transform(test).select("label", "prediction", "deviation", "weight").toPandas()
    light = scored[scored.weight == 1.0]
    inside = (light.label - light.prediction).abs() < 1.645 * light.deviation
    assert 0.8 < inside.mean() < 0.99
    assert (scored.deviation > 0.3).all()


@pytest.mark.parametrize("connect", [False, True])
def test_rounds_draw_the_same_chain_as_one_task(mixed, connect, monkeypatch):
    monkeypatch.setattr(store, "is_connect", lambda spark: connect)
    # Fields of more than a few features are dealt, the genres' classes are summed up.
    monkeypatch.setattr(draw_plan, "BYTES_OF_SUMS", 8 * 24 * 2 * 10)
    params = {"weightCol": "weight", "validationIndicatorCol": "held"}
    alone = sampler(**params).fit(mixed)
    found = [sampler(**params, numPartitions=2).fit(mixed)]
    if not connect:
        found.append(sampler(**params, numPartitions=3).fit(mixed.repartition(5)))
    for model in found:
        np.testing.assert_allclose(scores(model, mixed), scores(alone, mixed), atol=1e-3)
        np.testing.assert_allclose(model.summary.trainingLoss, alone.summary.trainingLoss, rtol=1e-4)
        np.testing.assert_allclose(model.summary.validationLoss, alone.summary.validationLoss, rtol=1e-4)
        assert model.summary.rHat == pytest.approx(alone.summary.rHat, abs=0.02, nan_ok=True)
        assert (model.summary.stopReason, model.summary.bestEpoch) == ("sampled", 6)
    assert found[0].summary.partitions == 2
    again = sampler(**params, numPartitions=2).fit(mixed)
    assert again.weights.intercept == found[0].weights.intercept
    np.testing.assert_array_equal(again.weights.factors, found[0].weights.factors)


def test_blocks_that_are_lost_are_computed_again(mixed, monkeypatch):
    expected = sampler(numPartitions=2).fit(mixed)
    sweep = gibbs_rounds._Rounds.sweep

    def losing(self, number, residuals):
        for one in self.stores.values():
            one.release()
        self.packed.kept.frame.unpersist()
        return sweep(self, number, residuals)

    monkeypatch.setattr(gibbs_rounds._Rounds, "sweep", losing)
    model = sampler(numPartitions=2).fit(mixed)
    np.testing.assert_array_equal(model.weights.factors, expected.weights.factors)


def test_several_chains_have_r_hat_and_their_mean(mixed):
    model = sampler(numChains=3, maxIter=30).fit(mixed)
    assert model.summary.chains == 3
    assert 0.9 < model.summary.rHat["prediction"] < 1.5
    assert model.weights.factors.shape[1] == 3
    again = sampler(numChains=3, maxIter=30).fit(mixed)
    np.testing.assert_array_equal(model.weights.factors, again.weights.factors)
    assert not np.allclose(model.weights.factors, sampler(maxIter=30).fit(mixed).weights.factors)


def test_named_fields_are_those_of_the_metadata(spark, mixed):
    field = {"first": 0, "size": USERS, "kind": "categorical", "columns": ["user"], "one_per_row": True}
    fields = [
        {"name": "user", **field},
        {"name": "item", **field | {"first": USERS, "size": ITEMS}},
        {"name": "genre", **field | {"first": USERS + ITEMS, "size": GENRES, "one_per_row": False}},
    ]
    told = mixed.withColumn(
        "features", F.col("features").alias("features", metadata={"spark_fm": {"fields": fields}})
    )
    model = sampler().fit(told)
    assert model.summary.sampledFields == {
        "user": USERS, "item": ITEMS, "genre": GENRES, str(SIZE - 1): 1
    }  # fmt: skip


def test_samples_are_saved_with_the_model(mixed, tmp_path):
    model = sampler(predictionStdCol="deviation", samplerFactorSize=4).fit(mixed)
    model.save(str(tmp_path / "model"))
    loaded = FMRegressionModel.load(str(tmp_path / "model"))
    assert loaded.summary.to_json() == model.summary.to_json()
    for name in ("prediction", "deviation"):
        columns = [
            [row[0] for row in one.transform(mixed).orderBy("label").select(name).collect()]
            for one in (model, loaded)
        ]
        assert columns[0] == columns[1]
    plain = sampler(samplerFactorSize=4).fit(mixed)
    np.testing.assert_array_equal(plain.weights.factors, model.weights.factors)


@pytest.mark.parametrize(("partitions", "size"), [(1, 0), (1, 3), (2, 3)])
def test_a_chain_goes_on_from_a_model(mixed, partitions, size, monkeypatch):
    first = sampler(maxIter=30, factorSize=size).fit(mixed)
    monkeypatch.setattr(start_task, "start_all", None)  # there is no start to train
    on = sampler(maxIter=5, factorSize=size, initialModel=first, numPartitions=partitions).fit(mixed)
    assert on.summary.trainingLoss[0] < 1.05 * first.summary.trainingLoss[-1]


@pytest.mark.parametrize(
    "params",
    [{"maxIter": 0}, {"maxIter": 1}, {"factorSize": 0}, {"fitLinear": False}, {"fitIntercept": False}],
)
@pytest.mark.parametrize("partitions", [1, 2])
def test_edges(mixed, params, partitions):
    model = sampler(**params, numPartitions=partitions).fit(mixed)
    assert len(model.summary.trainingLoss) == params.get("maxIter", 6)
    assert np.isfinite(scores(model, mixed)).all()
    if "fitLinear" in params:
        constant = [f for f in model.weights.features.tolist() if f < USERS + ITEMS]
        assert np.isfinite(model.weights.linear[model.weights.find(np.array(constant))]).all()


def test_grids_share_the_packed_rows(mixed):
    estimator = sampler(maxIter=4)
    grid = (
        ParamGridBuilder()
        .addGrid(estimator.factorSize, [0, 3])
        .addGrid(estimator.numPartitions, [1, 2])
        .build()
    )
    found = CrossValidator(
        estimator=estimator, estimatorParamMaps=grid, evaluator=RegressionEvaluator(), numFolds=2
    ).fit(mixed)
    assert np.isfinite(found.avgMetrics).all()
    np.testing.assert_allclose(found.avgMetrics[0], found.avgMetrics[1], rtol=1e-3)


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        ({"nonnegative": True}, "nonnegative: found True with solver 'gibbs'"),
        ({"minFactorCount": 3}, "minFactorCount: found 3 with solver 'gibbs'"),
        ({"miniBatchFraction": 0.5}, "miniBatchFraction: found 0.5 with solver 'gibbs'"),
        (
            {"solver": "adagrad", "predictionStdCol": "deviation"},
            "predictionStdCol: found 'deviation' with solver 'adagrad'",
        ),
        ({"predictionStdCol": "weight"}, "Output column weight already exists"),
    ],
)
def test_params_that_do_not_go_together(mixed, params, sentence):
    with pytest.raises(ValueError, match=sentence):
        sampler(**params).fit(mixed)


@pytest.mark.parametrize("partitions", [1, 2])
def test_rows_without_features_have_the_mean(spark, partitions):
    rows = spark.createDataFrame([([], float(i)) for i in range(40)], "features array<int>, label double")
    model = sampler(numPartitions=partitions, maxIter=30).fit(rows)
    assert abs(model.intercept - 19.5) < 2.0


def test_chains_that_have_not_met_are_told_of(spark):
    row = spark.createDataFrame([([0, 1], 2.0)], "features array<int>, label double")
    sentence = "maxIter: after 8 sweeps the chains have not met, the R-hat of predictions is"
    with pytest.warns(UserWarning, match=sentence):
        sampler(maxIter=8, numChains=2, seed=3).fit(row)


@pytest.mark.parametrize("partitions", [1, 2])
def test_rows_of_next_to_no_weight_change_nothing(mixed, partitions):
    params = {
        "weightCol": "weight", "numPartitions": partitions, "maxIter": 12, "predictionStdCol": "deviation"
    }  # fmt: skip
    alone = sampler(**params).fit(mixed)
    # Labels that no other row has; that a field is missing in some rows counts as little as they do.
    nothing = Vectors.sparse(SIZE, {})
    odd = mixed.withColumns({"label": F.lit(50.0) + F.rand(1), "weight": F.lit(1e-9)})
    odd = odd.unionByName(mixed.sparkSession.createDataFrame([(nothing, 9.0, 1e-9, False)], mixed.schema))
    model = sampler(**params).fit(mixed.unionByName(odd))
    assert np.abs(scores(model, mixed) - scores(alone, mixed)).mean() < 0.15
    apart = (
        model.transform(mixed).agg(F.avg("deviation")).first()[0]
        / alone.transform(mixed).agg(F.avg("deviation")).first()[0]
    )
    assert abs(apart - 1.0) < 0.08


def test_weights_are_counts_unless_they_cannot_be(mixed, recwarn):
    def fitted(weight, **params):
        return sampler(weightCol="w", predictionStdCol="deviation", **params).fit(
            mixed.withColumn("w", F.lit(weight))
        )

    def loss(model):
        return model.summary.trainingLoss[-1]

    once, thrice = fitted(1.0, maxIter=30), fitted(3.0, maxIter=30)
    assert not any("weightCol" in str(one.message) for one in recwarn)
    assert loss(thrice) < 0.97 * loss(once)
    for weight in (1e-6, 1e30):
        with pytest.warns(
            UserWarning, match="weightCol: solver 'gibbs' takes weights for counts of rows, and those of"
        ):
            scaled = fitted(weight, maxIter=30)
        assert loss(scaled) == pytest.approx(loss(once), rel=0.02)


def test_params_that_it_does_not_use_are_told_of(mixed):
    with pytest.warns(UserWarning, match="'gibbs' makes no use of regParam, patience"):
        sampler(maxIter=1, regParam=0.1, patience=2).fit(mixed)


@pytest.mark.parametrize(("name", "value", "least"), [("numChains", 0, 1), ("samplerFactorSize", -1, 0)])
def test_values_out_of_range(name, value, least):
    with pytest.raises(ValueError, match=f"{name}: found {value}, expected an integer >= {least}"):
        FMRegressor(**{name: value})


def test_what_is_not_for_sampling_is_refused_in_a_sentence(spark, mixed):
    binary = mixed.withColumn("label", (F.col("label") > 3.0).cast("double"))
    with pytest.raises(ValueError, match="solver: found 'gibbs', which is for regression"):
        FMClassifier(solver="gibbs").fit(binary)
    with pytest.raises(ValueError, match="but this model has no samples"):
        FMRegressor(maxIter=2).fit(mixed).setPredictionStdCol("deviation").transform(mixed)
    random = np.random.default_rng(1)
    rated = [(random.choice(2000, size=280, replace=False).tolist(), float(i)) for i in range(40)]
    crowded = spark.createDataFrame(rated, "features array<int>, label double")
    for partitions in (1, 2):
        with pytest.raises(ValueError, match="solver: 'gibbs' draws field by field"):
            sampler(numPartitions=partitions).fit(crowded)
    wide = [([i * 3 + int(j) for i, j in enumerate(random.integers(0, 3, 71))], float(k)) for k in range(99)]
    frame = spark.createDataFrame(wide, "features array<int>, label double")
    with pytest.raises(ValueError, match="and found 71 such groups, expected at most 64"):
        sampler(numPartitions=2).fit(frame)


def test_the_mean_so_far_is_kept_where_somebody_stops(mixed, monkeypatch):
    sweep = gibbs_rounds._Rounds.sweep

    def interrupted(self, number, residuals):
        if number == 6:
            raise KeyboardInterrupt
        return sweep(self, number, residuals)

    monkeypatch.setattr(gibbs_rounds._Rounds, "sweep", interrupted)
    estimator = sampler(numPartitions=2, validationIndicatorCol="held")
    assert estimator.stoppedModel is None
    with pytest.raises(KeyboardInterrupt, match="stoppedModel") as stopped:
        estimator.fit(mixed)
    assert stopped.type is FitStoppedError
    model = estimator.stoppedModel
    assert (model.summary.stopReason, model.summary.totalIterations) == ("stopped", 5)
    monkeypatch.undo()
    whole = sampler(numPartitions=2, validationIndicatorCol="held", maxIter=5).fit(mixed)
    np.testing.assert_array_equal(model.weights.factors, whole.weights.factors)


def test_auto_samples_where_it_can(spark, mixed):
    auto = sampler(solver="auto").fit(mixed)
    np.testing.assert_array_equal(auto.weights.factors, sampler().fit(mixed).weights.factors)
    binary = mixed.withColumn("label", (F.col("label") > 3.0).cast("double"))
    assert FMClassifier(solver="auto", maxIter=3).fit(binary).summary.chains == 0
    assert sampler(solver="auto", minFactorCount=3).fit(mixed).summary.chains == 0
    random = np.random.default_rng(1)
    rated = [(random.choice(2000, size=280, replace=False).tolist(), float(i)) for i in range(40)]
    crowded = spark.createDataFrame(rated, "features array<int>, label double")
    assert sampler(solver="auto", maxIter=2).fit(crowded).summary.chains == 0


def test_auto_tells_where_it_tried_in_vain(mixed, monkeypatch):
    monkeypatch.setattr(draw_plan, "MOST_CLASSES", 3)
    with pytest.warns(
        UserWarning, match="solver: 'auto' takes 'adagrad', since solver: 'gibbs' in 2 partitions"
    ):
        model = sampler(solver="auto", numPartitions=2, maxIter=2).fit(mixed)
    assert model.summary.chains == 0
